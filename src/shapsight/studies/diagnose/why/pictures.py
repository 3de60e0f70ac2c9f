"""Which pictures show what changing the scene did."""

from __future__ import annotations

import numpy as np
from altair.typing import ChartType
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.interventions import ORIGINAL, VARIANTS
from shapsight.drawing.charts.interventions import crossed_plot, effects_plot, variance_bars
from shapsight.drawing.interventions import PatchMap, Variant, patches_plot, variants_plot
from shapsight.drawing.style import number
from shapsight.drawing.viewer import Map, Mark, MarkKind, Shown
from shapsight.report.page import Picture
from shapsight.studies.diagnose.why.answers import Answers
from shapsight.studies.diagnose.why.swaps import LABEL
from shapsight.studies.shared.examples import point_of

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
    """An image of each of the first environments, the one whose prediction changes most typically."""
    swaps = answers.swaps
    change = answers.effects[target]["mixed-same"].change
    groups: list[tuple[str, list[Variant]]] = []
    for place in dict.fromkeys(swaps.environments.tolist()):
        rows = np.flatnonzero((swaps.environments == place) & np.isfinite(change))
        if len(rows) and len(groups) < SHOWN:
            typical = rows[np.argsort(change[rows])[len(rows) // 2]]
            groups.append(
                (f"{place}: {swaps.rows['path'].iloc[typical]}", _variants(answers, int(typical), target))
            )
    if not groups:
        groups = [(str(swaps.rows["path"].iloc[0]), _variants(answers, 0, target))]
    images = [
        Shown(
            f"{title}, {variant.name}",
            np.ascontiguousarray(variant.image.transpose(1, 2, 0)),
            marks=_marks(variant),
            caption=f"{variant.name}: {variant.said}",
            group=title,
            key=f"{title}|{variant.name}",
            beside=f"{title}|{variants[0].name}" if variant is not variants[0] else "",
        )
        for title, variants in groups
        for variant in variants
    ]
    said = "Ring: target. Cross: prediction. It should stay where the region of interest does."
    return Picture(images, CHANGED, said, first=len(groups[0][1]), figure=variants_plot(groups))


def _marks(variant: Variant) -> list[Mark]:
    points: dict[MarkKind, tuple[float, float] | None] = {
        "target": variant.target,
        "prediction": variant.prediction,
    }
    return [Mark(kind, *point) for kind, point in points.items() if point is not None]


def _variants(answers: Answers, image: int, target: str) -> list[Variant]:
    swaps, found = answers.swaps, []
    original = answers.said[ORIGINAL][0, image]
    truth = (
        None if target == LABEL else swaps.rows[list(swaps.case.manifest.targets)].iloc[image].to_numpy(float)
    )
    for name in (ORIGINAL, *VARIANTS):
        pixels = swaps.picture(name, image) if name in answers.said else None
        if pixels is None:
            continue
        said = answers.said[name][0, image]
        text, is_turned = _words(answers, target, original, said)
        found.append(
            Variant(
                pixels.numpy(),
                name,
                text,
                _point(answers, image, truth),
                _point(answers, image, said, target),
                is_turned,
            )
        )
    return found


def _words(answers: Answers, target: str, before: ndarray, after: ndarray) -> tuple[str, bool]:
    """The prediction, and whether it is another side or label than before."""
    card = answers.swaps.case.bundle.card
    if target == LABEL:
        says = int(after.argmax())
        return f"{card.class_names[says]} {after[says]:.0%}", says != int(before.argmax())
    column = card.output_names.index(target)
    is_turned = bool(np.sign(after[column]) != np.sign(before[column]))
    sides = np.isfinite(answers.effects[target][ORIGINAL].flips).any()
    sign = "+" if after[column] > 0 and sides else ""
    return f"{target} {sign}{number(float(after[column]))}", is_turned and bool(sides)


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
    patches, swaps = answers.patches, answers.swaps
    assert patches is not None
    maps = [
        PatchMap(
            swaps.pieces.images[int(image)].numpy(),
            patches.labels[number],
            patches.values[number, 1:],
            str(swaps.environments[image]),
        )
        for number, image in enumerate(patches.images)
    ]
    unit = "logit of the class said" if target == LABEL else f"SHAP value of {target}"
    title = "Which places of the scene matter"
    images = [
        Shown(
            f"{each.title}, {swaps.rows['path'].iloc[int(image)]}",
            np.ascontiguousarray(each.image.transpose(1, 2, 0)),
            [Map(target, _spread(each))],
            each.labels,
            ("regions",),
            caption=each.title,
            group=each.title,
            key=f"{title}|{swaps.rows['path'].iloc[int(image)]}",
        )
        for each, image in zip(maps, patches.images, strict=True)
    ]
    return Picture(images, title, f"{title}: RegionSHAP of patches.", figure=patches_plot(maps, unit=unit))


def _spread(each: PatchMap) -> Float[ndarray, "height width"]:
    """Each patch's value, shared out over its pixels."""
    counts = np.bincount(each.labels.ravel(), minlength=len(each.values) + 1)
    return np.asarray(np.concatenate([[0.0], each.values / np.maximum(counts[1:], 1)])[each.labels])
