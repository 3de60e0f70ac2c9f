"""Sections of a report that answer how large the errors are and where the attribution lies."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from shapsight.diagnosis.contributions import MEASURES, SCENE
from shapsight.drawing.bars import error_bars, share_bars
from shapsight.drawing.scatter import scatter_panels
from shapsight.report.page import Column, KeyFigure, Picture, Section, Table
from shapsight.studies.shared.analysis import Judged, Outcome
from shapsight.studies.shared.contribution_words import BLUNT
from shapsight.studies.shared.contributions import AGREEMENT
from shapsight.studies.shared.error_words import errors_of

ERRORS = (
    Column("environment"),
    Column("split"),
    Column("target"),
    Column("images", format="d"),
    Column("mse", "MSE", ".3g", low="mse_low", high="mse_high"),
    Column("mae", "MAE", ".3g", low="mae_low", high="mae_high"),
    Column("r2", "R²", ".2f", low="r2_low", high="r2_high"),
)
SIDES = (
    *ERRORS[:4],
    Column("sign_accuracy", "on the right side", ".0%", low="sign_accuracy_low", high="sign_accuracy_high"),
)
SHARES = (
    Column("environment"),
    Column("split"),
    Column("output"),
    Column("images", format="d"),
    Column("share", "share inside the ROI", ".1%", low="low", high="high"),
    Column("chance", "chance", ".1%"),
)
CONTRIBUTIONS = (
    Column("environment"),
    Column("split"),
    Column("output"),
    Column("part"),
    Column("measure"),
    Column("images", format="d"),
    Column("value", format=".3g", low="low", high="high"),
)
MODEL = Column("model", "trained on")


def error_figures(outcome: Judged) -> list[KeyFigure]:
    """The error of the first target in each environment."""
    target = outcome.manifest.targets[0]
    return [
        KeyFigure(
            f"MSE of {target} in {entry.environment}",
            f"{entry.mse:.3g}",
            f"{entry.split}, {entry.interval}",
        )
        for entry in errors_of(outcome, target)
    ]


def stacked(outcomes: Sequence[Judged], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several models' tables under each other, with a column that says whose they are."""
    if len(outcomes) == 1:
        return tables[0]
    return pd.concat(
        [table.assign(model=outcome.name) for outcome, table in zip(outcomes, tables, strict=True)],
        ignore_index=True,
    )


def columns(outcomes: Sequence[Judged], columns: Sequence[Column]) -> Sequence[Column]:
    """For several models a column says whose the numbers are; they are all of held-out images, so none says that."""
    if len(outcomes) == 1:
        return columns
    return (MODEL, *(column for column in columns if column.name != "split"))


def error_section(outcomes: Sequence[Judged]) -> Section:
    """The errors of each target in each environment, and predictions against targets."""
    errors = stacked(outcomes, [outcome.errors for outcome in outcomes])
    targets = outcomes[0].manifest.targets
    bars = errors[errors["environment"] != "all"]
    signed = errors[errors["sign_accuracy"].notna()]
    scales = outcomes[0].manifest.scales
    # targets of different units share no axis
    shared = [targets] if all(scale.is_plain for scale in scales.values()) else [(name,) for name in targets]
    pictures = [
        Picture(
            error_bars(bars[bars["target"].isin(together)]),
            f"Mean squared error of {', '.join(together)} by environment",
            "Lines are 95 % bootstrap intervals.",
        )
        for together in shared
    ]
    for outcome in outcomes:
        pictures += [
            Picture(
                scatter_panels(outcome.predictions, target),
                f"Predicted against actual {target}, {outcome.name}",
                f"{target}, model {outcome.name}. On the red diagonal the prediction is right.",
            )
            for target in targets
        ]
    return Section(
        "How large is the error?",
        f"{'; '.join(f'{name}: {scale}' for name, scale in scales.items())}. MSE is in the square of that unit, MAE in "
        "the unit. On the right side are images whose target and prediction have the same sign. Intervals are "
        "95 % percentile bootstrap over images."
        + (
            " All numbers are of held-out images, which neither model was trained on."
            if len(outcomes) > 1
            else ""
        ),
        tables=[
            Table(errors, "Errors of each target", columns(outcomes, ERRORS)),
            *([Table(signed, "Right side", columns(outcomes, SIDES))] if len(signed) else []),
        ],
        pictures=pictures,
    )


def contribution_section(outcomes: Sequence[Outcome]) -> Section:
    """What scene and region contribute, beside the exact values, and the shares of absolute attribution as a detail."""
    found = [outcome.contributions for outcome in outcomes if outcome.contributions is not None]
    measures = stacked(outcomes, [each.measures for each in found])
    agreement = stacked(outcomes, [each.agreement for each in found])
    shares = stacked(outcomes, [outcome.relevance for outcome in outcomes if outcome.relevance is not None])
    scene = measures[(measures["measure"] == "share") & (measures["part"] == SCENE)]
    meanings = "; ".join(f"{measure.said}: {measure.meaning}" for measure in MEASURES)
    return Section(
        "How much comes from the scene?",
        "SHAP values keep their sign and add up: those of the scene and those of the region of interest together are "
        "the prediction less the base value, image by image, in the output's unit. The scene's share is its mean "
        "absolute contribution over that of both. A scene that contributes much where the model was trained, and knows "
        "the target there but not elsewhere, is a shortcut.",
        tables=[
            Table(measures, "Contributions by environment", columns(outcomes, CONTRIBUTIONS)),
            Table(
                agreement,
                "Sums of the attributions beside exact Shapley values",
                _of_models(outcomes, AGREEMENT),
            ),
            Table(shares, "Share of absolute attribution by environment", columns(outcomes, SHARES)),
        ],
        pictures=[
            Picture(
                share_bars(scene[scene["environment"] != "all"], "scene's share of what moves {}"),
                "How much of what moves the prediction comes from the scene, by environment",
                "Lines are 95 % bootstrap intervals over images.",
            )
        ],
        notes=[
            f"{meanings}.",
            BLUNT,
            "Half of the explained images were chosen as extremes (see below), the others drawn at random.",
        ],
    )


def _of_models(outcomes: Sequence[Judged], columns: Sequence[Column]) -> Sequence[Column]:
    return columns if len(outcomes) == 1 else (MODEL, *columns)
