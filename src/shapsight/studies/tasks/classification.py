"""A classification: how often it is right, what it mistakes, how sure it is, and which pixels it uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.data.manifest import Manifest
from shapsight.diagnosis.classes import calibration_table, class_table, confusion_table, evaluate_classes
from shapsight.diagnosis.contributions import PARTS, class_contributions_per_image
from shapsight.diagnosis.groups import EVERY
from shapsight.drawing.charts.classes import calibration_plot, confusion_plot
from shapsight.drawing.charts.intervals import accuracy_bars
from shapsight.models.card import Card
from shapsight.report.page import Column, Picture, Section, Table, plain
from shapsight.studies.shared.contributions import EXACT, PREDICTED, agreement_row, as_array
from shapsight.studies.shared.examples import images_of
from shapsight.studies.shared.outcome import Judged, Outcome
from shapsight.studies.shared.sampling import choose_of_each_class
from shapsight.studies.shared.sections import stacked
from shapsight.studies.shared.words import gap_sentence

FIRST_OUTPUT: Outputs = TopK(1)
ACCURACY = (
    *plain("environment", "split"),
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
TESTED = ("test", "unseen")


def measure(predictions: pd.DataFrame, manifest: Manifest, *, seed: int = 0) -> pd.DataFrame:
    """How well classes are told apart, in each environment."""
    return evaluate_classes(predictions, manifest.class_names, seed=seed)


def choose(predictions: pd.DataFrame, manifest: Manifest, count: int, seed: int) -> pd.DataFrame:
    """One image of each class; `count` is of environments and not asked for."""
    return choose_of_each_class(predictions, seed=seed)


def is_known(rows: pd.DataFrame, manifest: Manifest) -> Bool[ndarray, "rows"]:
    """Whether the label is a class of the model."""
    return np.asarray(rows["label"].isin(manifest.class_names))


def contributions(
    sums: RegionValues, exact: RegionValues, rows: pd.DataFrame, manifest: Manifest
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of the class that each image is taken for; what its label gets is known from the exact values."""
    names, true = list(manifest.class_names), as_array(exact.values)
    said, labels = (rows[column].map(names.index).to_numpy(int) for column in ("predicted_label", "label"))
    where = (sums.output_index.cpu().numpy() == said[:, None]).argmax(1)
    at = np.arange(len(said))
    table = class_contributions_per_image(true, rows, PREDICTED, explained=said, labels=labels)
    of_sums, of_exact = as_array(sums.values)[at, where], true[at, said]
    record = agreement_row(PREDICTED, of_sums, of_exact)
    quoted = of_exact if record["quoted"] == EXACT else of_sums
    columns = {"value": quoted, "sums": of_sums, "exact": of_exact}
    flat = {name: values.T.reshape(-1) for name, values in columns.items()}
    return table.assign(change=np.tile(quoted.sum(1), len(PARTS)), **flat), pd.DataFrame([record])


def right_side(predictions: pd.DataFrame, manifest: Manifest) -> Float[ndarray, "rows"]:
    """A class has no side."""
    return np.full(len(predictions), np.nan)


def reading(card: Card, scales: Mapping[str, Any]) -> dict[str, Any]:
    """Labels are those that the model knows."""
    return {"class_names": card.class_names}


def title(manifest: Manifest) -> str:
    """What a model's report asks."""
    return f"{len(manifest.class_names)} classes: which does it tell apart, and by which pixels?"


def answer(judged: Judged) -> str:
    """How many images are told right, and what is mistaken for what most often."""
    found = judged.measured("accuracy")
    best = [place for place in found if place.split in TESTED] or found
    worst = min(best, key=lambda place: place.found.value)
    where = "where it is worst, " if len(best) > 1 else ""
    sentence = (
        f"The model tells {worst.found.value:.1%} of the images right {where}in {worst.environment} ({worst.split}; "
        f"{worst.interval('.1%')})."
    )
    rows = judged.predictions
    rows = rows[(rows["split"] == worst.split) & (rows["environment"] == worst.environment)]
    mistakes = rows[rows["label"] != rows["predicted_label"]]
    if mistakes.empty:
        return sentence
    commonest = mistakes.groupby(["label", "predicted_label"]).size().sort_values(ascending=False)
    label, taken_for = commonest.index[0]
    return f"{sentence} Its commonest mistake: {label} taken for {taken_for}, {commonest.iloc[0]} of {len(mistakes)}."


def measured_lines(judged: Sequence[Judged]) -> list[str]:
    """A line for each model and place."""
    return [f"Accuracy   {at.place} {at.said('.1%')}" for each in judged for at in each.measured("accuracy")]


def curves(judged: Judged) -> dict[str, float]:
    """Such as `accuracy/room_1`."""
    return {f"accuracy/{at.environment}": at.found.value for at in judged.measured("accuracy")}


def error_sections(judged: Sequence[Judged], links: Collection[str] = ()) -> list[Section]:
    """Accuracy, F1 and calibration of each environment; of a single model also what it mistakes."""
    table = stacked(judged, [each.errors for each in judged], "Accuracy by environment", ACCURACY)
    bars = Picture(
        accuracy_bars(table.frame[table.frame["environment"] != EVERY]),
        "Accuracy by environment",
        "Share of images told right; lines are 95 % intervals.",
    )
    section = Section(
        "How often is it right?" if len(judged) == 1 else "How often is each right?",
        answer(judged[0]) if len(judged) == 1 else "",
        pictures=[bars],
        tables=[table],
        text="F1 is the mean over classes. The calibration error is the mean distance between how sure the model is "
        "and how often it is right. Intervals are 95 % percentile bootstrap over images.",
    )
    return [section, _mistakes_section(judged[0])] if len(judged) == 1 else [section]


def _mistakes_section(judged: Judged) -> Section:
    """Which classes are taken for which, and how sure the model is; of test or unseen images, if there are any."""
    splits = set(judged.held_out["split"])
    rows = judged.predictions[judged.predictions["split"].isin(splits & set(TESTED) or splits)]
    names = judged.manifest.class_names
    confusion = confusion_plot(confusion_table(rows, names))
    calibration = calibration_plot(calibration_table(rows))
    said = "How often the model is right, by how sure it is: on the diagonal as often as it is sure."
    return Section(
        "What does it mistake for what?",
        f"All {len(rows)} images of: {', '.join(dict.fromkeys(rows['split']))}.",
        pictures=[
            Picture(confusion, "Confusion matrix: labels in rows, predictions in columns"),
            Picture(calibration, "Accuracy against confidence", said),
        ],
        tables=[Table(class_table(rows, names), "Each class", CLASSES)],
    )


def picture_section(outcome: Outcome) -> Section:
    """An image of each class."""
    splits = ", ".join(dict.fromkeys(outcome.explained["split"]))
    return Section(
        "Which pixels does it use?",
        "Red speaks for the class that the model says, blue against it.",
        pictures=[
            Picture(
                images_of({"": outcome}),
                "Explained images of each class",
                "One image of each class; a click opens it, with the other classes.",
            )
        ],
        text=f"One image of each class, drawn from: {splits}. Red raises a class's logit, blue lowers it. "
        f"{gap_sentence(outcome.explanation)}.",
    )


def comparison_section(first: Outcome, second: Outcome) -> Section:
    """The same pictures of each class, with what speaks for their label."""
    labels = first.explained["label"].to_numpy()
    images = images_of({first.name: first, second.name: second})
    shown, known = [], first.explanation.output_names or ()
    for image, label in zip(images, labels, strict=True):
        mine = [each for each in image.maps if each.output == label] if label in known else []
        if len(mine) == 2:
            shown.append(replace(image, maps=tuple(mine)))
    pictures = []
    if shown:
        pictures = [
            Picture(
                shown,
                "Images of each class explained for both models",
                f"Left {first.name}, right {second.name}: what speaks for the image's own label.",
                maps=(0, 1),
            )
        ]
    return Section(
        "Which pixels do they use?",
        "The same images, explained for both models: red speaks for the image's own label, blue against it.",
        pictures=pictures,
        text=f"{gap_sentence(second.explanation)}.",
    )


def error_name(target: str) -> str:
    """What the error is called in a sentence."""
    return "share of wrong labels"


def error_label(target: str) -> str:
    """What it is called before a number."""
    return "wrong labels"


def judged_error(manifest: Manifest) -> str:
    """What remedies are ranked by."""
    return "the share of wrong labels"
