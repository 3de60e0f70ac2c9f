"""The report of a classifier: how often it is right, what it mistakes, how sure it is, and which pixels it uses."""

from __future__ import annotations

import pandas as pd

from shapsight.attribution.explanation.heatmaps import image_plot
from shapsight.diagnosis.classes import calibration_table, class_table, confusion_table
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table
from shapsight.studies.shared.analysis import Judged, Outcome
from shapsight.studies.shared.error_sections import contribution_section
from shapsight.studies.shared.error_words import gap_sentence
from shapsight.studies.shared.pages import (
    checks_sections,
    contribution_words,
    left_out_section,
    settings_table,
    training_section,
)
from shapsight.studies.tasks.classification_pictures import accuracy_bars, calibration_plot, confusion_plot
from shapsight.studies.tasks.classification_words import accuracies, accuracy_sentence, judged

ACCURACY = (
    Column("environment"),
    Column("split"),
    Column("images", format="d"),
    Column("accuracy", "accuracy", ".1%", low="accuracy_low", high="accuracy_high"),
    Column("f1", "F1", ".3f", low="f1_low", high="f1_high"),
    Column(
        "calibration_error",
        "calibration error",
        ".3f",
        low="calibration_error_low",
        high="calibration_error_high",
    ),
)
CLASSES = (
    Column("label", "class"),
    Column("images", format="d"),
    Column("precision", format=".3f"),
    Column("recall", format=".3f"),
    Column("f1", "F1", ".3f"),
)
A_PICTURE = 5  # images in one figure: more rows are cut by the end of a screen


def class_page(outcome: Outcome, *, command: str, seconds: float) -> Page:
    """The report of one classifier."""
    names = outcome.manifest.class_names
    answer = [accuracy_sentence(outcome)]
    if outcome.contributions is not None:
        answer += contribution_words(outcome)
    return Page(
        title=f"{len(names)} classes: which does it tell apart, and by which pixels?",
        answer=answer,
        key_figures=[
            KeyFigure(f"accuracy, {place}", said.split(" (")[0], said) for place, said in accuracies(outcome)
        ],
        sections=[
            accuracy_section(outcome.errors),
            mistakes_section(judged_predictions(outcome), names),
            *([contribution_section([outcome])] if outcome.contributions is not None else []),
            _picture_section(outcome),
            training_section([outcome]),
            *checks_sections(outcome),
            left_out_section(outcome),
        ],
        settings=settings_table(outcome, command, seconds),
    )


def judged_predictions(outcome: Judged) -> pd.DataFrame:
    """The predictions of images that were not trained on: of the test or unseen ones, where there are any."""
    splits = set(judged(outcome)["split"])
    best = splits & {"test", "unseen"} or splits
    return outcome.predictions[outcome.predictions["split"].isin(best)]


def accuracy_section(errors: pd.DataFrame) -> Section:
    """Accuracy, F1 and calibration of each environment."""
    bars = errors[errors["environment"] != "all"]
    return Section(
        "How often is it right?",
        "F1 is the mean over classes. The calibration error is the mean distance between how sure the model is and "
        "how often it is right. Intervals are 95 % percentile bootstrap over images.",
        tables=[Table(errors, "Accuracy by environment", ACCURACY)],
        pictures=[
            Picture(accuracy_bars(bars), "Accuracy by environment", "Lines are 95 % bootstrap intervals.")
        ],
    )


def mistakes_section(predictions: pd.DataFrame, names: tuple[str, ...]) -> Section:
    """Which classes are taken for which, and how sure the model is of it."""
    splits = ", ".join(dict.fromkeys(predictions["split"]))
    confusion = confusion_table(predictions, names)
    return Section(
        "What does it mistake for what?",
        f"All {len(predictions)} images of: {splits}.",
        tables=[Table(class_table(predictions, names), "Each class", CLASSES)],
        pictures=[
            Picture(confusion_plot(confusion), "Confusion matrix: labels in rows, predictions in columns"),
            Picture(
                calibration_plot(calibration_table(predictions)),
                "Accuracy against confidence",
                "On the red diagonal the model is as often right as it is sure.",
            ),
        ],
    )


def _picture_section(outcome: Outcome) -> Section:
    pictures = []
    for start in range(0, len(outcome.explained), A_PICTURE):
        rows = outcome.explained.iloc[start : start + A_PICTURE]
        chosen = outcome.explanation.select(images=list(range(start, start + len(rows))))
        labels = [
            row["label"]
            if row["label"] == row["predicted_label"]
            else f"{row['label']}, taken for {row['predicted_label']}"
            for row in rows.to_dict("records")
        ]
        figure = image_plot(chosen, true_labels=labels, unit="logit")
        pictures.append(Picture(figure, f"Explained images of {', '.join(rows['label'])}"))
    splits = ", ".join(dict.fromkeys(outcome.explained["split"]))
    return Section(
        "Which pixels does it use?",
        f"One image of each class, drawn from: {splits}. Red raises a class's logit, blue lowers it; one "
        f"scale for each row. {gap_sentence(outcome)}.",
        pictures=pictures,
    )
