"""What a user should know about a dataset that was just read, and what makes it no use at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from shapsight.data.scale import Scale
from shapsight.errors import DataError


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
    rotated: int,
    has_targets_in_pixels: bool,
) -> list[str]:
    """Sentences on what is unseen, left out, turned, or of several sizes."""
    notes = _on_splits(table) if for_training else []
    if skipped:
        notes.append(f"{_images(len(skipped))} left out: {tally(skipped)}.")
    if rotated:
        carry = "carries an" if rotated == 1 else "carry an"
        notes.append(
            f"{_images(rotated)} {carry} EXIF orientation, which is not applied: "
            "targets refer to the stored pixels."
        )
    sizes = Counter(zip(table["width"], table["height"], strict=True))
    if len(sizes) > 1:
        several = ", ".join(f"{width} × {height} ({n})" for (width, height), n in sizes.most_common(4))
        scaled = ": each target is scaled by its own image" if has_targets_in_pixels else ""
        notes.append(f"The images have {len(sizes)} sizes, {several}{scaled}.")
    if left_alone:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in left_alone.most_common(4))
        notes.append(f"Files that are no images were passed over: {listed}.")
    return notes


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


def scale_notes(scales: Mapping[str, Scale], ranged: Sequence[str]) -> list[str]:
    """Which targets got the range of the training images as their scale."""
    said = ", ".join(f"{name} from {scales[name].low:g} to {scales[name].high:g}" for name in ranged)
    return (
        [f"Scaled by the range of the training images: {said}. Another scale can be given."] if said else []
    )


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
