import numpy as np
import pandas as pd
import pytest
import torch

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.relevance import (
    relevance_mass_accuracy,
    relevance_per_environment,
    relevance_per_image,
)
from shapsight.errors import DataError


def explanation_of(values: torch.Tensor) -> Explanation:
    count = values.shape[:2]
    zeros = torch.zeros(count)
    return Explanation(
        values=values,
        base_values=zeros,
        predictions=zeros,
        completeness_gap=zeros,
        output_index=torch.arange(count[1]).expand(count),
        images=torch.zeros(count[0], *values.shape[2:]),
        output_names=("x", "y"),
    )


def test_the_share_inside_counts_absolute_attribution_by_hand():
    heat = torch.tensor([[[[1.0, -3.0], [0.0, 4.0]]]])
    mask = np.array([[[False, True], [False, False]]])
    assert relevance_mass_accuracy(heat, mask)[0, 0] == pytest.approx(3 / 8)


def test_even_attribution_scores_the_share_of_the_area():
    masks = np.zeros((2, 10, 10), bool)
    masks[:, 4:] = True
    shares = relevance_mass_accuracy(torch.ones(2, 3, 10, 10), masks)
    assert shares == pytest.approx(np.full((2, 3), 0.6))


def test_an_image_without_attribution_has_no_share():
    assert np.isnan(relevance_mass_accuracy(torch.zeros(1, 1, 4, 4), np.ones((1, 4, 4), bool))).all()


def test_masks_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(DataError, match=r"4 × 4"):
        relevance_mass_accuracy(torch.zeros(1, 1, 4, 4), np.ones((1, 5, 5), bool))


def test_the_table_of_environments_holds_their_mean_and_an_interval_around_it():
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(12, 2, 3, 8, 8, generator=generator)
    masks = np.zeros((12, 8, 8), bool)
    masks[:, 4:] = True
    rows = pd.DataFrame(
        {"path": [f"{i}.jpg" for i in range(12)], "environment": ["a"] * 11 + ["b"], "split": "unseen"}
    )
    per_image = relevance_per_image(explanation_of(values), rows, masks)
    table = relevance_per_environment(per_image, seed=0)
    assert list(table["environment"]) == ["a", "b", "a", "b"]
    assert list(table["output"]) == ["x", "x", "y", "y"]
    a = table.iloc[0]
    inside = values[:11, 0].abs().sum(1)[:, 4:].sum((1, 2)) / values[:11, 0].abs().sum((1, 2, 3))
    assert a["share"] == pytest.approx(inside.mean().item(), rel=1e-5)
    assert a["low"] < a["share"] < a["high"]
    assert a["chance"] == 0.5
    assert np.isnan(table.iloc[1]["low"])  # a single image has no interval
