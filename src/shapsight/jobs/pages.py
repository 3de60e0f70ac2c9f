"""The reports of `debug` and `demo`: which tables and pictures answer which question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shapsight.jobs.analysis import Judged, Outcome, Trained
from shapsight.jobs.findings import (
    count,
    duration,
    error_sentence,
    errors_of,
    gap_sentence,
    relevance_sentence,
)
from shapsight.jobs.run_folder import RunFolder
from shapsight.jobs.settings import completed
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table, render_page
from shapsight.report.plots import (
    compare_plot,
    error_bars,
    image_plot,
    relevance_bars,
    scatter_panels,
    training_curve,
)

SHOWN = 4  # pictures of each environment: more is scrolled past
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
CHECKS = (Column("check"), Column("found"), Column("images", format="d"), Column("detail"))
SHARES = (
    Column("environment"),
    Column("split"),
    Column("output"),
    Column("images", format="d"),
    Column("share", "share inside the ROI", ".1%", low="low", high="high"),
    Column("chance", "chance", ".1%"),
)
MODEL = Column("model", "trained on")


def debug_page(outcome: Outcome, *, command: str, seconds: float) -> Page:
    """The report of one model."""
    manifest = outcome.manifest
    name = ", ".join(manifest.train_on)
    return Page(
        title=f"Trained on {name}: where does it fail, and where does it look?",
        answer=[error_sentence(outcome), relevance_sentence(outcome.relevance, manifest.targets[0])],
        key_figures=_key_figures(outcome),
        sections=[
            error_section([outcome]),
            *([relevance_section([outcome])] if outcome.relevance is not None else []),
            _picture_section(outcome),
            training_section([outcome]),
            *checks_sections(outcome),
            left_out_section(outcome),
        ],
        settings=settings_table(outcome, command, seconds),
    )


def demo_page(before: Outcome, after: Outcome, *, command: str, seconds: float) -> Page:
    """The report of two models, side by side."""
    target = before.manifest.targets[0]
    return Page(
        title="The same track in three rooms: what a model learned, and what more rooms change",
        answer=[
            error_sentence(before),
            relevance_sentence(before.relevance, target),
            f"After training on {after.name}: "
            + "; ".join(f"{entry.environment} MSE {entry}" for entry in errors_of(after, target))
            + ".",
            relevance_sentence(after.relevance, target),
        ],
        key_figures=_comparison_figures(before, after),
        sections=[
            error_section([before, after]),
            *([relevance_section([before, after])] if before.relevance is not None else []),
            comparison_section(before, after),
            training_section([before, after]),
        ],
        settings=settings_table(before, command, seconds),
    )


def write_page(page: Page, run: RunFolder) -> None:
    """Write report.html, and every figure as a file of its own."""
    render_page(page, run.path / "report.html")
    folder = run.folder("figures")
    pictures = [picture for section in page.sections for picture in section.pictures]
    for number, picture in enumerate(pictures, start=1):
        if isinstance(picture.figure, Figure):
            picture.figure.savefig(folder / f"{number:02d}_{_slug(picture.alt)}.png", dpi=144)


def _slug(text: str) -> str:
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return "_".join(kept.split()[:5])


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


def _key_figures(outcome: Outcome) -> list[KeyFigure]:
    figures = error_figures(outcome)
    target = outcome.manifest.targets[0]
    if outcome.relevance is not None:
        rows = outcome.relevance[outcome.relevance["output"] == target]
        inside, chance = (
            float(np.average(rows[name], weights=rows["images"])) for name in ("share", "chance")
        )
        figures.append(KeyFigure("attribution inside the ROI", f"{inside:.0%}", f"chance {chance:.0%}"))
    return figures


def _comparison_figures(before: Outcome, after: Outcome) -> list[KeyFigure]:
    target = before.manifest.targets[0]
    return [
        KeyFigure(
            f"MSE of {target} in {one.environment}",
            f"{one.mse:.2g} → {two.mse:.2g}",
            f"trained on {before.name} → on {after.name}",
        )
        for one, two in zip(errors_of(before, target), errors_of(after, target), strict=True)
    ]


def stacked(outcomes: Sequence[Judged], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several models' tables under each other, with a column that says whose they are."""
    if len(outcomes) == 1:
        return tables[0]
    return pd.concat(
        [table.assign(model=outcome.name) for outcome, table in zip(outcomes, tables, strict=True)],
        ignore_index=True,
    )


def _columns(outcomes: Sequence[Judged], columns: Sequence[Column]) -> Sequence[Column]:
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
            Table(errors, "Errors of each target", _columns(outcomes, ERRORS)),
            *([Table(signed, "Right side", _columns(outcomes, SIDES))] if len(signed) else []),
        ],
        pictures=pictures,
    )


def relevance_section(outcomes: Sequence[Outcome]) -> Section:
    """Shares of attribution inside the region of interest."""
    tables = [outcome.relevance for outcome in outcomes if outcome.relevance is not None]
    shares = stacked(outcomes, tables)
    return Section(
        "Where does it look?",
        "The share of absolute attribution inside the region of interest. Chance is the region's share of the "
        "image: what a model would score that looks everywhere alike. A high error together with a low share is a "
        "hint, not a proof, that the model uses the scene. Shares are computed from single pixels; the heatmaps below "
        "sum over small cells, so that they can be read.",
        tables=[Table(shares, "Relevance mass accuracy by environment", _columns(outcomes, SHARES))],
        pictures=[Picture(relevance_bars(shares), "Share of attribution inside the region of interest")],
        notes=[
            "Half of the explained images were chosen as extremes (see below), the others drawn at random."
        ],
    )


def _shown(explained: pd.DataFrame) -> dict[str, np.ndarray]:
    """Positions, in the explanation, of the pictures to show for each environment."""
    environments = explained["environment"].to_numpy()
    return {name: np.flatnonzero(environments == name)[:SHOWN] for name in dict.fromkeys(environments)}


def _pixel(values: pd.DataFrame, size: tuple[int, int]) -> np.ndarray:
    """Targets in [-1, 1] as pixels of the drawn image, where pixel centres are whole numbers."""
    height, width = size
    return np.asarray((values.to_numpy(float) + 1) / 2 * np.array([width, height]) - 0.5)


def _why(rows: pd.DataFrame) -> list[str]:
    return [f"{row['why']} ({row['split']})" for row in rows.to_dict("records")]


def _picture_section(outcome: Outcome) -> Section:
    targets, scales = list(outcome.manifest.targets), outcome.manifest.scales
    are_plain = all(scale.is_plain for scale in scales.values())
    is_point = are_plain and targets == ["x", "y"]
    pictures = []
    for environment, positions in _shown(outcome.explained).items():
        rows = outcome.explained.iloc[positions]
        chosen = outcome.explanation.select(images=positions.tolist())
        size = (chosen.images.shape[-2], chosen.images.shape[-1])
        options: dict[str, Any] = {"true_labels": _why(rows)}
        if is_point:
            options["targets"] = _pixel(rows[targets], size)
            options["predictions_xy"] = _pixel(rows[[f"predicted_{target}" for target in targets]], size)
        # heatmaps of different units share no scale
        for together in [targets] if are_plain else [[target] for target in targets]:
            unit = (
                "units of the output" if are_plain else scales[together[0]].unit or f"units of {together[0]}"
            )
            figure: Figure = image_plot(chosen.select(outputs=together), unit=unit, **options)
            what = "" if are_plain else f", {together[0]}"
            pictures.append(
                Picture(figure, f"Explained images of {environment}{what}", f"{environment}{what}")
            )
    point = (
        "; x rises to the right, y downwards. The ring is the target, the cross the prediction"
        if is_point
        else ""
    )
    return Section(
        "Which pixels does it use?",
        f"Red pixels raise the output, blue pixels lower it{point}. One scale for each row. {gap_sentence(outcome)}.",
        pictures=pictures,
    )


def comparison_section(before: Outcome, after: Outcome) -> Section:
    """The same pictures explained for two models."""
    pictures = []
    targets = list(before.manifest.targets)
    is_point = targets == ["x", "y"]
    for environment, positions in _shown(before.explained).items():
        rows = before.explained.iloc[positions]
        first, second = (o.explanation.select(images=positions.tolist()) for o in (before, after))
        size = (first.images.shape[-2], first.images.shape[-1])
        figure = compare_plot(
            first,
            second,
            names=(before.name, after.name),
            output=targets[0],
            true_labels=_why(rows),
            targets=_pixel(rows[targets], size) if is_point else None,
        )
        pictures.append(
            Picture(figure, f"The same images of {environment} explained for both models", environment)
        )
    return Section(
        "Which pixels do they use?",
        "The same pictures, explained for both models, on one scale for each row. Red pixels raise "
        f"{targets[0]}{' (steer right)' if is_point else ''}, blue pixels lower it."
        f"{' The ring is the target.' if is_point else ''} {gap_sentence(after)}.",
        pictures=pictures,
    )


def training_section(outcomes: Sequence[Trained]) -> Section:
    """How the losses went."""
    pictures = [
        Picture(
            training_curve(outcome.training.history, outcome.training.best_epoch),
            f"Losses over the epochs, {outcome.name}",
            outcome.name,
        )
        for outcome in outcomes
    ]
    notes = [sentence for outcome in outcomes for sentence in outcome.training.notes]
    card = outcomes[0].training.bundle.card
    weights = card.training.get("weights", "unknown")
    intro = f"{card.arch}, weights: {weights}. The epoch with the lowest validation loss was kept."
    return Section("How was it trained?", intro, pictures=pictures, notes=notes)


def checks_sections(outcome: Trained) -> list[Section]:
    """What the checks of the data found, where they were made."""
    if outcome.checks is None:
        return []
    worth = outcome.checks[outcome.checks["found"] != "ok"]
    passed = len(outcome.checks) - len(worth)
    intro = f"{count(passed, 'check')} of {len(outcome.checks)} found nothing; all are in checks.csv."
    tables = [Table(worth, "What the checks found", CHECKS)] if len(worth) else []
    return [Section("What is odd about the data?", intro, tables=tables)]


def left_out_section(outcome: Judged) -> Section:
    """Files that were not used, and what else the reader said."""
    skipped = outcome.manifest.skipped
    tables = [Table(skipped, f"{count(len(skipped), 'file')} left out")] if len(skipped) else []
    intro = "" if len(skipped) else "Nothing: every image found was used."
    return Section("What was left out?", intro, tables=tables, notes=outcome.manifest.notes)


def settings_table(outcome: Trained, command: str, seconds: float) -> Mapping[str, str]:
    """The command and all that was set, by hand or by default."""
    card = outcome.training.bundle.card
    given = completed(outcome.settings, outcome.manifest).as_dict()
    reading = given.pop("reading")
    given |= {f"reading: {name}": value for name, value in reading.items() if value not in (None, (), False)}
    settings = {name: str(value) for name, value in given.items() if value not in (None, {}, ())}
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return {"command": command, **settings, "versions": versions, "took": duration(seconds)}
