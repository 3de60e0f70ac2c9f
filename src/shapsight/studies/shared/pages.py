"""The reports of `debug` and `demo`: which sections answer which question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from shapsight.drawing.curves import training_curve
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table, render_page
from shapsight.studies.shared.analysis import Judged, Outcome, Trained
from shapsight.studies.shared.contribution_words import contribution_sentences
from shapsight.studies.shared.contributions import value_of
from shapsight.studies.shared.error_sections import contribution_section, error_figures, error_section
from shapsight.studies.shared.error_words import count, error_sentence, errors_of
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.picture_sections import comparison_section, picture_section
from shapsight.studies.shared.run_folder import RunFolder

CHECKS = (Column("check"), Column("found"), Column("images", format="d"), Column("detail"))


def debug_page(outcome: Outcome, *, command: str, seconds: float) -> Page:
    """The report of one model."""
    manifest = outcome.manifest
    name = ", ".join(manifest.train_on)
    return Page(
        title=f"Trained on {name}: where does it fail, and where does it look?",
        answer=[error_sentence(outcome), *contribution_words(outcome)],
        key_figures=_key_figures(outcome),
        sections=[
            error_section([outcome]),
            *([contribution_section([outcome])] if outcome.contributions is not None else []),
            picture_section(outcome),
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
            *contribution_words(before),
            f"After training on {after.name}: "
            + "; ".join(f"{entry.environment} MSE {entry}" for entry in errors_of(after, target))
            + ".",
            *contribution_words(after),
        ],
        key_figures=_comparison_figures(before, after),
        sections=[
            comparison_section(before, after),
            *([contribution_section([before, after])] if before.contributions is not None else []),
            error_section([before, after]),
            training_section([before, after]),
        ],
        settings=settings_table(before, command, seconds),
    )


def contribution_words(outcome: Outcome) -> list[str]:
    """What scene and region contribute to the first output."""
    return contribution_sentences(
        outcome.contributions,
        outcome.manifest.output_names[0],
        home=outcome.manifest.train_on,
        is_classes=bool(outcome.manifest.class_names),
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


def _key_figures(outcome: Outcome) -> list[KeyFigure]:
    figures = error_figures(outcome)
    target = outcome.manifest.targets[0]
    if outcome.contributions is not None:
        measures, home = outcome.contributions.measures, outcome.manifest.train_on
        for environment in dict.fromkeys(measures["environment"]):
            share = value_of(measures, target, "share", environment=environment)
            if share is not None and environment != "all":
                where = "trained there" if environment in home else "never trained there"
                figures.append(
                    KeyFigure(f"scene's share of {target}, {environment}", f"{share['value']:.0%}", where)
                )
    return figures


def _comparison_figures(before: Outcome, after: Outcome) -> list[KeyFigure]:
    target = before.manifest.targets[0]
    change = f"trained on {before.name} → on {after.name}"
    figures = [
        KeyFigure(f"MSE of {target} in {one.environment}", f"{one.mse:.2g} → {two.mse:.2g}", change)
        for one, two in zip(errors_of(before, target), errors_of(after, target), strict=True)
    ]
    if before.contributions is None or after.contributions is None:
        return figures
    for environment in before.manifest.environments:
        shares = [
            value_of(outcome.contributions.measures, target, "share", environment=environment)
            for outcome in (before, after)
            if outcome.contributions is not None
        ]
        said = [f"{share['value']:.0%}" for share in shares if share is not None]
        if len(said) == len(shares):
            figures.append(KeyFigure(f"scene's share of {target} in {environment}", " → ".join(said), change))
    return figures


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
