"""Explained images as a page shows them: heatmap, parts in units, target and prediction as points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.bands import eight_bits
from shapsight.attribution.explanation.viewed import shown_images
from shapsight.data.framing import seen_places
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.sample import Places
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Mark, MarkKind, Shown, channels_last
from shapsight.models.bundle import Bundle
from shapsight.studies.shared.contributions import PREDICTED
from shapsight.studies.shared.outcome import Outcome

MOST_CUT = 300  # images up to which regions are found in each
LOGIT = "logit"


def explained_images(
    explanations: Mapping[str, Explanation],
    rows: pd.DataFrame,
    manifest: Manifest,
    bundle: Bundle,
    masks: Bool[ndarray, "rows size size"] | None = None,
    *,
    parts: pd.DataFrame | None = None,
) -> list[Shown]:
    """Images with the heatmaps of one or several models.

        explained_images({"": explanation}, rows, manifest, bundle, masks, parts=contributions.per_image)

    `rows` are those of `predict_table`, in the explanations' order; predictions drawn as points are of the first model.
    `parts` are contributions (`contributions_per_image`) of the first model, which are told instead of sums.
    """
    first = next(iter(explanations.values()))
    roi = None if masks is None else torch.from_numpy(masks)
    images = shown_images(explanations, names=list(rows["path"]), roi=roi, has_regions=len(first) <= MOST_CUT)
    told = _told(parts)
    found = []
    for at, (shown, row) in enumerate(zip(images, rows.to_dict("records"), strict=True)):
        maps = [
            replace(
                each,
                unit=unit_of(manifest, each.output),
                parts=told.get((row["path"], each.output), told.get((row["path"], PREDICTED), each.parts))
                if each.model == images[0].maps[0].model
                else each.parts,
            )
            for each in shown.maps
        ]
        found.append(
            replace(
                shown,
                maps=maps,
                marks=marks_of(row, manifest, bundle),
                caption=caption_of(row, manifest),
                group=str(row["environment"]),
                outline=None if masks is None else masks[at],
            )
        )
    return found


def images_of(outcomes: Mapping[str, Outcome]) -> list[Shown]:
    """The explained images of one or two models, by their names."""
    first = next(iter(outcomes.values()))
    return explained_images(
        {name: outcome.explanation for name, outcome in outcomes.items()},
        first.explained,
        first.manifest,
        first.training.bundle,
        first.masks,
        parts=None if first.contributions is None else first.contributions.per_image,
    )


def plain_image(
    pixels: Shaped[Tensor, "channels *sides"], row: Mapping[Any, Any], manifest: Manifest, bundle: Bundle
) -> Shown:
    """An image without an explanation."""
    return Shown(
        str(row["path"]),
        eight_bits(pixels)[0] if bundle.seen.is_stored else channels_last(pixels.cpu()),
        marks=marks_of(row, manifest, bundle),
        caption=caption_of(row, manifest),
        group=str(row["environment"]),
    )


def key_of(image: Shown) -> str:
    """What links name it by."""
    return image.key or image.name


def unit_of(manifest: Manifest, output: str) -> str:
    """Of a target; a class has logits, and a target from -1 to 1 no unit."""
    return LOGIT if manifest.class_names else _unit(manifest, output)


def _unit(manifest: Manifest, target: str) -> str:
    """In a word or two; a target from -1 to 1 has none."""
    scale = manifest.scales.get(target)
    return "" if scale is None or scale.is_plain else scale.unit.partition(",")[0]


def caption_of(row: Mapping[Any, Any], manifest: Manifest) -> str:
    """`"room_2: x 0.31, is 0.45"`, or `"hall: cup, taken for bowl"`."""
    place = f"{row['environment']}: "
    if manifest.class_names:
        label, said = row["label"], row["predicted_label"]
        return f"{place}{label}" if label == said else f"{place}{label}, taken for {said}"
    name = manifest.targets[0]
    said, true = (number(float(row[column]), 2) for column in (f"predicted_{name}", name))
    return f"{place}{name} {said}, truth {true}"


def marks_of(row: Mapping[Any, Any], manifest: Manifest, bundle: Bundle) -> tuple[Mark, ...]:
    """Target and prediction as points of the picture that the model sees, where the targets name one."""
    found: list[tuple[MarkKind, tuple[float, float] | None]] = [
        ("target", point_of([row[name] for name in manifest.targets], row, manifest, bundle)),
        ("prediction", point_of([row.get(f"predicted_{name}") for name in manifest.targets], row, manifest, bundle)),
    ]  # fmt: skip
    return tuple(Mark(kind, *point) for kind, point in found if point is not None)


def point_of(
    values: Sequence[object], row: Mapping[Any, Any], manifest: Manifest, bundle: Bundle
) -> tuple[float, float] | None:
    """Where targets lie in the picture that the model sees; None where they name no place or it is not known."""
    if manifest.class_names or not Places.of(manifest).across:
        return None
    target: Float[ndarray, "outputs"] = np.array([np.nan if v is None else v for v in values], dtype=float)
    if not np.isfinite(target).all():
        return None
    height, width = (int(row[side]) for side in ("height", "width"))
    point = Places.of(manifest).points(torch.tensor(target), (height, width))[0].numpy() + 0.5
    x, y = seen_places(bundle.seen, point, (height, width)).tolist()
    return (x, y) if np.isfinite([x, y]).all() else None


def typical(values: Float[ndarray, "rows"], among: Bool[ndarray, "rows"]) -> int | None:
    """Which of some rows has the value nearest to their mean; None of none."""
    among = among & np.isfinite(values)
    if not among.any():
        return None
    return int(np.where(among, np.abs(values - values[among].mean()), np.inf).argmin())


def _told(parts: pd.DataFrame | None) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in () if parts is None else parts.to_dict("records"):
        found.setdefault((row["path"], row["output"]), {})[row["part"]] = float(row["value"])
    return found
