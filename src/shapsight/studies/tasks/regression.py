"""A regression: how large the squared errors of its targets are, and which pixels it uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.shared.outputs import Outputs
from shapsight.data.manifest import Manifest
from shapsight.data.scale import Scale
from shapsight.diagnosis.contributions import contributions_per_image
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.prediction_errors import evaluate
from shapsight.drawing.charts.intervals import error_bars
from shapsight.drawing.charts.scatter import said_of_sample, scatter_panels
from shapsight.models.card import Card
from shapsight.report.page import Column, Picture, Section, plain
from shapsight.studies.shared.contributions import EXACT, agreement_row, as_array
from shapsight.studies.shared.examples import images_of
from shapsight.studies.shared.first_screen import error_evidence
from shapsight.studies.shared.outcome import Judged, Outcome
from shapsight.studies.shared.sampling import choose_images
from shapsight.studies.shared.sections import stacked
from shapsight.studies.shared.words import gap_sentence, times

FIRST_OUTPUT: Outputs = [0]
ERRORS = (
    *plain("environment", "split", "target"),
    Column("images", format="d"),
    Column("mse", "MSE", ".3g", low="mse_low", high="mse_high"),
    Column("mae", "MAE", ".3g", low="mae_low", high="mae_high"),
    Column("r2", "R²", ".2f", low="r2_low", high="r2_high"),
)
SIDES = (
    *ERRORS[:4],
    Column("sign_accuracy", "on the right side", ".0%", low="sign_accuracy_low", high="sign_accuracy_high"),
)
SHOWN = 4  # pictures of each environment that are seen at once


def measure(predictions: pd.DataFrame, manifest: Manifest, *, seed: int = 0) -> pd.DataFrame:
    """The errors of each target in each environment."""
    return evaluate(predictions, manifest.targets, seed=seed)


def choose(predictions: pd.DataFrame, manifest: Manifest, count: int, seed: int) -> pd.DataFrame:
    """Turns, large errors and some at random, at most `count` of each environment."""
    return choose_images(predictions, count, target=manifest.targets[0], seed=seed)


def is_known(rows: pd.DataFrame, manifest: Manifest) -> Bool[ndarray, "rows"]:
    """Every row has its targets."""
    return np.ones(len(rows), dtype=bool)


def contributions(
    sums: RegionValues, exact: RegionValues, rows: pd.DataFrame, manifest: Manifest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of every explained target."""
    tables, records = [], []
    for number, column in enumerate(sums.output_index[0].tolist()):
        name = sums.output_names[column]
        mine, true = as_array(sums.values[:, number]), as_array(exact.values[:, column])
        records.append(agreement_row(name, mine, true))
        is_exact = records[-1]["quoted"] == EXACT
        base = exact.base_values[:, column] if is_exact else sums.base_values[:, number]
        table = contributions_per_image(
            true if is_exact else mine,
            rows,
            name,
            base_value=as_array(base),
            target=rows[name].to_numpy(float),
        )
        tables.append(table.assign(sums=mine.T.reshape(-1), exact=true.T.reshape(-1)))
    return pd.concat(tables, ignore_index=True), pd.DataFrame(records)


def right_side(predictions: pd.DataFrame, manifest: Manifest) -> Float[ndarray, "rows"]:
    """1 or 0; NaN for a target of 0, and for a target without two signs."""
    name = manifest.targets[0]
    target, said = (predictions[column].to_numpy(float) for column in (name, f"predicted_{name}"))
    has_sign = (target != 0) & bool(target.min() < 0 < target.max())
    return np.where(has_sign, (np.sign(said) == np.sign(target)).astype(float), np.nan)


def reading(card: Card, scales: Mapping[str, Any]) -> dict[str, Any]:
    """Targets are those that the model predicts, on its scales but for those that were given."""
    own = {name: Scale(*scale) for name, scale in card.scales.items()}
    return {"targets": card.output_names, "scales": own | dict(scales)}


def title(manifest: Manifest) -> str:
    """What a model's report asks."""
    return f"Trained on {', '.join(manifest.train_on)}: where does it fail, and where does it look?"


def answer(judged: Judged) -> str:
    """How much larger the error is where the model was not trained."""
    target, trained = judged.manifest.targets[0], judged.manifest.train_on
    places = judged.measured("mse", target)
    at_home = [place for place in places if place.environment in trained]
    elsewhere = [place for place in places if place.environment not in trained]
    if not at_home:
        return f"No image was held out of the training environments, so the error there is not known for {target}."
    if not elsewhere:
        parts = "; ".join(f"{place.environment} {place.said('.3g')}" for place in at_home)
        return (
            f"The mean squared error of {target} on held-out images: {parts}. No environment is left unseen."
        )
    home, worst = (max(group, key=lambda place: place.found.value) for group in (at_home, elsewhere))
    return (
        f"Trained on {', '.join(trained)}, the model's error for {target} is "
        f"{_times(worst.found.value, home.found.value)} in {worst.environment}: MSE {worst.said('.3g')} against "
        f"{home.said('.3g')} on held-out images of {home.environment}."
    )


def _times(larger: float, smaller: float) -> str:
    """`"9.1 times as high"`, or that they hardly differ."""
    if smaller <= 0:
        return "higher"
    ratio = larger / smaller
    return "about the same" if 0.9 <= ratio <= 1.1 else times(ratio)


def measured_lines(judged: Sequence[Judged]) -> list[str]:
    """A line for each target and model, environment by environment."""
    targets = judged[0].manifest.targets
    wide = max(3, *map(len, targets)) + 1
    lines = []
    for target in targets:
        for each in judged:
            of_model = f"{each.name}: " if len(judged) > 1 else ""
            places = (
                f"{at.environment} {at.found.value:.3g} ({at.split})" for at in each.measured("mse", target)
            )
            lines.append(f"MSE of {target:<{wide}}{of_model}{', '.join(places)}")
    return lines


def curves(judged: Judged) -> dict[str, float]:
    """Such as `mse/x/room_1`."""
    return {
        f"mse/{target}/{at.environment}": at.found.value
        for target in judged.manifest.targets
        for at in judged.measured("mse", target)
    }


def error_sections(judged: Sequence[Judged], links: Collection[str] = ()) -> list[Section]:
    """The errors of each target in each environment, and predictions against targets; `links` are images to open."""
    errors = stacked(judged, [each.errors for each in judged], "Errors of each target", ERRORS)
    signed = [each.errors[each.errors["sign_accuracy"].notna()] for each in judged]
    sides = stacked(judged, signed, "Right side", SIDES)
    bars = errors.frame[errors.frame["environment"] != EVERY]
    scales, targets = judged[0].manifest.scales, judged[0].manifest.targets
    pictures = [
        Picture(
            error_bars(bars[bars["target"].isin(together)]),
            f"Mean squared error of {', '.join(together)} by environment",
            f"Mean squared error of {', '.join(together)}; lines are 95 % intervals.",
        )
        for together in _on_one_scale(scales)
    ]
    pictures += [
        Picture(
            scatter_panels(each.predictions, target, links=links),
            f"Predicted against actual {target}, {each.name}",
            f"{target}, {each.name}. On the diagonal the prediction is right; explained images open with a "
            f"click{said_of_sample(len(each.predictions))}.",
        )
        for each in judged
        for target in targets
    ]
    held_out = " All numbers are of held-out images, which neither model was trained on."
    section = Section(
        "How large is the error?",
        error_evidence(judged[0].facts) if len(judged) == 1 else "",
        pictures=pictures,
        tables=[errors, sides] if len(sides.frame) else [errors],
        text=f"{'; '.join(f'{name}: {scale}' for name, scale in scales.items())}. MSE is in the square of that unit, "
        "MAE in the unit. On the right side are images whose target and prediction have the same sign. Intervals are "
        f"95 % percentile bootstrap over images.{held_out if len(judged) > 1 else ''}",
    )
    return [section]


def _on_one_scale(scales: Mapping[str, Scale]) -> list[list[str]]:
    """Which targets are drawn together: all or none, since those of different units share no axis and no colours."""
    return [list(scales)] if _are_plain(scales) else [[name] for name in scales]


def _are_plain(scales: Mapping[str, Scale]) -> bool:
    return all(scale.is_plain for scale in scales.values())


def picture_section(outcome: Outcome) -> Section:
    """Explained pictures of each environment."""
    images = images_of({"": outcome})
    point = "; x rises to the right, y downwards. The ring is the target, the cross the prediction"
    return Section(
        "Which pixels does it use?",
        f"Red raises {outcome.manifest.targets[0]}, blue lowers it.",
        pictures=[
            Picture(
                [images[at] for at in positions],
                f"Explained images of {environment}",
                f"{environment}: {outcome.manifest.targets[0]}, by regions.",
                first=SHOWN,
            )
            for environment, positions in _shown(outcome.explained)
        ],
        text=f"Red raises the output, blue lowers it{point if _is_point(outcome) else ''}. "
        f"{gap_sentence(outcome.explanation)}.",
    )


def comparison_section(first: Outcome, second: Outcome) -> Section:
    """The same pictures explained for two models."""
    target = first.manifest.targets[0]
    images = images_of({first.name: first, second.name: second})
    pictures = []
    for environment, positions in _shown(first.explained):
        pictures.append(
            Picture(
                [images[at] for at in positions],
                f"The same images of {environment} explained for both models",
                f"{_share_title(environment, first, second)}; left {first.name}, right {second.name}.",
                first=SHOWN,
                maps=(0, len(first.explanation.names()[0])),
            )
        )
    ring = " The ring is the target." if _is_point(first) else ""
    return Section(
        "Which pixels do they use?",
        f"The same images, explained for both models: red raises {target}, blue lowers it.",
        pictures=pictures,
        text=f"{gap_sentence(second.explanation)}.{ring}",
    )


def _shown(explained: pd.DataFrame) -> Iterator[tuple[str, ndarray]]:
    """Each environment, and the positions of its images in the explanation, in their order."""
    environments = explained["environment"].to_numpy()
    for name in dict.fromkeys(environments):
        yield name, np.flatnonzero(environments == name)


def _is_point(outcome: Outcome) -> bool:
    """Whether the targets are a point in the image."""
    return outcome.manifest.targets == ("x", "y") and _are_plain(outcome.manifest.scales)


def _share_title(environment: str, first: Outcome, second: Outcome) -> str:
    """Such as `room_1: the scene's share is 42% → 23%`."""
    shares = [outcome.shares(outcome.manifest.targets[0]).get(environment) for outcome in (first, second)]
    known = [f"{share:.0%}" for share in shares if share is not None]
    return f"{environment}: the scene's share is {' → '.join(known)}" if len(known) == 2 else environment


def error_name(target: str) -> str:
    """What the error is called in a sentence."""
    return f"squared error of {target}"


def error_label(target: str) -> str:
    """What it is called before a number."""
    return f"MSE of {target}"


def judged_error(manifest: Manifest) -> str:
    """What remedies are ranked by."""
    return f"the squared error, mean over {' and '.join(manifest.targets)}, each on a scale from -1 to +1"
