"""Which pictures show what changing the scene did."""

from __future__ import annotations

import numpy as np
import torch
from altair.typing import ChartType
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.data.framing import seen_places
from shapsight.data.remedies.sample import Places
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.interventions import ORIGINAL, VARIANTS
from shapsight.drawing.charts.interventions import crossed_plot, effects_plot, variance_bars
from shapsight.drawing.interventions import PatchMap, Variant, patches_plot, variants_plot
from shapsight.drawing.style import number
from shapsight.studies.diagnose.findings import Drawn
from shapsight.studies.diagnose.why.answers import Answers
from shapsight.studies.diagnose.why.swaps import LABEL

SHOWN = 3  # images in all their variants
MOST_CROSSED = 16  # images along a side


def pictures(answers: Answers) -> dict[str, Drawn]:
    """Title -> figure, in the order in which they are looked at."""
    target = next(iter(answers.effects))
    moves = "the probability of the class said" if target == LABEL else target
    mine = answers.variants[(answers.variants["target"] == target)]
    changed = mine[mine["variant"] != ORIGINAL]
    kept = mine[mine["variant"].isin([ORIGINAL, *VARIANTS]) & (mine["environment"] != EVERY)]
    wrong = "share of wrong labels" if target == LABEL else f"squared error of {target}"
    figures: dict[str, Drawn] = {
        "The same images, changed": _gallery(answers, target),
        f"How far {moves} moves": effects_plot(
            changed[changed["environment"] != EVERY], "change", f"how far {moves} moves"
        ),
        f"The {wrong} of each variant": effects_plot(kept, "error", wrong, is_share=target == LABEL),
        "Where the variance of the prediction comes from": variance_bars(answers.crossing.shares),
    }
    if target != LABEL:
        figures[f"Every region on every scene: {target}"] = _crossed(answers, target)
    if answers.patches is not None:
        figures["Which places of the scene matter"] = _patches(answers, target)
    return figures


def _gallery(answers: Answers, target: str) -> Figure:
    """An image of each of the first environments, the one whose prediction moves most typically."""
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
    return variants_plot(groups)


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
    if values is None or case.bundle.card.class_names or not np.isfinite(values).all():
        return None
    places = Places.of(case.manifest)
    if not places.across or (target is not None and target not in ("x", "y")):
        return None
    height, width = (int(case.rows[side].iloc[image]) for side in ("height", "width"))
    point = places.points(torch.tensor(values), (height, width))[0].numpy() + 0.5
    x, y = seen_places(case.bundle.seen, point, (height, width)).tolist()
    return (x, y) if np.isfinite([x, y]).all() else None


def _crossed(answers: Answers, target: str) -> ChartType:
    """At most sixteen regions and scenes, by environment and target."""
    crossing = answers.crossing
    column = answers.swaps.case.bundle.card.output_names.index(target)
    count = len(crossing.images)
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_CROSSED)).round().astype(int))
    return crossed_plot(
        crossing.predictions[np.ix_(shown, shown)][:, :, column],
        crossing.environments[shown].tolist(),
        label=target,
    )


def _patches(answers: Answers, target: str) -> Figure:
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
    return patches_plot(
        maps, unit="logit of the class said" if target == LABEL else f"SHAP value of {target}"
    )
