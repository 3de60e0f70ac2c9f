"""The Zarr arrays of a store: made when the first block is known, written and read by blocks of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from shapsight.data.given_files import read_json
from shapsight.data.written_files import write_text
from shapsight.errors import MissingDependency, StoreError
from shapsight.store.card import GROUP
from shapsight.store.places import TABLE

SPATIAL = ("depth", "height", "width")
SMALL = 64 << 10  # bytes of an image below which a chunk of its own costs more time than it saves
LEVEL = 3  # zstd's: beyond it files get hardly smaller and writing takes longer


def create_group(store: Path, attributes: Mapping[str, Any]) -> None:
    """An empty store. Its card is written last and at once, so what has one is whole."""
    zarr = imported()
    if not (store / TABLE / GROUP).is_file():
        zarr.create_group(store / TABLE)
    zarr.create_group(store, attributes=dict(attributes))


def create_arrays(store: Path, like: Mapping[str, ndarray], images: int, block: int) -> None:
    """Arrays for so many images like those of a block; what is there already stays."""
    zarr = imported()
    from zarr.codecs import BloscCodec, Crc32cCodec

    group = zarr.open_group(store, mode="r+", use_consolidated=False)
    missing = [name for name in like if not (store / name / GROUP).is_file()]
    for name in missing:
        one = like[name].shape[1:]
        group.create_array(
            name,
            shape=(images, *one),
            **_cut(like[name], block),
            dtype=like[name].dtype,
            fill_value=empty(like[name].dtype),
            compressors=[BloscCodec(cname="zstd", clevel=LEVEL, shuffle="bitshuffle"), Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=_dimensions(like, name),
        )
    if missing:
        _consolidate(store)


def empty(dtype: np.dtype[Any]) -> Any:
    """What stands where nothing is written."""
    return {"u": 0, "b": False}.get(dtype.kind, float("nan"))


def resize(store: Path, images: int) -> None:
    """Room for more images."""
    group = imported().open_group(store, mode="r+", use_consolidated=False)
    grown = [array for _, array in group.arrays() if array.shape[0] < images]
    for array in grown:
        array.resize((images, *array.shape[1:]))
    if grown:
        _consolidate(store)


def names(store: Path) -> list[str]:
    """The arrays that there are."""
    return sorted(file.parent.name for file in store.glob(f"*/{GROUP}") if file.parent.name != TABLE)


def read(store: Path, positions: Sequence[int]) -> dict[str, ndarray]:
    """All arrays at some images. Raises `StoreError` for what is damaged."""
    group = imported().open_group(store, mode="r", use_consolidated=False)
    at, found = np.asarray(positions, np.int64), {}
    for name in names(store):
        try:
            found[name] = np.asarray(group[name].oindex[at])
        except Exception as error:  # codecs raise what they like for damaged bytes
            raise StoreError(
                f"{store}: {name} of image {_some(positions)} is damaged ({str(error).splitlines()[0]:.100}); "
                "shapsight store verify --mend says which and takes them out, and explain then makes them anew"
            ) from error
    return found


def write(store: Path, start: int, content: Mapping[str, ndarray]) -> None:
    """A block of all arrays, from the image `start` on."""
    group = imported().open_group(store, mode="r+", use_consolidated=False)
    for name, array in content.items():
        target = group[name]
        if target.shape[1:] != array.shape[1:] or target.dtype != array.dtype:
            raise StoreError(
                f"{store}: {name} is {target.dtype} {target.shape[1:]} in the store and {array.dtype} "
                f"{array.shape[1:]} now: the images have another size, so give them another --store"
            )
        target[start : start + len(array)] = array


def discard_parts(store: Path, block: int, *, whole: bool = False) -> None:
    """What a process that was killed left of writing a block; or the `whole` block, of which nothing is finished.

    Zarr looks into a file before it replaces it, and cannot where that is damaged.
    """
    for part in store.glob(f"*/c.{block}.*" if whole else f"*/c.{block}.*.partial"):
        part.unlink(missing_ok=True)


def _cut(like: ndarray, block: int) -> dict[str, tuple[int, ...]]:
    """A file for each block; in it a chunk for each image, or one for all where images are small."""
    one = like.shape[1:]
    if like[:1].nbytes < SMALL:
        return {"chunks": (block, *one)}
    return {"chunks": (1, *one), "shards": (block, *one)}


def discard_card_parts(store: Path) -> None:
    """The same of what arrays say of themselves."""
    for pattern in ("zarr.*.partial", "*/zarr.*.partial"):
        for part in store.glob(pattern):
            part.unlink(missing_ok=True)


def imported() -> Any:
    """The library. Raises `MissingDependency`."""
    try:
        import zarr
    except ImportError as error:
        raise MissingDependency("stores of explanations need Zarr: pip install 'shapsight[store]'") from error
    return zarr


def _consolidate(store: Path) -> None:
    """One copy of what all arrays say of themselves in the group's own file, which xarray asks for."""
    card = read_json(store / GROUP)
    arrays = {name: read_json(store / name / GROUP) for name in names(store)}
    card["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": arrays}
    write_text(store / GROUP, json.dumps(card, indent=2) + "\n")


def _dimensions(like: Mapping[str, ndarray], name: str) -> tuple[str, ...]:
    """Names as in `Explanation.to_xarray`; what of an image has another size than its values has a name of its own."""
    places = like[name].ndim - (2 if name in ("above_noise", "images", "outlines") else 3)
    spatial = SPATIAL[-places:] if places > 0 else ()
    if name == "images":
        own = zip(("channel", *spatial), like["images"].shape[1:], like["values"].shape[2:], strict=True)
        return ("image", *(dim if one == two else f"image_{dim}" for dim, one, two in own))
    if name == "values":
        return ("image", "output", "channel", *spatial)
    return ("image", "output", *spatial)


def _some(positions: Sequence[int]) -> str:
    first = ", ".join(map(str, positions[:4]))
    return f"{first} and {len(positions) - 4} more" if len(positions) > 4 else first
