"""Sentences about contributions hold the numbers of the tables, and say which values they are."""

import numpy as np
import pandas as pd

from shapsight.studies.shared.contributions import (
    ATTRIBUTIONS,
    EXACT,
    NO_ROI,
    Contributions,
    contribution_sentences,
)


def contributions(quoted: str = ATTRIBUTIONS, correlation: float = 0.987) -> Contributions:
    rows = []
    for environment, split, share in (
        ("room_2", "unseen", 0.34), ("room_1", "train", 0.9), ("room_1", "validation", 0.42), ("all", "unseen", 0.5),
    ):  # fmt: skip
        for part, size in (("scene", 0.1181), ("region", 0.164)):
            found = share if part == "scene" else 1 - share
            for measure, value in (("share", found), ("size", size)):
                rows.append((environment, split, "x", part, measure, 16, value, value - 0.1, value + 0.1))
    columns = "environment split output part measure images value low high".split()
    agreement = {
        "output": "x", "images": 16, "correlation_scene": correlation, "correlation_region": 0.99,
        "difference": 0.0123, "relative": 0.04, "quoted": quoted,
    }  # fmt: skip
    return Contributions(pd.DataFrame(), pd.DataFrame(rows, columns=columns), pd.DataFrame([agreement]))


def test_environments_that_were_trained_on_come_first_and_held_out_images_count():
    share, agreement = contribution_sentences(contributions(), home=["room_1"])
    assert share == (
        "The scene contributes 42% of what moves x in room_1 and 34% in room_2 (room_1: 0.118 on average, the region "
        "0.164)."
    )
    assert agreement == (
        "Exact Shapley values of the same images agree (correlation 0.99, typical difference 0.012)."
    )


def test_exact_values_are_told_where_the_sums_differ_from_them():
    *_, agreement = contribution_sentences(contributions(EXACT), home=["room_1"])
    assert "so the exact ones are told" in agreement


def test_a_correlation_that_is_not_known_is_left_out():
    *_, agreement = contribution_sentences(contributions(correlation=np.nan), home=["room_1"])
    assert agreement.endswith("agree (typical difference 0.012).")


def test_without_a_region_that_is_said():
    assert contribution_sentences(None, home=[]) == [NO_ROI]
