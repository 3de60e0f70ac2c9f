"""A store as it is read: images by number, by environment, class or error, loaded when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.selection import Images
from shapsight.errors import StoreError
from shapsight.store import arrays
from shapsight.store.card import Card, read_card
from shapsight.store.encoding import decoded
from shapsight.store.rows import read_plan, read_rows, records

if TYPE_CHECKING:
    import xarray

BY_OUTPUT = ("output", "output_index", "prediction", "base_value", "completeness_gap")
PART = "part_"


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open the explanations of a data set, as far as they are finished.

        store = ss.open_store("explanations.zarr")
        len(store)                                  # finished images
        store[0], store[10:20]                      # an Explanation; only these are read
        store.select(environment="room_2", error=(0.1, None))[0].plot()
        store.images, store.outputs                 # tables: a row an image; a row an image and output

    Raises `StoreError` where there is none, it is damaged, or of another version, and `MissingDependency` without Zarr
    (`pip install 'shapsight[store]'`).
    """
    path = Path(path)
    arrays.imported()
    card = read_card(path)
    rows = read_rows(path)
    if rows["position"].duplicated().any():
        raise StoreError(
            f"{path} is damaged: an image is in it twice. Run shapsight store verify --mend {path}"
        )
    return Store(path, card, rows)


@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """Explanations of a data set, on disk; see `open_store`.

    Attributes
        path: its folder.
        card: what its values depend on: method, outputs, model, references.
        images: a row for each finished image: `path`, `environment`, `split`, its targets or `label`, what the model
            says (`predicted_x`, or `predicted_label`), `error`, and lists with an entry for each explained output.
    """

    path: Path
    card: Card
    images: pd.DataFrame

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        planned = len(read_plan(self.path))
        return (
            f"Store({self.path.name}: {len(self)} of {planned} images, {self.card.method}, {self.card.kind}, "
            f"{self.card.dtype})"
        )

    def __getitem__(self, images: Images) -> Explanation:
        """Images by number, slice, numbers or mask, counted over the finished ones, as an `Explanation`.

        Raises `StoreError` for none at all and for what is damaged, and IndexError for a number that is too high.
        """
        chosen = _positions(images, len(self))
        if not len(chosen):
            raise StoreError(f"no image of {self.path} is selected: {len(self)} are finished")
        rows = self.images.iloc[chosen]
        found = arrays.read(self.path, rows["position"].tolist())
        return decoded(found, records(rows), self.card)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[number] for number in range(len(self)))

    def batches(self, size: int = 16) -> Iterator[Explanation]:
        """All images, so many at a time, so that memory stays flat."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def select(self, **wanted: Any) -> Store:
        """The images of which columns of `images` are as wanted.

            store.select(environment="room_2")
            store.select(label=["cup", "bowl"], predicted_label="cup")
            store.select(error=(0.1, None), x=(-1, 0))     # numbers from, to; None leaves an end open

        Raises `StoreError` for a column that there is not.
        """
        keep = np.ones(len(self), bool)
        for name, value in wanted.items():
            if name not in self.images:
                raise StoreError(
                    f"images of {self.path} have no {name!r}; there are {', '.join(map(str, self.images))}"
                )
            keep &= _matches(self.images[name], value)
        return replace(self, images=self.images[keep].reset_index(drop=True))

    @property
    def outputs(self) -> pd.DataFrame:
        """A row for each image and explained output: prediction, base value, gap, what each part contributes."""
        lists = [name for name in map(str, self.images) if name in BY_OUTPUT or name.startswith(PART)]
        return self.images[["path", *lists]].explode(lists, ignore_index=True).infer_objects()

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`images` and `outputs`."""
        return {"images": self.images, "outputs": self.outputs}

    def to_xarray(self) -> xarray.Dataset:
        """The finished images as an `xarray.Dataset` that is read when it is computed with.

            store.to_xarray().shap_values.sel(output="x").mean("image")

        Variables as those of `Explanation.to_xarray`. Raises `MissingDependency` without xarray and dask.
        """
        from shapsight.store.with_xarray import to_xarray

        return to_xarray(self)


def _positions(images: Images, count: int) -> list[int]:
    numbers: Any = np.arange(count)
    if images is None or images is Ellipsis:
        return list(range(count))
    if isinstance(images, torch.Tensor):
        images = images.cpu().numpy()
    if isinstance(images, Sequence):
        images = np.asarray(images, dtype=None if len(images) else int)
    return [int(number) for number in np.atleast_1d(numbers[images])]


def _matches(column: pd.Series[Any], value: Any) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2 and not any(isinstance(end, str) for end in value):
        low, high = value
        numbers = column.to_numpy(float)
        keep = np.ones(len(column), bool) if low is None else numbers >= low
        return keep if high is None else np.logical_and(keep, numbers <= high)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return np.asarray(column.isin(list(value)), dtype=bool)
    return np.asarray(column == value, dtype=bool)
