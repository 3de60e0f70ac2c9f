"""The manifest: a dataset as a table, one row an image, with where it comes from and what was left out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from shapsight.data.decoded import Decoded
from shapsight.data.decoding import Decoder
from shapsight.data.given_files import (
    are,
    is_mapping,
    is_number,
    is_text,
    misfit,
    or_none,
    parsed_json,
    read_parquet,
)
from shapsight.data.pictures import Pictures
from shapsight.data.roi import Roi, mask_files
from shapsight.data.scale import PIXELS, Scale
from shapsight.data.written_files import written
from shapsight.errors import DataError, naming

FORMAT = "shapsight.manifest/1"
SPLITS = ("train", "validation", "test", "unseen")
COLUMNS = ("path", "environment", "split", "width", "height")
CARD = {
    "root": is_text,
    "targets": are(is_text),
    "notes": are(is_text),
    "train_on": are(is_text),
    "class_names": or_none(are(is_text)),
    "scales": or_none(is_mapping),
    "roi": or_none(is_text),
}
PICTURES, MASKS = (
    "manifest_pictures",
    "manifest_masks",
)  # the folders beside a saved manifest, of images and masks that were no files
MOST_WRITTEN = 1 << 30  # bytes of pixels; beyond that images that were given in memory are not saved
MOST_NAMED = 6  # outputs or environments in a line
SCALE = {"low": is_number, "high": is_number, "unit": is_text}


@dataclass(frozen=True, eq=False)
class Manifest:
    """A dataset: one row an image.

        manifest = read_dataset("data", train_on="room_1")
        manifest.table                     # path, environment, split, width, height, x, y
        manifest.split("train")            # the rows to train on
        manifest.target_values()           # (images, targets), float32, each in its own unit
        manifest.label_numbers()           # (images,), for a classification
        manifest.save("run");  Manifest.load("run")

    Attributes
        root: the folder that paths are relative to.
        table: `path` (posix; `FILE#NUMBER` inside a file of many images), `environment`, `split` ("train",
            "validation", "test" or "unseen"), `width` and `height` (stored pixels), a float column for each target or
            `label` for a classification, `group` and `roi` where they were given, and `bands` of images that are read
            as they are stored. See docs/data.md.
        targets: the names of the target columns. `x`: -1 left edge, +1 right; `y`: -1 top edge, +1 bottom.
        skipped: `path` and `reason` of every image that was left out.
        notes: sentences that a user should read.
        train_on: the environments that are trained on; the others are unseen.
        class_names: of a classification, in the order of the model's outputs; empty for a regression.
        scales: of each target; those that are not named run from -1 to +1.
        decoded: pixels that were decoded while reading, as far as they fit; never saved.
        roi: the region of interest that studies use where none is given: a text that `read_roi` takes, or a `Roi` of
            masks or a function.
        pictures: the images, where they are no files but objects in memory.
    """

    root: Path
    table: pd.DataFrame
    targets: tuple[str, ...]
    skipped: pd.DataFrame
    notes: tuple[str, ...] = ()
    train_on: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    scales: Mapping[str, Scale] = field(default_factory=dict)
    decoded: Decoded | None = field(default=None, repr=False)
    roi: str | Roi | None = None
    pictures: Pictures | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        needed = (*COLUMNS, *self.targets, *(("label",) if self.class_names else ()))
        missing = [name for name in needed if name not in self.table.columns]
        if missing:
            raise DataError(f"a manifest's table needs the columns {', '.join(missing)}")
        usual = dict(zip(("x", "y"), PIXELS.values(), strict=True))
        scales = {name: self.scales.get(name) or usual.get(name, Scale()) for name in self.targets}
        object.__setattr__(self, "scales", scales)

    @property
    def task(self) -> str:
        """What is learned: "regression" or "classification"."""
        return "classification" if self.class_names else "regression"

    @property
    def has_targets(self) -> bool:
        """Whether anything is known of the images that a model could learn or be judged by."""
        return bool(self.output_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """What a model of this dataset predicts: a number for each target, or a logit for each class."""
        return self.class_names or self.targets

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        task = f"{self.task} of {_few(self.output_names)}" if self.has_targets else "without targets"
        splits, environments = (
            self.table[name].value_counts(sort=False) for name in ("split", "environment")
        )
        parts = [
            f"{len(self)} images, {task}",
            ", ".join(f"{splits[name]} {name}" for name in SPLITS if name in splits),
            "environments " + _few([f"{name} {number}" for name, number in environments.items()]),
            f"{self.table['group'].nunique()} groups" if "group" in self.table else "",
            f"roi {self.roi}" if isinstance(self.roi, str) else "",
            f"{len(self.skipped)} left out" if len(self.skipped) else "",
        ]
        return f"Manifest({self.root.name}: {'; '.join(filter(None, parts))})"

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that have images, sorted."""
        return tuple(sorted(self.table["environment"].unique()))

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split. Raises `DataError` for a name that is no split."""
        return self.table[self._is_in(name)]

    def rows(self, split: str) -> np.ndarray:
        """Positions of a split's rows in the table, for `images[rows]` and `target_values()[rows]`."""
        return np.flatnonzero(self._is_in(split))

    def target_values(self) -> Float[Tensor, "images targets"]:
        """The targets of every row, in the table's order, each in its own unit. Raises `DataError` without any."""
        if not self.targets:
            raise DataError(
                f"the images of {self.root} have no targets, and nothing can be trained or measured on them"
            )
        return torch.from_numpy(self.table[list(self.targets)].to_numpy(np.float32, copy=True))

    def label_numbers(self) -> Int[Tensor, "images"]:
        """The number of each row's class. Raises `DataError` for a label that is no class."""
        numbers = self.table["label"].map({name: number for number, name in enumerate(self.class_names)})
        if numbers.isna().any():
            unknown = self.table["label"][numbers.isna()].iloc[0]
            raise DataError(f"the label {unknown!r} is none of the classes {', '.join(self.class_names[:8])}")
        return torch.from_numpy(numbers.to_numpy(np.int64, copy=True))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write manifest.parquet, with manifest.csv and skipped.csv for people; each complete or not at all.

        Images that are no files are written beside it into manifest_pictures/, unless they are more than 1 GB, which
        a note says; masks that were given as arrays into manifest_masks/. A function as region is not saved.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        has_bands = "bands" in self.table.columns  # which no picture file holds
        if self.pictures is not None and not has_bands and picture_bytes(self.table) <= MOST_WRITTEN:
            self._write_pictures(folder / PICTURES, self.pictures)
        card = {
            "format": FORMAT,
            "root": str(self.root.resolve()) if self.pictures is None else PICTURES,
            "roi": self._saved_roi(folder),
            "targets": self.targets,
            "notes": self.notes,
            "train_on": self.train_on,
            "class_names": self.class_names,
            "scales": {name: asdict(scale) for name, scale in self.scales.items()},
        }
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata(
            {**table.schema.metadata, b"shapsight": json.dumps(card).encode()}
        )
        with (
            written(
                folder / "manifest.parquet"
            ) as whole,  # moved to its place last: without it there is no manifest
            written(folder / "manifest.csv") as for_people,
            written(folder / "skipped.csv") as skipped,
        ):
            self.skipped.to_csv(skipped, index=False)
            self.table.to_csv(for_people, index=False)
            pq.write_table(table, whole)
        return folder / "manifest.parquet"

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Manifest:
        """Read what `save` wrote. Raises `DataError` if it is missing, damaged or of another format."""
        path = Path(folder) / "manifest.parquet"
        if not path.is_file():
            raise DataError(f"there is no manifest.parquet in {folder}: was a dataset read into this run?")
        try:
            table = read_parquet(path)
            card = parsed_json((table.schema.metadata or {})[b"shapsight"].decode())
            found = card["format"]
            rows = table.to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged or not a Parquet file: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(f"{path} is a Parquet file, but not one that shapsight wrote") from error
        if found != FORMAT:
            raise DataError(f"{path} has format {found!r}, this version reads {FORMAT!r}")
        scales = card.get("scales") or {}
        wrong = misfit(card, CARD) or next(filter(None, (misfit(s, SCALE) for s in scales.values())), None)
        wrong = wrong or _misfit_of(rows, card["targets"])
        if wrong is not None:
            raise DataError(f"{path} is damaged: {wrong}")
        with naming(path):
            return cls(
                root=Path(folder) / card["root"],  # a whole path stays what it is
                roi=str(Path(folder) / MASKS) if card.get("roi") == MASKS else card.get("roi"),
                table=rows,
                targets=tuple(card["targets"]),
                skipped=_read_skipped(Path(folder) / "skipped.csv"),
                notes=tuple(card["notes"]),
                train_on=tuple(card["train_on"]),
                class_names=tuple(card.get("class_names") or ()),
                scales={name: Scale(**{key: scale[key] for key in SCALE}) for name, scale in scales.items()},
            )

    def _write_pictures(self, folder: Path, pictures: Pictures) -> None:
        decoder = Decoder(self.root, pictures)
        with written(folder) as part:
            part.mkdir()
            for name in self.table["path"]:
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                decoder.decode(name).image.save(part / name, "PNG", compress_level=1)

    def _saved_roi(self, folder: Path) -> str | None:
        """The text that the region can be read by again, once masks that were given as arrays are written."""
        if self.roi is None or isinstance(self.roi, str):
            return self.roi
        files = mask_files(list(self.table["path"]))
        if self.roi.masks is None or files is None:
            return None
        with written(folder / MASKS) as part:
            for file, row in zip(files, self.table.to_dict("records"), strict=True):
                (part / file).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(self.roi.mask(row)).save(part / file)
        return MASKS

    def _is_in(self, split: str) -> np.ndarray:
        if split not in SPLITS:
            raise DataError(f"{split!r} is not a split: there are {', '.join(SPLITS)}")
        return (self.table["split"] == split).to_numpy(bool)


def _misfit_of(table: pd.DataFrame, targets: Sequence[str]) -> str | None:
    """The first column that holds something else than it should; which columns there must be is checked elsewhere."""
    numbers, texts = ("width", "height", *targets), ("path", "environment", "split", "label", "group")
    for name in table.columns:
        values = table[name]
        if name in numbers and not (pd.api.types.is_numeric_dtype(values) and values.notna().all()):
            return f"its column {name} holds something else than numbers"
        if name in texts and not all(isinstance(value, str) for value in values):
            return f"its column {name} holds something else than texts"
    return None


def _read_skipped(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return no_skipped()
    try:
        return pd.read_csv(path, dtype=str)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def picture_bytes(table: pd.DataFrame) -> int:
    """How much the images of a manifest's table take when they are decoded."""
    return int((table["width"] * table["height"] * table.get("bands", 3)).sum())


def no_skipped() -> pd.DataFrame:
    """The table of a dataset of which every image could be used."""
    return pd.DataFrame({"path": pd.Series(dtype=str), "reason": pd.Series(dtype=str)})


def _few(names: Sequence[str]) -> str:
    """`"x, y"`, and `"shirt, coat, bag and 7 more"` of many."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
