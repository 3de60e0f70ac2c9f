"""Which pictures show what changing the scene did."""

from __future__ import annotations

import numpy as np
from altair.typing import ChartType
from jaxtyping import Float, Int
from numpy import ndarray

from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.interventions import MIXED_RAND, MIXED_SAME, ORIGINAL, VARIANTS
from shapsight.drawing.charts.interventions import crossed_plot, effects_plot, variance_bars
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Map, Mark, MarkKind, Shown, channels_last
from shapsight.report.page import Picture
from shapsight.studies.diagnose.why.answers import Answers
from shapsight.studies.diagnose.why.swaps import LABEL
from shapsight.studies.shared.examples import point_of, typical

SHOWN = 3  # images in all their variants
MOST_CROSSED = 16  # thumbnails along a side


CHANGED = "The same images, changed"


def pictures(answers: Answers) -> tuple[Picture, ...]:
    """In the order in which they are looked at."""
    target = next(iter(answers.effects))
    moves = "the probability of the class said" if target == LABEL else target
    mine = answers.variants[(answers.variants["target"] == target)]
    changed = mine[mine["variant"] != ORIGINAL]
    kept = mine[mine["variant"].isin([ORIGINAL, *VARIANTS]) & (mine["environment"] != EVERY)]
    wrong = "share of wrong labels" if target == LABEL else f"squared error of {target}"
    effects = effects_plot(changed[changed["environment"] != EVERY], "change", f"change of {moves}")
    found = [
        _gallery(answers, target),
        Picture(
            effects, f"How far {moves} changes", f"How far {moves} changes when a part of the image does."
        ),
        Picture(effects_plot(kept, "error", wrong, is_share=target == LABEL), f"The {wrong} of each variant"),
        Picture(variance_bars(answers.crossing.shares), "Where the variance of the prediction comes from"),
    ]
    if target != LABEL:
        grid = "Rows alike: the prediction follows the region. Columns alike: it follows the scene."
        found.append(Picture(_crossed(answers, target), f"Every region on every scene: {target}", grid))
    if answers.patches is not None:
        found.append(_patches(answers, target))
    return tuple(found)


def _gallery(answers: Answers, target: str) -> Picture:
    """An image of each of the first environments, whose prediction another scene changes as much as their mean."""
    swaps = answers.swaps
    effects = answers.effects[target]
    change = effects.get(MIXED_RAND, effects[MIXED_SAME]).change  # as the first screen shows
    groups: list[tuple[str, int]] = []
    for place in dict.fromkeys(swaps.environments.tolist()):
        found = typical(change, swaps.environments == place)
        if found is not None and len(groups) < SHOWN:
            groups.append((f"{place}: {swaps.rows['path'].iloc[found]}", found))
    groups = groups or [(str(swaps.rows["path"].iloc[0]), 0)]
    images = [_variants(answers, title, image, target) for title, image in groups]
    said = "Ring: target. Cross: prediction. It should stay where the region of interest does."
    return Picture([shown for group in images for shown in group], CHANGED, said, first=len(images[0]))


def _variants(answers: Answers, title: str, image: int, target: str) -> list[Shown]:
    """One image as it is, and changed in every way."""
    swaps, found = answers.swaps, []
    truth = (
        None if target == LABEL else swaps.rows[list(swaps.case.manifest.targets)].iloc[image].to_numpy(float)
    )
    for name in (ORIGINAL, *VARIANTS):
        pixels = swaps.picture(name, image) if name in answers.said else None
        if pixels is None:
            continue
        said = answers.said[name][0, image]
        points: dict[MarkKind, tuple[float, float] | None] = {
            "target": _point(answers, image, truth),
            "prediction": _point(answers, image, said, target),
        }
        found.append(
            Shown(
                f"{title}, {name}",
                channels_last(pixels),
                marks=[Mark(kind, *point) for kind, point in points.items() if point is not None],
                caption=f"{name}: {_words(answers, target, said)}",
                group=title,
                key=f"{title}|{name}",
                beside="" if name == ORIGINAL else f"{title}|{ORIGINAL}",
            )
        )
    return found


def _words(answers: Answers, target: str, after: ndarray) -> str:
    """The prediction."""
    card = answers.swaps.case.bundle.card
    if target == LABEL:
        says = int(after.argmax())
        return f"{card.class_names[says]} {after[says]:.0%}"
    value = float(after[card.output_names.index(target)])
    has_sides = np.isfinite(answers.effects[target][ORIGINAL].flips).any()
    return f"{target} {'+' if value > 0 and has_sides else ''}{number(value, 2)}"


def _point(
    answers: Answers, image: int, values: Float[ndarray, "outputs"] | None, target: str | None = None
) -> tuple[float, float] | None:
    """The place in the picture that the targets name, where they name one and it is known where that is seen."""
    case = answers.swaps.case
    if values is None or (target is not None and target not in ("x", "y")):
        return None
    return point_of(values.tolist(), answers.swaps.rows.iloc[image].to_dict(), case.manifest, case.bundle)


def _crossed(answers: Answers, target: str) -> ChartType:
    """At most sixteen regions and scenes, by environment and target."""
    crossing = answers.crossing
    column = answers.swaps.case.bundle.card.output_names.index(target)
    count = len(crossing.images)
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_CROSSED)).round().astype(int))
    predictions = crossing.predictions[np.ix_(shown, shown)][:, :, column]
    return crossed_plot(predictions, crossing.environments[shown].tolist(), label=target)


def _patches(answers: Answers, target: str) -> Picture:
    """RegionSHAP of the patches of each scene."""
    patches, swaps = answers.patches, answers.swaps
    assert patches is not None
    title = "Which places of the scene matter"
    images = []
    for at, image in enumerate(map(int, patches.images)):
        labels, path = patches.labels[at], swaps.rows["path"].iloc[image]
        place = str(swaps.environments[image])
        images.append(
            Shown(
                f"{place}, {path}",
                channels_last(swaps.pieces.images[image]),
                [Map(target, _spread(labels, patches.values[at, 1:]))],
                labels,
                ("regions",),
                caption=place,
                group=place,
                key=f"{title}|{path}",
            )
        )
    return Picture(images, title, f"{title}: RegionSHAP of patches.")


def _spread(
    labels: Int[ndarray, "height width"], values: Float[ndarray, "patches"]
) -> Float[ndarray, "height width"]:
    """Each patch's value, shared out over its pixels; 0 in the region of interest."""
    counts = np.bincount(labels.ravel(), minlength=len(values) + 1)
    return np.asarray(np.concatenate([[0.0], values / np.maximum(counts[1:], 1)])[labels])
