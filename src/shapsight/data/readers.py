"""Reading datasets of any kind into one manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from shapsight.data.columns import label_column, range_scales, target_columns
from shapsight.data.decoded import Decoded
from shapsight.data.given_files import is_file
from shapsight.data.images import Progress, inspect_images
from shapsight.data.manifest import COLUMNS, Manifest, no_skipped
from shapsight.data.reading_notes import (
    counting_note,
    darker_than_others,
    how_it_was_read,
    reading_notes,
    refuse_the_unlearnable,
    scale_notes,
    tally,
)
from shapsight.data.rules import Rule, Rules, column_by_rule
from shapsight.data.scale import PIXELS, Scale
from shapsight.data.sources.folder import are_classes, list_classes, list_names
from shapsight.data.sources.huggingface import is_saved_dataset, list_saved
from shapsight.data.sources.idx import is_idx, list_idx
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.table_file import SUFFIXES as TABLES
from shapsight.data.sources.table_file import list_table
from shapsight.data.sources.tub import is_tub, list_tubs
from shapsight.data.splits import draw_splits, environments_to_train_on, known_splits
from shapsight.errors import DataError, naming

Task = Literal["regression", "classification"]
KEPT_IN_MEMORY = 1 << 30  # bytes of decoded pixels that a manifest may carry until they are used


def read_dataset(
    source: str | os.PathLike[str],
    *,
    train_on: str | Sequence[str] = "all",
    hold_out: str | Sequence[str] = (),
    validation_share: float = 0.2,
    test_share: float = 0.0,
    seed: int = 0,
    task: Task | None = None,
    pattern: str | None = None,
    targets: Sequence[str] | None = None,
    scales: Mapping[str, Scale | str] | None = None,
    label: Rule | None = None,
    class_names: Sequence[str] = (),
    environment: Rule | None = None,
    split: Rule | None = None,
    group: Rule | None = None,
    path_column: str | None = None,
    allow_outside: bool = False,
    for_training: bool = True,
    progress: Progress | None = None,
) -> Manifest:
    """Read any dataset of images into a manifest, one row an image.

        read_dataset("data", train_on="room_1")                    # folders of X_Y_anything.jpg
        read_dataset("data", pattern="{speed}_{angle}_{id}", scales={"speed": "0:30:km/h"})
        read_dataset("drives.csv", targets=["steering"], group="column:drive")
        read_dataset("birds", task="classification")               # a folder for each class
        read_dataset("idx:/usr/share/datasets/fashion-mnist")      # or a folder of Hugging Face datasets

    A target called `x` or `y` that is a pixel of the stored image becomes `2 X / width - 1` (-1 left edge, +1 right)
    or `2 Y / height - 1`; `0 <= X <= width` is inside. Other targets keep their unit, and their scale runs over the
    training images' range unless `scales` says otherwise (see `Scale`; "width" and "height" for pixels).

    `environment`, `split`, `group` and `label` are rules: "folder:1", "column:NAME", "name:REGEX", "block:50", or a
    function of the path. By default the environment is the first folder. The environments of `train_on` (all, less
    those of `hold_out`) are trained on, the others are unseen; in each, `validation_share` and `test_share` of the
    images are drawn with `seed`, whole groups at a time, unless the source has splits of its own.

    With `for_training` off, all images are unseen or keep the splits that the source gives them, and nothing is asked
    of what could be learned from them: that is how a trained model's test data are read.

    Images that cannot be used are listed in `Manifest.skipped` with a reason; a table's paths that lead outside its
    folder are among them without `allow_outside`. Every image is decoded once; `progress(done, total)` follows that.
    Raises `DataError` if there is nothing usable, and for a rule, column or environment that is not there.
    """
    for name, share in {"validation_share": validation_share, "test_share": test_share}.items():
        if not 0 <= share < 1:
            raise DataError(f"{name}={share} is not a share: it must be 0 or more and below 1")
    with naming(source):
        rules = Rules(label, environment, split, group)
        listing = _list(source, task, pattern, path_column, allow_outside, tuple(class_names), rules)
        task = task or _task(listing, targets, label)
        table = _with_columns(listing, environment, split, group)
        known = set(table["environment"])
        decoded = Decoded(KEPT_IN_MEMORY)
        inspections = inspect_images(listing.root, list(table["path"]), progress=progress, keep=decoded)
        table = table.assign(width=[i.width for i in inspections], height=[i.height for i in inspections])
        scales_found: dict[str, Scale | None] = {}
        if task == "classification":
            table["label"], reasons = label_column(table, label or listing.label, listing)
        else:
            scales_found, reasons = target_columns(table, targets, scales or {}, listing)
            if "label" in table.columns:  # beside targets anything, which no file could hold as one column
                table["label"] = table["label"].map(str)
        darker = darker_than_others([i.white for i in inspections])
        reasons = [
            i.reason or dark or reason for i, dark, reason in zip(inspections, darker, reasons, strict=True)
        ]
        table, skipped = _usable(table, reasons, listing)
        for entry in skipped:
            decoded.take(entry["path"])
        trained: tuple[str, ...] = ()
        if for_training:
            held = [hold_out] if isinstance(hold_out, str) else list(hold_out)
            trained = environments_to_train_on(train_on, held, sorted(table["environment"].unique()), known)
            table["split"] = draw_splits(
                table, trained, validation_share=validation_share, test_share=test_share, seed=seed
            )
        elif "split" not in table.columns:
            table["split"] = "unseen"
        classes = (
            _classes(table, listing, tuple(class_names), for_training) if task == "classification" else ()
        )
        notes = [how_it_was_read(table, listing, rules, tuple(scales_found), classes), *listing.notes]
        if task == "regression" and targets is None:
            notes += counting_note(listing.counting)
        if for_training:
            notes += refuse_the_unlearnable(table, tuple(scales_found), classes)
        final = range_scales(scales_found, table[table["split"] == "train"])
        if for_training:
            notes += scale_notes(final, [name for name, scale in scales_found.items() if scale is None])
        notes += reading_notes(
            table,
            skipped,
            listing.left_alone,
            for_training=for_training,
            inspections=[i for i, reason in zip(inspections, reasons, strict=True) if reason is None],
            has_targets_in_pixels=any(scale in PIXELS.values() for scale in final.values()),
        )
        return Manifest(
            root=listing.root,
            table=_ordered(table, tuple(final)),
            targets=tuple(final),
            skipped=pd.DataFrame(skipped) if skipped else no_skipped(),
            notes=tuple(notes),
            train_on=trained,
            class_names=classes,
            scales=final,
            decoded=decoded,
        )


def _usable(
    table: pd.DataFrame, reasons: Sequence[str | None], listing: Listing
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The rows that can be used, and what is left out with its reason."""
    skipped = list(listing.skipped) + _skipped(table, reasons)
    table = table[[reason is None for reason in reasons]].reset_index(drop=True)
    if table.empty:
        raise DataError(
            f"none of the {len(skipped)} images in {listing.root} can be used: {tally(skipped)}. {listing.expected}"
        )
    return table, skipped


def _list(
    source: str | os.PathLike[str],
    task: Task | None,
    pattern: str | None,
    path_column: str | None,
    allow_outside: bool,
    class_names: tuple[str, ...],
    rules: Rules,
) -> Listing:
    """What the source names, by the kind of source that it is."""
    text = os.fspath(source)
    path = Path(text.removeprefix("idx:"))
    if text.startswith("idx:") or (path.exists() and is_idx(path)):
        return list_idx(path, class_names)
    is_table = path.suffix.lower() in TABLES
    if is_table and not path.exists():
        raise DataError(f"there is no table at {path}")
    if is_table and path.is_file():
        return list_table(path, path_column=path_column, allow_outside=allow_outside)
    if path.is_dir() and is_saved_dataset(path):
        return list_saved(path)
    if pattern is None and rules.label is None and is_tub(path):
        return list_tubs(path)
    if pattern is not None or task == "regression":
        return list_names(path, pattern, rules)
    if task == "classification" or rules.label is not None or (path.is_dir() and are_classes(path, rules)):
        return list_classes(path, rules)
    return list_names(path, pattern, rules)


def _task(listing: Listing, targets: Sequence[str] | None, label: Rule | None) -> Task:
    """A label without named targets is a class; named targets are numbers."""
    has_label = label is not None or listing.label is not None
    return "classification" if has_label and not targets else "regression"


def _with_columns(
    listing: Listing, environment: Rule | None, split: Rule | None, group: Rule | None
) -> pd.DataFrame:
    """The listing's table with its environments, and splits and groups where there are rules for them."""
    table = listing.table.copy()
    group = group or ("column:group" if "group" in table.columns else None)

    def column(rule: Rule) -> pd.Series[str]:
        return column_by_rule(rule, table, listing.outermost, listing.order)

    found = {"environment": column(environment or listing.environment)}
    if group is not None:
        found["group"] = column(group)
    if split is not None or listing.split is not None:
        found["split"] = known_splits(column(split or listing.split or ""))
    table = table.drop(columns=[name for name in ("environment", "split", "group") if name in table.columns])
    if "roi" in table.columns:
        found["roi"] = table["roi"].map(lambda spec: _whole_path(listing.root, spec))
    return table.assign(**found)


def _whole_path(root: Path, spec: object) -> str:
    """A row's own region of interest; a file below the dataset gets its whole path, so that it is found anywhere."""
    path = root / str(spec)
    return str(path.resolve()) if isinstance(spec, str) and is_file(path) else str(spec)


def _skipped(table: pd.DataFrame, reasons: Sequence[str | None]) -> list[dict[str, str]]:
    return [
        {"path": path, "reason": reason}
        for path, reason in zip(table["path"], reasons, strict=True)
        if reason is not None
    ]


def _classes(
    table: pd.DataFrame, listing: Listing, wanted: tuple[str, ...], for_training: bool
) -> tuple[str, ...]:
    """The classes in the order of the model's outputs: as they were given, else sorted."""
    present = sorted(table["label"].unique())
    names = wanted or listing.class_names
    if missing := [name for name in present if names and name not in names]:
        raise DataError(f"the label {missing[0]!r} is none of the class names {', '.join(names[:8])}")
    if wanted:
        return wanted
    if len(present) < 2 and for_training:
        raise DataError(
            f"all images of {listing.root} have the label {present[0]!r}: to tell classes apart takes two or more"
        )
    return tuple(name for name in names if name in present) if names else tuple(present)


def _ordered(table: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """The columns of the manifest, in its order; what else a source said is left behind."""
    rest = [name for name in ("label", "group", "roi") if name in table.columns]
    return table[[*COLUMNS, *targets, *(name for name in rest if name not in targets)]]
