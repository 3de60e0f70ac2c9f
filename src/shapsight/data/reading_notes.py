"""What a user should know about a dataset that was just read, and what makes it no use at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from shapsight.data.image_files import left_out_by_kind
from shapsight.data.images import Inspection
from shapsight.data.manifest import MOST_WRITTEN, picture_bytes
from shapsight.data.rules import ITEM_PATH, NOWHERE, Rule, Rules, in_words
from shapsight.data.scale import Scale
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError

USED = (
    "path",
    ITEM_PATH,
    "environment",
    "split",
    "group",
    "roi",
    "width",
    "height",
    "label",
    "id",
    "name",
    "time",
)


def how_it_was_read(
    table: pd.DataFrame, listing: Listing, rules: Rules, targets: Sequence[str], class_names: Sequence[str]
) -> str:
    """One sentence on what was found out or given: the task, and where classes, environments and splits lie.

    "Read as a classification into 2 classes, cat, dog (folder level 2); one environment, pets; splits test 10, train
    38, validation 12 (the folders Test, Train; validation drawn)."
    """
    if class_names:
        what = f"classification into {len(class_names)} classes, {_some(class_names)}"
        what += _place(rules.label, listing.label)
    elif not targets:
        what = (
            "set of images without targets: they can be predicted and explained, not trained on or measured"
        )
    else:
        what = f"regression of {_some(targets)}" + _brackets(listing.targets_from)
    return f"Read as a {what}; {_environments(table, listing, rules)}; {_splits(table, listing, rules)}" + (
        f"{_unused(listing, rules, targets, bool(class_names))}."
    )


def _environments(table: pd.DataFrame, listing: Listing, rules: Rules) -> str:
    counts = table["environment"].value_counts().sort_index()
    if len(counts) == 1:
        return f"one environment, {counts.index[0]}"
    named = _some([f"{name} {count}" for name, count in counts.items()])
    return f"{len(counts)} environments, {named}" + _place(rules.environment, listing.environment)


def _splits(table: pd.DataFrame, listing: Listing, rules: Rules) -> str:
    counts = table["split"].value_counts().sort_index()
    named = _some([f"{name} {count}" for name, count in counts.items()])
    if rules.split is None and listing.split is None:
        return f"splits {named}"
    where = listing.splits_from if rules.split is None else ""
    return f"splits {named}" + (_brackets(where) if where else _place(rules.split, listing.split))


def _unused(listing: Listing, rules: Rules, targets: Sequence[str], has_classes: bool) -> str:
    """Columns that are nothing to the manifest."""
    own = {
        str(rule).removeprefix("column:")
        for rule in (listing.label if has_classes else None, listing.environment)
    }
    used = {*USED, *listing.counting, *targets, *rules.columns, *own}
    idle = [str(name) for name in listing.table.columns if str(name) not in used]
    return f"; not used: {'column' if len(idle) == 1 else 'columns'} {_some(idle)}" if idle else ""


def _place(given: Rule | None, found: str | None) -> str:
    rule = given if given is not None else found
    return "" if rule is None or rule == NOWHERE else _brackets(in_words(rule))


def _brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _some(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def refuse_the_unlearnable(
    table: pd.DataFrame, targets: Sequence[str], class_names: Sequence[str]
) -> list[str]:
    """Notes on targets that never vary; `DataError` where none does, and for labels that training never sees."""
    training = table[table["split"] == "train"]
    if class_names:
        seen = set(training["label"])
        for split in ("validation", "test", "unseen"):
            strange = sorted(set(table.loc[table["split"] == split, "label"]) - seen)
            if strange:
                which = ", ".join(map(repr, strange[:4]))
                raise DataError(
                    f"the label {which} is seen only in {split}, in no training image, so it cannot be learned: leave "
                    "these images out, or put some of them into training"
                )
        return []
    if len(training) < 2:
        return []
    constant = [name for name in targets if training[name].nunique() == 1]
    said = [
        f"{name} is {training[name].iloc[0]:g} in all {len(training)} training images" for name in constant
    ]
    if len(constant) == len(targets):
        raise DataError(f"there is nothing to learn: {'; '.join(said)}")
    return [f"{sentence}: nothing can be learned of it, and its R² is not defined." for sentence in said]


def reading_notes(
    table: pd.DataFrame,
    skipped: list[dict[str, str]],
    left_alone: Counter[str],
    *,
    for_training: bool,
    inspections: Sequence[Inspection],
    has_targets_in_pixels: bool,
) -> list[str]:
    """Sentences on what is unseen, left out, turned, or of several sizes."""
    notes = _on_splits(table) if for_training else []
    if skipped:
        notes.append(f"{_images(len(skipped))} left out: {tally(skipped)}.")
    rotated = sum(i.has_orientation for i in inspections)
    if rotated:
        carry = "carries an" if rotated == 1 else "carry an"
        notes.append(
            f"{_images(rotated)} {carry} EXIF orientation, which is not applied: "
            "targets refer to the stored pixels."
        )
    whites = Counter(i.white for i in inspections if i.white not in (None, 65535))
    for white, number in whites.items():
        kind = "of fractions, not 8 bits" if white == 1 else "with more than 8 bits"
        notes.append(
            f"{_images(number)} {kind}: {white:g} was taken for white, the least of 1, 255, 4095 and "
            "65535 that holds them."
        )
    with_more = sum(i.has_more for i in inspections)
    if with_more:
        notes.append(f"{with_more} files hold several pictures: the first of each was taken.")
    sizes = Counter(zip(table["width"], table["height"], strict=True))
    if len(sizes) > 1:
        several = ", ".join(f"{width} × {height} ({n})" for (width, height), n in sizes.most_common(4))
        scaled = ": each target is scaled by its own image" if has_targets_in_pixels else ""
        notes.append(f"The images have {len(sizes)} sizes, {several}{scaled}.")
    if left_alone:
        notes.append(f"Files that are no images were passed over: {left_out_by_kind(left_alone)}.")
    return notes


def memory_note(table: pd.DataFrame) -> list[str]:
    """Said of images in memory that are too many to be saved with their manifest."""
    size = picture_bytes(table)
    if size <= MOST_WRITTEN:
        return []
    return [
        f"The images are given in memory and are too many to be saved with their table ({size / 1e9:.1f} GB decoded): "
        "what is saved of them has no images, and the dataset must be given again."
    ]


def other_bands(paths: Sequence[str], inspections: Sequence[Inspection]) -> list[str | None]:
    """Why an image is left out that has another number of bands than most; pictures count as RGB.

    Raises `DataError` where no number is that of most.
    """
    counts = [None if i.reason else i.bands or 0 for i in inspections]
    tallied = Counter(count for count in counts if count is not None)
    if len(tallied) < 2:
        return [None] * len(counts)
    (usual, most), *_ = tallied.most_common()
    if 2 * most <= tallied.total():
        said = "; ".join(
            f"{_bands(count)}: {_some([p for p, c in zip(paths, counts, strict=True) if c == count], 3)}"
            for count, _ in tallied.most_common()
        )
        raise DataError(
            f"images with different numbers of bands lie together, and a model takes one number: {said}. Put them into "
            "folders of their own"
        )
    return [
        None
        if count in (None, usual)
        else f"it holds {_bands(count)}, where most of these images hold {_bands(usual)}"
        for count in counts
    ]


def _bands(count: int) -> str:
    return f"{count} band{'s' * (count != 1)}" if count else "a picture in colours or grey"


def darker_than_others(whites: Sequence[float | None]) -> list[str | None]:
    """Why an image is left out whose brightness is not known: deep pixels darker than those of the others."""
    known = [white for white in whites if white is not None]
    highest = max(known, default=None)
    return [
        None
        if white in (None, highest)
        else f"its pixels of more than 8 bits are {white:g} at most, where white is {highest:g} in other images: this "
        "one is dark, or of fewer bits, and the file does not say which (save it with 8 bits)"
        for white in whites
    ]


def _on_splits(table: pd.DataFrame) -> list[str]:
    notes = []
    if table["environment"].nunique() == 1:
        name = table["environment"].iloc[0]
        if not (table["split"] == "test").any():
            notes.append(f"There is one environment only ({name}): nothing unseen is left to test on.")
    elif not table["split"].isin(["unseen", "test"]).any():
        notes.append("Every environment is trained on: nothing unseen is left to test on.")
    if not (table["split"] == "validation").any():
        notes.append("There are no validation images, so the best epoch is judged by the training loss.")
    return notes


def tally(skipped: list[dict[str, str]]) -> str:
    """Reasons with their number, the commonest first: "3 × the file is empty (0 bytes); 1 × …"."""
    reasons = Counter(entry["reason"] for entry in skipped).most_common()
    shown = "; ".join(f"{count} × {reason}" for reason, count in reasons[:3])
    return shown if len(reasons) <= 3 else f"{shown}; and {len(reasons) - 3} reasons more, see skipped.csv"


def counting_note(names: Sequence[str]) -> list[str]:
    """Which columns of numbers were not taken for targets."""
    if not names:
        return []
    are, them = ("is no target", "it") if len(names) == 1 else ("are no targets", "them")
    return [f"Rows or time: {', '.join(names)} {are}; --targets takes {them} all the same."]


def scale_notes(scales: Mapping[str, Scale], ranged: Sequence[str]) -> list[str]:
    """Which targets got the range of the training images as their scale."""
    said = ", ".join(f"{name} from {scales[name].low:g} to {scales[name].high:g}" for name in ranged)
    return (
        [f"Scaled by the range of the training images: {said}. Another scale can be given."] if said else []
    )


def half_notes(names: Sequence[str]) -> list[str]:
    """Which targets run from -1 to +1 over the image, as they are."""
    if not names:
        return []
    return [
        f"{' and '.join(names)} run from -1 to +1 over the image: half widths and heights, 0 is its middle."
    ]


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
