"""Reading datasets of any kind into one manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from shapsight.data.columns import label_column, range_scales, target_columns
from shapsight.data.decoded import Decoded
from shapsight.data.images import Inspection, Progress, inspect_images
from shapsight.data.manifest import COLUMNS, Manifest, no_skipped
from shapsight.data.reading_notes import (
    counting_note,
    darker_than_others,
    half_notes,
    how_it_was_read,
    memory_note,
    other_bands,
    reading_notes,
    refuse_the_unlearnable,
    scale_notes,
    tally,
)
from shapsight.data.roi import Roi
from shapsight.data.roi_given import refuse_other_sizes, roi_given, roi_note, roi_texts
from shapsight.data.rules import Rule, column_by_rule
from shapsight.data.scale import PIXELS, SIDES, Scale
from shapsight.data.sources.any_source import list_source, name_of
from shapsight.data.sources.asked import Asked, Task, asked
from shapsight.data.sources.listing import Listing
from shapsight.data.splits import draw_splits, environments_to_train_on, known_splits
from shapsight.errors import DataError, naming

__all__ = ["Task", "read_dataset"]
PICTURE_BANDS = 3  # of a picture, which is read as RGB
KEPT_IN_MEMORY = 1 << 30  # bytes of decoded pixels that a manifest may carry until they are used


def read_dataset(
    source: Any,
    *,
    train_on: str | Sequence[str] = "all",
    hold_out: str | Sequence[str] = (),
    validation_share: float = 0.2,
    test_share: float = 0.0,
    seed: int = 0,
    task: Task | None = None,
    pattern: str | None = None,
    targets: str | Sequence[str] | None = None,
    scales: Mapping[str, Scale | str] | None = None,
    label: Rule | Sequence[Any] | None = None,
    class_names: Sequence[str] = (),
    environment: Rule | Sequence[Any] | None = None,
    split: Rule | Sequence[Any] | None = None,
    group: Rule | Sequence[Any] | None = None,
    roi: Any = None,
    path_column: str | None = None,
    allow_outside: bool = False,
    for_training: bool = True,
    progress: Progress | None = None,
) -> Manifest:
    """Read any dataset of images into a manifest, one row an image.

        read_dataset("data", train_on="room_1", roi="below:112")   # folders of X_Y_anything.jpg
        read_dataset("data", pattern="{speed}_{angle}_{id}", scales={"speed": "0:30:km/h"})
        read_dataset("drives.csv", targets=["steering"], group="column:drive")
        read_dataset("birds", task="classification")               # a folder for each class
        read_dataset("idx:/usr/share/datasets/fashion-mnist")      # or a folder of Hugging Face datasets
        read_dataset("photos", targets=[])                         # nothing to learn: to predict and explain
        read_dataset(torch_dataset, targets=["x", "y"], environment=rooms)      # (image, target); a room an image
        read_dataset(dicts, environment="column:room", roi="column:mask")       # {"image", "x", "y", "room", "mask"}
        read_dataset(ImageFolder("birds"))                         # its files; a Subset of it is read in the same way
        read_dataset(frame, environment="column:night")           # a DataFrame of paths or of images
        read_dataset(hugging_face_dataset);  read_dataset((images, targets))    # lists, arrays, tensors

    A target called `x` or `y` that is a pixel of the stored image becomes `2 X / width - 1` (-1 left edge, +1 right)
    or `2 Y / height - 1`; `0 <= X <= width` is inside. Other targets keep their unit, and their scale runs over the
    training images' range unless `scales` says otherwise (see `Scale`; "width" and "height" for pixels).

    `environment`, `split`, `group` and `label` are rules: "folder:1", "column:NAME", "name:REGEX", "block:50", or a
    function of the path (of the row, a mapping of its columns, where images have no paths). Where images are objects
    or rows of a DataFrame, also a sequence with a value for each. By default the environment is the first folder. The
    environments of `train_on` (all, less those of `hold_out`) are trained on, the others are unseen; in each,
    `validation_share` and `test_share` of the images are drawn with `seed`, whole groups at a time, unless the source
    has splits of its own.

    `roi` is kept as `Manifest.roi`: what `read_roi` takes, "column:NAME" of texts or of masks, one mask for all
    images, or a sequence of masks. Masks are (height, width) of the stored image; True, 1 or white is inside.

    Images that are objects are arrays (height, width, 3) or (height, width), tensors (3, height, width), or PIL
    images; fractions from 0 to 1 become 8 bits. `targets` names the numbers of a target that has no names of its own.
    Whole numbers without names are classes unless `task` or `targets` say otherwise. Normalised images, and a dataset
    that changes its images at random, are refused.

    With `for_training` off, all images are unseen or keep the splits that the source gives them, and nothing is asked
    of what could be learned from them: that is how a trained model's test data are read. So are images without
    targets (`Manifest.has_targets`).

    Images of other than 1, 3 or 4 bands, arrays (.npy, .npz) and volumes (DICOM, NIfTI) are read as they are stored,
    for models wrapped with `Bundle.wrap(..., channels=)`; the table has their `bands`. All must have as many.

    Images that cannot be used are listed in `Manifest.skipped` with a reason; a table's paths that lead outside its
    folder are among them without `allow_outside`. Every image is decoded once; `progress(done, total)` follows that.
    Raises `DataError` if there is nothing usable, and for a rule, column or environment that is not there.
    """
    for name, share in {"validation_share": validation_share, "test_share": test_share}.items():
        if not 0 <= share < 1:
            raise DataError(f"{name}={share} is not a share: it must be 0 or more and below 1")
    named = None if targets is None else tuple([targets] if isinstance(targets, str) else targets)
    with naming(name_of(source)):
        wanted = asked(
            {"label": label, "environment": environment, "split": split, "group": group},
            roi,
            task=task,
            pattern=pattern,
            targets=named,
            class_names=tuple(class_names),
            path_column=path_column,
            allow_outside=allow_outside,
        )
        listing = list_source(source, wanted)
        seen = _see(listing, wanted, scales or {}, progress)
        held = (hold_out,) if isinstance(hold_out, str) else tuple(hold_out)
        draw = Draw(train_on, held, validation_share, test_share, seed) if for_training else None
        return _manifest(seen, draw if seen.task is not None else None)


@dataclass(frozen=True)
class Draw:
    """How images are drawn for training; see `read_dataset`."""

    train_on: str | Sequence[str]
    hold_out: tuple[str, ...]
    validation_share: float
    test_share: float
    seed: int


@dataclass(frozen=True, eq=False)
class Seen:
    """A source whose images were decoded once: the rows that can be used, and what is known of them.

    Attributes
        task: None where nothing can be learned.
        environments: all that the source has, also those of which no image can be used.
        scales: of each target; None for the range of the training images.
    """

    asked: Asked
    listing: Listing
    task: Task | None
    table: pd.DataFrame
    skipped: list[dict[str, str]]
    inspections: list[Inspection]
    environments: set[str]
    scales: dict[str, Scale | None]
    roi: str | Roi | None
    decoded: Decoded


def _see(
    listing: Listing, asked: Asked, scales: Mapping[str, Scale | str], progress: Progress | None
) -> Seen:
    """Decode every image, and say which rows can be used."""
    task = _task(listing, asked)
    table = _with_columns(listing, asked)
    decoded = Decoded(KEPT_IN_MEMORY)
    inspections = inspect_images(
        listing.root, list(table["path"]), pictures=listing.pictures, progress=progress, keep=decoded
    )
    table = table.assign(width=[i.width for i in inspections], height=[i.height for i in inspections])
    bands = [i.bands for i in inspections]
    table = table.assign(bands=[n or PICTURE_BANDS for n in bands]) if any(bands) else table
    roi = roi_given(asked.roi, listing.table)
    found, reasons = _learned(task, table, listing, asked, scales)
    darker = darker_than_others([i.white for i in inspections])
    mixed = other_bands(list(table["path"]), inspections)
    reasons = [
        i.reason or dark or other or reason
        for i, dark, other, reason in zip(inspections, darker, mixed, reasons, strict=True)
    ]
    environments = set(table["environment"])
    table, skipped = _usable(table, reasons, listing)
    refuse_other_sizes(roi, table)
    for entry in skipped:
        decoded.take(entry["path"])
    usable = [i for i, reason in zip(inspections, reasons, strict=True) if reason is None]
    return Seen(asked, listing, task, table, skipped, usable, environments, found, roi, decoded)


def _learned(
    task: Task | None, table: pd.DataFrame, listing: Listing, asked: Asked, scales: Mapping[str, Scale | str]
) -> tuple[dict[str, Scale | None], list[str | None]]:
    """Make the targets or the label of a table, in place; their scales, and why a row cannot be used."""
    found: dict[str, Scale | None] = {}
    reasons: list[str | None] = [None] * len(table)
    if task == "classification":
        table["label"], reasons = label_column(table, asked.rules.label or listing.label, listing)
    elif task == "regression":
        found, reasons = target_columns(table, asked.targets, scales, listing)
    if task != "classification" and "label" in table.columns:
        table["label"] = table["label"].map(
            str
        )  # beside targets anything, which no file could hold as one column
    return found, reasons


def _manifest(seen: Seen, draw: Draw | None) -> Manifest:
    """The manifest of what was seen, with its splits drawn where it is for training."""
    listing, asked, table = seen.listing, seen.asked, seen.table
    trained: tuple[str, ...] = ()
    if draw is not None:
        usable = sorted(table["environment"].unique())
        trained = environments_to_train_on(draw.train_on, draw.hold_out, usable, seen.environments)
        shares = {"validation_share": draw.validation_share, "test_share": draw.test_share}
        table = table.assign(split=draw_splits(table, trained, **shares, seed=draw.seed))
    elif "split" not in table.columns:
        table = table.assign(split="unseen")
    is_classified = seen.task == "classification"
    classes = _classes(table, listing, asked.class_names, draw is not None) if is_classified else ()
    scales = range_scales(seen.scales, table[table["split"] == "train"])
    return Manifest(
        root=listing.root,
        table=_ordered(table, tuple(scales)),
        targets=tuple(scales),
        skipped=pd.DataFrame(seen.skipped) if seen.skipped else no_skipped(),
        notes=tuple(_notes(replace(seen, table=table), classes, scales, is_for_training=draw is not None)),
        train_on=trained,
        class_names=classes,
        scales=scales,
        decoded=seen.decoded,
        roi=seen.roi,
        pictures=listing.pictures,
    )


def _notes(
    seen: Seen, classes: tuple[str, ...], scales: Mapping[str, Scale], *, is_for_training: bool
) -> list[str]:
    """What a user should know, in the order of its weight. Raises `DataError` where nothing can be learned."""
    listing, table, targets = seen.listing, seen.table, tuple(seen.scales)
    shown = replace(listing, table=listing.table.drop(columns=seen.asked.roi_column or [], errors="ignore"))
    notes = [how_it_was_read(table, shown, seen.asked.rules, targets, classes), *listing.notes]
    if seen.task == "regression" and seen.asked.targets is None:
        notes += counting_note(listing.counting)
    if is_for_training:
        notes += refuse_the_unlearnable(table, targets, classes)
        notes += half_notes(
            [name for name, scale in seen.scales.items() if name in SIDES and scale == Scale()]
        )
        notes += scale_notes(scales, [name for name, scale in seen.scales.items() if scale is None])
    notes += reading_notes(
        table,
        seen.skipped,
        listing.left_alone,
        for_training=is_for_training,
        inspections=seen.inspections,
        has_targets_in_pixels=any(scale in PIXELS.values() for scale in scales.values()),
    )
    if listing.pictures is not None:
        notes += memory_note(table)
    return notes + roi_note(seen.roi, list(table["path"]))


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


def _task(listing: Listing, asked: Asked) -> Task | None:
    """A label without named targets is a class; named targets are numbers; None where there is nothing of either."""
    has_label = asked.rules.label is not None or listing.label is not None
    if asked.task is not None:
        return asked.task
    if has_label and not asked.targets:
        return "classification"
    has_nothing = listing.may_lack_targets and not asked.targets and not listing.numeric
    return None if asked.wants_no_targets or has_nothing else "regression"


def _with_columns(listing: Listing, asked: Asked) -> pd.DataFrame:
    """The listing's table with its environments, and splits and groups where there are rules for them."""
    table, rules = listing.table.copy(), asked.rules
    group = rules.group or ("column:group" if "group" in table.columns else None)

    def column(rule: Rule) -> pd.Series[str]:
        of_rows = listing.is_of_rows
        return column_by_rule(rule, table, listing.outermost, listing.order, of_rows=of_rows)

    found = {"environment": column(rules.environment or listing.environment)}
    if group is not None:
        found["group"] = column(group)
    if rules.split is not None or listing.split is not None:
        found["split"] = known_splits(column(rules.split or listing.split or ""))
    regions = roi_texts(asked.roi, table, listing.root)
    table = table.drop(columns=[n for n in ("environment", "split", "group", "roi") if n in table.columns])
    return table.assign(**found, **({} if regions is None else {"roi": regions}))


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
    rest = [name for name in ("label", "group", "roi", "bands") if name in table.columns]
    return table[[*COLUMNS, *targets, *(name for name in rest if name not in targets)]]
