"""Map-style datasets of torch, whose items are (image, target), dicts, or images alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from torch.utils.data import IterableDataset, Subset
from torchvision.datasets import DatasetFolder, ImageFolder
from torchvision.datasets.folder import default_loader

from shapsight.data.pictures import Pictures, as_image, is_image, numbered
from shapsight.data.rules import NOWHERE
from shapsight.data.sources.asked import Asked
from shapsight.data.sources.in_memory import list_given
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.targets_given import target_columns_of
from shapsight.errors import DataError

IMAGE_KEYS = ("image", "img", "pixel_values", "picture", "pixels")
READ_TWICE = 32  # items, spread evenly: a transform that changes one item in five is missed 1 time in 1,260
KEPT = 1 << 30  # bytes of pixels that the first reading keeps for the second


def list_torch(dataset: Any, asked: Asked) -> Listing:
    """Every item of a dataset; the files of an `ImageFolder`, which are then not decoded here.

    Raises `DataError` for a dataset without a length, items of another kind, and items that are not the same when
    they are read again.
    """
    base, numbers = _base(dataset)
    if _is_plain_folder(base):
        return _list_files(base, numbers, asked)
    items = _Items(dataset)
    targets = items.read_all()
    columns = target_columns_of(targets, asked, _classes(base))
    said = "the items of the dataset"
    return list_given(
        columns, Pictures(items.image, numbered(len(numbers))), type(base).__name__, asked, said
    )


class _Items:
    """A dataset's items, each read once for its target; its image is kept until it is asked for, where it fits."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.room = KEPT
        self._kept: dict[int, tuple[Image.Image, float | None]] = {}

    def read_all(self) -> list[Any]:
        """The targets of all items; None for one that cannot be read, whose reason comes with its image."""
        count = len(self.dataset)
        twice = set(np.linspace(0, count - 1, min(count, READ_TWICE)).astype(int).tolist())
        return [self._read(number, is_checked=number in twice) for number in range(count)]

    def image(self, number: int) -> Any:
        """The image of an item, or what `as_image` made of it."""
        kept = self._kept.pop(number, None)
        if kept is None:
            return _image_of(self.dataset[number])
        self.room += _bytes(kept[0])
        return kept

    def _read(self, number: int, *, is_checked: bool) -> Any:
        try:
            item = self.dataset[number]
        except Exception:  # datasets of users raise anything; asking for the image raises it again
            return None
        _refuse_other_items(item, number)
        image = _image_of(item)
        try:
            shown, white = as_image(image)
            shown.load()
        except (ValueError, OSError):
            return _target_of(item)
        except DataError as error:
            raise DataError(f"item {number}: {error}") from error
        if is_checked and as_image(_image_of(self.dataset[number]))[0] != shown:
            raise DataError(
                f"item {number} is not the same image when it is read again, so the dataset changes its images at "
                "random: give it without random transforms (crops, flips, jitter), which are for training only"
            )
        if _bytes(shown) <= self.room:
            self.room -= _bytes(shown)
            self._kept[number] = shown, white
        return _target_of(item)


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())


def _base(dataset: Any) -> tuple[Any, list[int]]:
    """The dataset that subsets are of, and the numbers of its items in their order."""
    if isinstance(dataset, Subset):
        base, numbers = _base(dataset.dataset)
        return base, [numbers[int(index)] for index in dataset.indices]
    try:
        if isinstance(dataset, IterableDataset):
            raise TypeError
        count = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise DataError(
            f"{type(dataset).__name__} has no length: give a map-style dataset, whose items can be asked for by number"
        ) from error
    if not count:
        raise DataError(f"{type(dataset).__name__} holds no items")
    return dataset, list(range(count))


def _is_plain_folder(dataset: Any) -> bool:
    """An `ImageFolder` that gives its files and classes as they are, but for a transform of the images."""
    return (
        isinstance(dataset, ImageFolder)
        and type(dataset).__getitem__ is DatasetFolder.__getitem__
        and dataset.loader is default_loader
        and dataset.target_transform is None
    )


def _list_files(folder: ImageFolder, numbers: Sequence[int], asked: Asked) -> Listing:
    root = Path(folder.root)
    samples = [folder.samples[number] for number in numbers]
    table = pd.DataFrame(
        {
            "path": [Path(path).relative_to(root).as_posix() for path, _ in samples],
            "label": [folder.classes[number] for _, number in samples],
        }
    )
    listing = Listing(
        root,
        asked.with_columns(table),
        root.resolve().name,
        label="column:label",
        environment="column:environment" if "environment" in asked.columns else NOWHERE,
        class_names=tuple(folder.classes),
        targets_from="the classes of the ImageFolder",
    )
    if folder.transform is None:
        return listing
    note = "The images were read from the files of the ImageFolder; its transform was not used."
    return replace(listing, notes=(note,))


def _classes(dataset: Any) -> Sequence[str]:
    names = getattr(dataset, "classes", None)
    return names if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) else ()


def _refuse_other_items(item: Any, number: int) -> None:
    if isinstance(item, Mapping):
        if _image_key(item) is None:
            raise DataError(
                f"item {number} holds no image: its keys are {', '.join(map(str, item))}. Call it "
                f"{' or '.join(IMAGE_KEYS[:2])}"
            )
    elif not is_image(item) and not (isinstance(item, tuple | list) and len(item) in (1, 2)):
        what = f"a tuple of {len(item)}" if isinstance(item, tuple | list) else f"a {type(item).__name__}"
        raise DataError(f"item {number} is {what}: give (image, target), a dict with an image, or an image")


def _image_key(item: Mapping[Any, Any]) -> Any:
    """The usual names first, then the only picture that an item holds."""
    named = next((key for key in IMAGE_KEYS if key in item), None)
    pictures = [key for key, value in item.items() if is_image(value)]
    return named if named is not None else pictures[0] if len(pictures) == 1 else None


def _image_of(item: Any) -> Any:
    if isinstance(item, Mapping):
        return item[_image_key(item)]
    return item[0] if isinstance(item, tuple | list) else item


def _target_of(item: Any) -> Any:
    if isinstance(item, Mapping):
        image = _image_key(item)
        return {key: value for key, value in item.items() if key != image}
    return item[1] if isinstance(item, tuple | list) and len(item) == 2 else None
