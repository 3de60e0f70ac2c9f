"""What came out of a classification, in plain sentences, each computed from the tables of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from shapsight.diagnosis.groups import EVERY
from shapsight.studies.shared.analysis import Judged
from shapsight.studies.shared.error_words import count, interval


def judged(outcome: Judged) -> pd.DataFrame:
    """The rows of the errors that were not trained on; all of them, if there are no others."""
    errors = outcome.errors[outcome.errors["environment"] != EVERY]
    held_out = errors[errors["split"] != "train"]
    return held_out if len(held_out) else errors


def accuracies(outcome: Judged) -> list[tuple[str, str]]:
    """A place, and its accuracy with interval: `("fashion-mnist (test)", "91.3 % (95 % 90.7 to 91.8 %, ...)")`."""
    return [
        (
            f"{row['environment']} ({row['split']})",
            f"{row['accuracy']:.1%} ({_interval(row)}, {count(row['images'], 'image')})",
        )
        for row in judged(outcome).to_dict("records")
    ]


def _interval(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    return interval(row["accuracy_low"], row["accuracy_high"], ".1%")


def accuracy_sentence(outcome: Judged) -> str:
    """How many images are told right, and what is mistaken for what most often."""
    rows = judged(outcome)
    best = rows[rows["split"].isin(["test", "unseen"])]
    row = (best if len(best) else rows).sort_values("accuracy").iloc[0]
    where = "where it is worst, " if len(best) > 1 else ""
    sentence = (
        f"The model tells {row['accuracy']:.1%} of the images right {where}in {row['environment']} ({row['split']}; "
        f"{_interval(row)})."
    )
    mistakes = outcome.predictions[
        (outcome.predictions["split"] == row["split"])
        & (outcome.predictions["environment"] == row["environment"])
        & (outcome.predictions["label"] != outcome.predictions["predicted_label"])
    ]
    if mistakes.empty:
        return sentence
    commonest = mistakes.groupby(["label", "predicted_label"]).size().sort_values(ascending=False)
    pairs = [(label, said, n) for (label, said), n in commonest.head(1).items()]
    label, said, n = pairs[0]
    return f"{sentence} Its commonest mistake: {label} taken for {said}, {n} of {len(mistakes)}."
