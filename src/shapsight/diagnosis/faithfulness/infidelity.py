"""Infidelity: does hiding a part of the image change the prediction by what the part was given?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.game import Game
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.diagnosis.faithfulness.curves import check_games
from shapsight.errors import ExplainerError

SIDES = (1 / 8, 1 / 2)  # of a random rectangle, as shares of the image's sides


def infidelity(
    attributed: Float[ndarray, "*maps perturbations"], changed: Float[ndarray, "*maps perturbations"]
) -> Float[ndarray, "*maps"]:
    """The mean squared difference between what perturbations were said to change and what they did change.

        infidelity(attributed, changed)      # squared units of the output; 0 for a perfect explanation

    attributed: `I · Φ`, what the explanation says. For SHAP values, the sum of those that are hidden: they hold the
        factor `image - reference` already. For gradients, their product with the perturbation.
    changed: `f(x) - f(x - I)`, what the model says.
    Source: Yeh et al. 2019, definition 2.1.
    """
    return np.asarray(np.square(np.asarray(attributed) - np.asarray(changed)).mean(-1))


def random_rectangles(
    height: int, width: int, count: int, *, seed: int = 0
) -> Bool[Tensor, "count height width"]:
    """Masks that are true in one rectangle each, of an eighth to half of the image's sides, anywhere inside.

    Source: the "square removal" of Yeh et al. 2019, section 2.4, which perturbs contiguous pixels together.
    """
    generator = np.random.default_rng(seed)
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        spans = []
        for side in (height, width):
            length = int(
                generator.integers(max(1, round(SIDES[0] * side)), max(1, round(SIDES[1] * side)) + 1)
            )
            start = int(generator.integers(0, side - length + 1))
            spans.append(slice(start, start + length))
        mask[spans[0], spans[1]] = True
    return masks


def hidden_effects(
    games: Sequence[Game],
    explanation: Explanation,
    *,
    hidden: Bool[Tensor, "perturbations height width"] | None = None,
    perturbations: int = 24,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """What each hidden rectangle was attributed, and by how much the prediction changes when it is hidden.

        effects = hidden_effects(games_of(model, images, references[:4]), explanation)
        infidelity_per_image(effects)

    Columns: `image, output, perturbation, share, attributed, shuffled, changed`. `share` is that of the hidden pixels;
    `attributed` the sum of their values, `shuffled` the same after blocks of `block` pixels changed places at random,
    which is chance for an explanation of such values; `changed` is the prediction less the prediction with the pixels
    hidden. All in the unit of the output.

    Arguments
        games: of the explained images, in their order, with a masker that means "absent" as the explanation does: for
            DeepShap and GradientShap a few of the references.
        hidden: which pixels, instead of as many random rectangles as `perturbations` says.

    Raises `ExplainerError` where games, masks and explanation do not fit each other.
    """
    check_games(games, explanation)
    height, width = explanation.values.shape[3:]
    masks = random_rectangles(height, width, perturbations, seed=seed) if hidden is None else hidden
    if masks.shape[1:] != (height, width) or not len(masks):
        raise ExplainerError(
            f"hidden masks of shape {tuple(masks.shape)} do not fit images of {height} × {width} pixels"
        )
    inside = masks.flatten(1).double()
    parts = []
    for number, game in enumerate(games):
        change = (game.full() - game.values(~masks.unsqueeze(1))).cpu().double()
        heatmaps = explanation.heatmap()[number].cpu().double()
        shuffled = shuffled_blocks(heatmaps, block, seed + number)
        for output, (own, elsewhere) in enumerate(zip(heatmaps, shuffled, strict=True)):
            parts.append(
                pd.DataFrame(
                    {
                        "image": number,
                        "output": explanation.name_of(number, output),
                        "perturbation": np.arange(len(masks)),
                        "share": inside.mean(1).numpy(),
                        "attributed": (inside @ own.flatten()).numpy(),
                        "shuffled": (inside @ elsewhere.flatten()).numpy(),
                        "changed": change[:, int(explanation.output_index[number, output])].numpy(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def infidelity_per_image(effects: pd.DataFrame) -> pd.DataFrame:
    """The infidelity of each image and output, and how well what was attributed goes along with what changed.

    Columns: `image, output, infidelity, relative, shuffled, correlation`. `relative` is the infidelity over that of an
    explanation that says 0 everywhere: below 1, the attributions say more than nothing. `shuffled` is the same for
    blocks that changed places. `correlation` is Pearson's, NaN where nothing varies.
    Sources: Yeh et al. 2019, definition 2.1; Bhatt et al. 2020, definition 3 (faithfulness correlation).
    """
    rows = []
    for (image, output), group in effects.groupby(["image", "output"], sort=False):
        said, chance, did = (group[name].to_numpy(float) for name in ("attributed", "shuffled", "changed"))
        whole = float(np.square(did).mean())
        missed = float(infidelity(said, did))
        rows.append(
            {
                "image": image,
                "output": output,
                "infidelity": missed,
                "relative": missed / whole if whole > 0 else np.nan,
                "shuffled": float(infidelity(chance, did)) / whole if whole > 0 else np.nan,
                "correlation": pearson(said, did),
            }
        )
    return pd.DataFrame(rows)


def relative_infidelity(effects: pd.DataFrame) -> tuple[float, float]:
    """`relative` and `shuffled` of all images together, so that one whose prediction hardly changes does not decide.

    The mean over outputs; where each image has an output of its own, all are in one unit and summed.
    """
    squares = effects.assign(
        missed=(effects["attributed"] - effects["changed"]) ** 2,
        chance=(effects["shuffled"] - effects["changed"]) ** 2,
        whole=effects["changed"] ** 2,
    )
    sums = squares.groupby("output")[["missed", "chance", "whole"]].sum()
    if len(sums) == squares["image"].nunique():
        sums = sums.sum().to_frame().T
    sums = sums[sums["whole"] > 0]
    return float((sums["missed"] / sums["whole"]).mean()), float((sums["chance"] / sums["whole"]).mean())


def pearson(first: Float[ndarray, "values"], second: Float[ndarray, "values"]) -> float:
    """Pearson's correlation, in [-1, 1]; NaN where either does not vary."""
    one, two = first - first.mean(), second - second.mean()
    size = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / size if size > 0 else float("nan")


def shuffled_blocks(
    heatmaps: Float[Tensor, "outputs height width"], block: int | None, seed: int
) -> Float[Tensor, "outputs height width"]:
    """The sums of the blocks at random places, spread evenly over each block there."""
    labels = block_map(heatmaps.shape[1:], block)
    sums = block_sums(heatmaps, labels)
    places = torch.randperm(sums.shape[1], generator=torch.Generator().manual_seed(seed))
    sizes = torch.bincount(labels.flatten())
    return (sums[:, places] / sizes)[:, labels]
