"""Sections that the reports of several studies have, whatever the task; and writing a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from shapsight.diagnosis.contributions import MEASURES, SCENE
from shapsight.drawing.charts.curves import training_curve
from shapsight.drawing.charts.intervals import share_bars
from shapsight.models.card import library_versions
from shapsight.report.page import Column, Page, Picture, Section, Table, plain
from shapsight.report.rendered import file_name, render_page, save_picture
from shapsight.studies.shared.contributions import AGREEMENT, BLUNT, contribution_sentences
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.narrator import duration
from shapsight.studies.shared.outcome import Judged, Outcome, Trained
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.words import called, count

CHECKS = (Column("check"), Column("found"), Column("images", format="d"), Column("detail"))
SHARES = (
    *plain("environment", "split", "output"),
    Column("images", format="d"),
    Column("share", "share inside the ROI", ".1%", low="low", high="high"),
    Column("chance", "chance", ".1%"),
)
CONTRIBUTIONS = (
    *plain("environment", "split", "output", "part", "measure"),
    Column("images", format="d"),
    Column("value", format=".3g", low="low", high="high"),
)


def contribution_words(outcome: Outcome) -> list[str]:
    """What scene and region contribute to the first output."""
    return contribution_sentences(outcome.contributions, home=outcome.manifest.train_on)


def stacked(
    judged: Sequence[Judged], tables: Sequence[pd.DataFrame], caption: str, columns: Sequence[Column]
) -> Table:
    """A table of one model, or several models' tables under each other, with a column that says whose they are.

    The numbers of several are all of held-out images, so that no column says of which split.
    """
    if len(judged) == 1:
        return Table(tables[0], caption, columns)
    named = [table.assign(model=each.name) for each, table in zip(judged, tables, strict=True)]
    shown = (Column("model", "trained on"), *(column for column in columns if column.name != "split"))
    return Table(pd.concat(named, ignore_index=True), caption, shown)


def contribution_sections(outcomes: Sequence[Outcome]) -> list[Section]:
    """What scene and region contribute, beside the exact values, and the shares of absolute attribution as a detail.

    None where that of a model is not known.
    """
    found = [outcome.contributions for outcome in outcomes if outcome.contributions is not None]
    if len(found) < len(outcomes):
        return []
    shares = [outcome.relevance for outcome in outcomes if outcome.relevance is not None]
    meanings = "; ".join(f"{measure.said}: {measure.meaning}" for measure in MEASURES)
    measures = stacked(
        outcomes, [each.measures for each in found], "Contributions by environment", CONTRIBUTIONS
    )
    rows = measures.frame
    scene = rows[(rows["measure"] == "share") & (rows["part"] == SCENE) & (rows["environment"] != "all")]
    section = Section(
        "How much comes from the scene?",
        scene_lead(outcomes[0]) if len(outcomes) == 1 else scene_leads(outcomes),
        text="SHAP values keep their sign and add up: those of the scene and those of the region of interest together "
        "are the prediction less the base value, image by image, in the output's unit. The scene's share is its mean "
        "absolute contribution over that of both. A scene that contributes much where the model was trained, and knows "
        "the target there but not elsewhere, is a shortcut."
        f"\n\n{meanings}.\n\n{BLUNT}",
        tables=[
            measures,
            stacked(
                outcomes,
                [each.agreement for each in found],
                "Sums of the attributions beside exact Shapley values",
                AGREEMENT,
            ),
            stacked(outcomes, shares, "Share of absolute attribution by environment", SHARES),
        ],
        pictures=[
            Picture(
                share_bars(scene, "scene's share of what moves {}"),
                "How much of what moves the prediction comes from the scene, by environment",
                "The scene's share of what moves the prediction; lines are 95 % intervals over images.",
            )
        ],
        notes=[
            "Half of the explained images were chosen as extremes, the others drawn at random.",
        ],
    )
    return [section]


def scene_lead(outcome: Outcome) -> str:
    """The scene's share at home and where the model is worst, in a sentence."""
    found = outcome.contributions
    assert found is not None
    shares, worst = outcome.shares(found.output), outcome.facts.worst
    home = next((place for place in outcome.manifest.train_on if place in shares), None)
    said = [
        f"{shares[place]:.0%} in {called(place)}, {where}"
        for place, where in ((home, "where it was trained"), (worst, "where it is worst"))
        if place is not None and place in shares
    ]
    return f"Of what moves {found.output}, the scene contributes {', and '.join(said)}." if said else ""


def scene_leads(outcomes: Sequence[Outcome]) -> str:
    """The scene's share of both models, where they were not trained if that is known."""
    first = outcomes[0]
    assert first.contributions is not None
    output, place = first.contributions.output, first.facts.worst or first.manifest.train_on[0]
    shares = {each.name: each.shares(output).get(place) for each in outcomes}
    said = [f"{share:.0%} of what moves {name}" for name, share in shares.items() if share is not None]
    return f"In {place}, the scene contributes {' and '.join(said)}." if said else ""


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
    card = outcomes[0].training.bundle.card
    intro = f"{card.arch}, weights: {_weights_of(outcomes[0])}. The epoch with the lowest validation loss was kept."
    notes = [sentence for outcome in outcomes for sentence in outcome.training.notes]
    return Section("How was it trained?", intro, pictures, notes=notes)


def _weights_of(trained: Trained) -> str:
    """Where the training started."""
    return str(trained.training.bundle.card.training.get("weights", "unknown"))


def training_sections(trained: Trained, checks: pd.DataFrame) -> list[Section]:
    """How a model was trained, what is odd about its data, and what was left out of them."""
    return [training_section([trained]), _checks_section(checks), left_out_section(trained)]


def model_sentence(trained: Trained) -> str:
    """`"resnet18, weights ImageNet (torchvision), best epoch 7 of 10"`."""
    training, epochs = trained.training, trained.settings.epochs
    return f"{training.bundle.card.arch}, weights {_weights_of(trained)}, best epoch {training.best_epoch} of {epochs}"


def _checks_section(checks: pd.DataFrame) -> Section:
    """What the checks of the data found."""
    worth = checks[checks["found"] != "ok"]
    passed = len(checks) - len(worth)
    intro = f"{count(passed, 'check')} of {len(checks)} found nothing; all are in checks.csv."
    tables = [Table(worth, "What the checks found", CHECKS)] if len(worth) else []
    return Section("What is odd about the data?", intro, tables=tables)


def left_out_section(judged: Judged) -> Section:
    """Files that were not used, and what else the reader said."""
    skipped = judged.manifest.skipped
    tables = [Table(skipped, f"{count(len(skipped), 'file')} left out")] if len(skipped) else []
    intro = "" if len(skipped) else "Nothing: every image found was used."
    return Section("What was left out?", intro, tables=tables, notes=judged.manifest.notes)


def settings_table(outcome: Trained, command: str, seconds: float) -> Mapping[str, str]:
    """The command and all that was set, by hand or by default."""
    given = completed(outcome.settings, outcome.manifest).as_dict()
    given |= {f"reading: {name}": value or None for name, value in given.pop("reading").items()}
    return made_with(given, command, seconds, outcome.training.bundle.card.versions)


def made_with(
    settings: Mapping[str, object], command: str, seconds: float, versions: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """What a report ends with: the command, what was set, the libraries (by default those of now), and the time."""
    given = {name: str(value) for name, value in settings.items() if value not in (None, {}, ())}
    used = ", ".join(f"{name} {version}" for name, version in (versions or library_versions()).items())
    return {"command": command, **given, "versions": used, "took": duration(seconds)}


def write_page(page: Page, run: RunFolder) -> None:
    """Write report.html, and every picture as a file of its own, PNG and SVG."""
    render_page(page, run.path / "report.html")
    folder = run.folder("figures")
    for number, picture in enumerate(page.pictures, start=1):
        save_picture(picture, folder / f"{number:02d}_{file_name(picture.alt, 5)}")
