"""The images of a dataset in memory: decoded once, resized, beside their targets."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from shapsight.data.decoded import Decoded
from shapsight.data.decoding import Decoder, UndecodableError, decode_image, quiet_pillow
from shapsight.data.framing import Framing, framing_of
from shapsight.data.pictures import Pictures
from shapsight.errors import DataError

if TYPE_CHECKING:
    from shapsight.data.manifest import Manifest

__all__ = [
    "ImageBatches",
    "ImageTargets",
    "Inspection",
    "decode_image",
    "inspect_images",
    "load_images",
    "whole_batch",
]
Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")
THREADS = min(8, os.cpu_count() or 1)
IN_MEMORY = 0.5  # the share of the free memory that images may take before they lie in a file


@dataclass(frozen=True)
class Inspection:
    """What decoding an image once has shown: its stored size, or the reason why it cannot be used."""

    width: int = 0
    height: int = 0
    bands: int | None = None  # of what is no picture in colours, and is read as it is stored
    has_orientation: bool = False  # its EXIF data ask for a rotation or a mirror image
    white: float | None = None  # of deeper pixels that do not say it, what was taken for white
    has_more: bool = False  # the file holds further pictures
    reason: str | None = None


def load_images(
    source: Manifest | str | os.PathLike[str],
    paths: Sequence[str],
    size: int | Framing,
    *,
    progress: Progress | None = None,
    memory: int | None = None,
) -> Shaped[Tensor, "images channels *sides"]:
    """Decode images once, in threads, and resize each to a square (bilinear, antialiased), or as a framing does.

        images = load_images(manifest, manifest.table["path"], 224)      # one for each row of the table
        images = load_images("data", ["room_1/112_98_a.jpg"], 224)       # (1, 3, 224, 224), uint8, RGB

    A framing of stored bands gives them as float32, `(images, channels, *size)`.

    `source` is a manifest or the folder that `paths` are relative to; image sizes may differ. What `read_dataset`
    decoded already, where it had room, is not decoded again. Above `memory` bytes (by default half of what is
    free) the pixels lie in a temporary file that is mapped into memory and gone with the tensor.
    `progress(done, total)` is called as images come in. Raises `DataError` for the first bad file.
    """
    if isinstance(source, str | os.PathLike):
        decoded, decoder = None, Decoder(Path(source), None)
    else:
        decoded, decoder = source.decoded, Decoder(source.root, source.pictures)
    framing = framing_of(size)
    if min(framing.size) < 1:
        raise DataError(f"images cannot be resized to {size} × {size} pixels: the size must be 1 or more")
    images = _room_for(
        (len(paths), framing.channels, *framing.size),
        _free_memory() * IN_MEMORY if memory is None else memory,
        np.float32 if framing.is_stored else np.uint8,
    )

    def load(path: str) -> Shaped[Tensor, "channels *sides"]:
        if framing.is_stored:
            return framing.see(decoder.stored(path, len(framing.size)))
        pixels = decoded.take(path) if decoded is not None else None
        return framing.see(np.asarray(decoder.decode(path).image) if pixels is None else pixels)

    with quiet_pillow():
        threads = 1 if framing.is_own_code else THREADS
        for row, picture in enumerate(_in_threads(load, paths, progress, threads)):
            images[row] = picture
    return images


def inspect_images(
    root: Path,
    paths: Sequence[str],
    *,
    pictures: Pictures | None = None,
    progress: Progress | None = None,
    keep: Decoded | None = None,
) -> list[Inspection]:
    """Decode every image once, in threads, and tell its size or the reason why it cannot be used.

    The pixels go into `keep`, as long as it has room. Where there are `pictures`, the paths are names of theirs.
    """
    decoder = Decoder(root, pictures)

    def inspect(path: str) -> Inspection:
        try:
            picture = decoder.decode(path)
        except UndecodableError as error:
            if not decoder.holds_bands(path):
                return Inspection(reason=error.reason)
            try:
                *_, height, width, bands = decoder.stored(path).shape
            except UndecodableError as other:
                return Inspection(reason=other.reason)
            return Inspection(width, height, bands)
        if keep is not None:
            keep.put(path, picture.image)
        width, height = picture.image.size
        return Inspection(width, height, None, picture.has_orientation, picture.white, picture.has_more)

    with quiet_pillow():
        return list(_in_threads(inspect, paths, progress))


class ImageTargets(Dataset[tuple[Tensor, Tensor]]):
    """Images held in memory beside their targets, for a `DataLoader`.

        dataset = ImageTargets(images, targets, ColorJitter())
        image, target = dataset[0]      # (3, size, size) uint8, (outputs,) float32; a class number stays int64

    `transform` is called on each image every time it is asked for. Raises `DataError` if the lengths differ.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "images 3 size size"],
        targets: Float[Tensor, "images outputs"] | Int[Tensor, "images"],
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if len(images) != len(targets):
            raise DataError(f"{len(images)} images came with {len(targets)} rows of targets")
        self.images = images
        self.targets = targets.float() if targets.is_floating_point() else targets
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index]
        return image if self.transform is None else self.transform(image), self.targets[index]


class ImageBatches(Dataset[tuple[Any, ...]]):
    """Some rows of images and targets, handed out by whole batches, with changes that depend on the draw alone.

        batches = ImageBatches(images, targets, manifest.rows("train"), ColorJitter().drawn, seed=0)
        for images, targets, colours in DataLoader(
            batches, 8, sampler=EpochDraws(len(batches), seed=0), collate_fn=whole_batch
        ):
            images = recoloured(images.to(device), colours)

    A draw is `epoch * rows + row`. `drawn` is given a seed for each image of a batch, made of the seed and the draw
    only, so a picture looks the same whatever the batch size, the number of workers, or what was drawn before. What it
    gives goes with the batch and is carried out where the model is.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "images 3 size size"],
        targets: Float[Tensor, "images outputs"] | Int[Tensor, "images"],
        rows: Sequence[int] | Int[np.ndarray, "rows"],
        drawn: Callable[[Sequence[int]], Any] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.images = images
        self.targets = targets.float() if targets.is_floating_point() else targets
        self.rows = torch.as_tensor(np.array(rows, np.int64))
        self.drawn = drawn
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: int) -> tuple[Any, ...]:
        """A batch of one image."""
        return self.__getitems__([draw])

    def __getitems__(self, draws: list[int]) -> tuple[Any, ...]:
        """The images and targets of a batch, and what was drawn for them."""
        rows = self.rows[torch.tensor(draws) % len(self.rows)]
        batch = (self.images[rows], self.targets[rows])
        if self.drawn is None:
            return batch
        return (*batch, self.drawn([self.seed * 1_000_003 + draw for draw in draws]))


def whole_batch(batch: Any) -> Any:
    """For a `DataLoader`: `ImageBatches` gives whole batches, so that nothing is left to collate."""
    return batch


def _room_for(shape: tuple[int, ...], memory: float, dtype: Any) -> Shaped[Tensor, "..."]:
    count = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    if count <= memory:
        return torch.from_numpy(np.empty(shape, dtype))
    with tempfile.TemporaryFile(
        prefix="shapsight-images-"
    ) as file:  # the map outlives the name and the handle
        return torch.from_numpy(np.memmap(file, dtype, "w+", shape=shape))


def _free_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not every system tells
        return 4 << 30


def _in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None,
    threads: int = THREADS,
) -> Iterator[Result]:
    """Results in the order of the items; Pillow decodes outside the interpreter's lock, so threads pay."""
    with ThreadPoolExecutor(threads) as pool:
        for done, result in enumerate(pool.map(function, items), 1):
            yield result
            if progress is not None:
                progress(done, len(items))
