"""Occlusion sensitivity: does a patch slid over the image change the prediction where the attribution says so?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.game import Game
from shapsight.diagnosis.faithfulness.infidelity import hidden_effects
from shapsight.diagnosis.faithfulness.similarity import rank_correlation
from shapsight.errors import ExplainerError

SIDE = 1 / 4  # of a patch, as a share of the image's sides


def sliding_patches(height: int, width: int) -> Bool[Tensor, "patches height width"]:
    """Masks that are true in one patch each, a quarter of the image's sides, in steps of half a patch: 7 × 7 of them.

    The last row and column stand at the edge. Raises `ExplainerError` for an image of fewer than 4 pixels a side.
    """
    if min(height, width) < 4:
        raise ExplainerError(
            f"no patch can be slid over an image of {height} × {width} pixels: 4 a side are needed"
        )
    spans = []
    for side in (height, width):
        length = round(side * SIDE)
        starts = np.linspace(0, side - length, round(2 / SIDE) - 1).round().astype(int)
        at = torch.arange(side)
        spans.append(torch.stack([(at >= start) & (at < start + length) for start in starts.tolist()]))
    rows, columns = spans
    return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(0, 1)


def occlusion(games: Sequence[Game], explanation: Explanation) -> pd.DataFrame:
    """How well the attributions of sliding patches go along with what hiding each patch changes.

        occlusion(games_of(model, images, references[:2]), explanation)["rank_correlation"]

    Columns: `image, output, rank_correlation`: Spearman's, in [-1, 1], over the patches; NaN where nothing varies.
    Hide behind what "absent" means to the explanation, for DeepShap some of the references, not behind grey: grey is a
    picture too. A patch's attribution shares its interactions with the rest out, hiding it takes all of them, so a
    perfect explanation is below 1 as well. Source: Zeiler and Fergus 2014, section 4.2.
    """
    effects = hidden_effects(games, explanation, hidden=sliding_patches(*explanation.values.shape[3:]))
    rows = [
        (
            image,
            output,
            *rank_correlation(*(group[name].to_numpy(float)[None] for name in ("attributed", "changed"))),
        )
        for (image, output), group in effects.groupby(["image", "output"], sort=False)
    ]
    return pd.DataFrame(rows, columns=["image", "output", "rank_correlation"])
