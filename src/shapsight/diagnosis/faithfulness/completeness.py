"""Completeness: how exactly the attributions sum to what they explain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from shapsight.attribution.explanation import Explanation


def completeness(explanation: Explanation) -> pd.DataFrame:
    """How much of `prediction - base value` the attributions of each image and output miss.

        completeness(explanation)["of_attribution"].max()

    Columns: `image, output, change, gap, of_change, of_attribution`. `change` is `prediction - base value` and `gap`
    what is missing of it, both in the output's unit. `of_change` is |gap| over |change|, which says little where the
    change happens to be small; `of_attribution` is |gap| over the sum of absolute attributions, which does not depend
    on that. Both are 0 for an exact explanation and NaN where they would be divided by 0.
    Source: the completeness axiom, Sundararajan et al. 2017, proposition 1; local accuracy, Lundberg and Lee 2017.
    """
    # Summed here again: what an explanation says of its own gap may be older than its values.
    change = (explanation.predictions.cpu().double() - explanation.base_values.cpu().double()).numpy()
    gap = change - explanation.values.cpu().double().flatten(2).sum(2).numpy()
    size = explanation.values.cpu().double().abs().flatten(2).sum(2).numpy()
    images, outputs = gap.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        of_change, of_attribution = (
            np.where(whole > 0, np.abs(gap) / whole, np.nan) for whole in (np.abs(change), size)
        )
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(images), outputs),
            "output": [name for names in explanation.names() for name in names],
            "change": change.ravel(),
            "gap": gap.ravel(),
            "of_change": of_change.ravel(),
            "of_attribution": of_attribution.ravel(),
        }
    )
