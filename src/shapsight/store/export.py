"""A store for other tools: shap, captum, FiftyOne, pictures, tables. None of these libraries is needed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.errors import StoreError
from shapsight.store.store import Store

BATCH = 64  # images in a file


def export(store: Store, kind: str, out: str | os.PathLike[str]) -> list[Path]:
    """Write the store's images in the form of another tool, and give the files.

        export(open_store("explanations.zarr"), "fiftyone", "heatmaps")

    Kinds
        shap: `shap_0000.npz`: `shap.Explanation(values, base_values, data, output_names=...)` takes what is inside
            (outputs last, channels last, as shap has them).
        captum: `attributions_0000.safetensors`: `attributions` (images, outputs, channels, height, width), as captum's
            `attribute` gives them for one target each, `deltas` (minus the completeness gap) and `targets`.
        fiftyone: `heatmaps.json`, a list of samples with plain dicts for `fiftyone.Heatmap(map_path=, range=)`, and
            8-bit PNG maps of which 0 to 255 stand for minus to plus the largest absolute value (`largest`).
        png: each image and output drawn over the image.
        parquet: the tables, `images.parquet` and `outputs.parquet`.

    Raises `StoreError` for another kind, or a folder that holds something already.
    """
    if kind not in EXPORTS:
        raise StoreError(f"--as {kind} is not one of {', '.join(EXPORTS)}")
    if not len(store):
        raise StoreError(f"no image of {store.path} is finished, so there is nothing to export")
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise StoreError(f"{folder} holds something already: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return list(EXPORTS[kind](store, folder))


def _shap(store: Store, folder: Path) -> Iterator[Path]:
    for number, batch in enumerate(store.batches(BATCH)):
        file = folder / f"shap_{number:04}.npz"
        np.savez_compressed(
            file,
            values=_last(batch.values),
            base_values=batch.base_values.numpy(),
            data=batch.images.movedim(1, -1).numpy(),
            output_names=np.array(batch.names(), np.str_),
            paths=np.array(_paths(store, number), np.str_),
        )
        yield file


def _captum(store: Store, folder: Path) -> Iterator[Path]:
    from safetensors.torch import save_file

    for number, batch in enumerate(store.batches(BATCH)):
        file = folder / f"attributions_{number:04}.safetensors"
        tensors = {
            "attributions": batch.values.contiguous(),
            "deltas": -batch.completeness_gap,
            "targets": batch.output_index,
            "inputs": batch.images.contiguous(),
        }
        save_file(tensors, file, metadata={"paths": json.dumps(_paths(store, number))})
        yield file


def _fiftyone(store: Store, folder: Path) -> Iterator[Path]:
    samples = []
    for file_name, row, one in _each(store):
        heat = one.heatmap()[0].numpy()
        maps: dict[str, Mapping[str, Any]] = {}
        for column, output in enumerate(one.names()[0]):
            largest = float(np.abs(heat[column]).max()) or 1.0
            picture = folder / "maps" / f"{file_name}_{_file_name(output)}.png"
            picture.parent.mkdir(exist_ok=True)
            grey = np.round((heat[column] / largest + 1) * 127.5).astype(np.uint8)
            Image.fromarray(grey).save(picture)
            yield picture
            shown = {"map_path": str(picture.resolve()), "range": [0, 255], "largest": largest}
            maps[f"shap_{_file_name(output)}"] = shown | {"output": output}
        known = ("path", "environment", "split", "label", "predicted_label", "error")
        sample = {name: row[name] for name in known if name in row and row[name] is not None}
        samples.append({**sample, "filepath": str(Path(store.card.root) / row["path"]), "heatmaps": maps})
    listing = folder / "heatmaps.json"
    listing.write_text(json.dumps(samples, indent=1, default=str), encoding="utf-8")
    yield listing


def _png(store: Store, folder: Path) -> Iterator[Path]:
    for file_name, _, one in _each(store):
        for column, output in enumerate(one.names()[0]):
            file = folder / f"{file_name}_{_file_name(output)}.png"
            Image.fromarray(one.overlay(0, column)).save(file)
            yield file


def _parquet(store: Store, folder: Path) -> Iterator[Path]:
    for name, table in store.tables.items():
        file = folder / f"{name}.parquet"
        table.to_parquet(file, index=False)
        yield file


EXPORTS: Mapping[str, Callable[[Store, Path], Iterator[Path]]] = {
    "shap": _shap,
    "captum": _captum,
    "fiftyone": _fiftyone,
    "png": _png,
    "parquet": _parquet,
}


def _each(store: Store) -> Iterator[tuple[str, Mapping[str, Any], Explanation]]:
    for number, one in enumerate(store):
        row = {str(name): value for name, value in store.images.iloc[number].items()}
        yield f"{number:06}_{_file_name(Path(row['path']).stem)}", row, one


def _last(tensor: Tensor) -> np.ndarray:
    """(images, outputs, channels, ...) -> (images, ..., channels, outputs)."""
    return np.ascontiguousarray(tensor.movedim((1, 2), (-1, -2)).numpy())


def _paths(store: Store, batch: int) -> list[str]:
    return [str(path) for path in store.images["path"].iloc[batch * BATCH : (batch + 1) * BATCH]]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text).strip("-") or "image"
