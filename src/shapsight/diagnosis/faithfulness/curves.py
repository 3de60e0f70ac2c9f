"""Insertion, deletion and pixel flipping: what a model says while an image is shown, or hidden, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from scipy.integrate import trapezoid
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.maskers import as_masker
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.predictor import Predictor, as_images
from shapsight.diagnosis.estimate import Estimate
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.diagnosis.intervals import ratio_with_interval
from shapsight.errors import ExplainerError
from shapsight.models.columns import are_probabilities

Order = Literal["value", "size", "random"]
KEYS = ["image", "output", "order", "curve"]
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Removal:
    """What a model says of one image while its blocks are hidden, and while they are shown, in some order.

    Attributes
        shares: of the pixels that are hidden (shown), from 0 to 1.
        deletion: all outputs with that share hidden, the first of the order first; insertion: with only it shown.
    """

    shares: Float[Tensor, "steps"]
    deletion: Float[Tensor, "steps columns"]
    insertion: Float[Tensor, "steps columns"]


def games_of(
    predict: nn.Module | Callable[..., Any],
    images: Shaped[Tensor, "images channels height width"],
    masker: Any,
    *,
    batch_size: int = 50,
) -> list[Game]:
    """The game of each image: what the model says when only some of its pixels are visible.

    games = games_of(model, images, "blur(64,64)")      # also "mean", 0.5, a tensor of references, a Masker
    removal_curves(games, explanation)
    """
    predictor, hidden_by = Predictor(predict), as_masker(masker)
    return [
        Game(predictor, hidden_by, image, batch_size=batch_size) for image in as_images(images, predictor)
    ]


def removal(
    game: Game, scores: Float[Tensor, "blocks"], labels: Int[Tensor, "height width"], steps: int
) -> Removal:
    """Hide, and show, the blocks of an image in `steps` steps of equally many, the highest scores first."""
    blocks = len(scores)
    rank = torch.empty(blocks, dtype=torch.long)
    rank[scores.cpu().argsort(descending=True, stable=True)] = torch.arange(blocks)
    ranks = rank[labels]
    counts = torch.linspace(0, blocks, min(steps, blocks) + 1).round().long()
    is_first = ranks < counts[1:-1, None, None]
    empty, full = game.empty()[None].cpu(), game.full()[None].cpu()
    inner = torch.cat([~is_first, is_first]).unsqueeze(1)
    answers = game.values(inner).cpu() if len(inner) else full[:0]
    deleted, inserted = answers.chunk(2) if len(inner) else (answers, answers)
    shares = (ranks.flatten() < counts[:, None]).double().mean(1)
    return Removal(
        shares, torch.cat([full, deleted, empty]).double(), torch.cat([empty, inserted, full]).double()
    )


def removal_curves(
    games: Sequence[Game],
    explanation: Explanation,
    *,
    order: Order = "value",
    block: int | None = None,
    steps: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """Insertion and deletion of every image and output, as a table of one row a step.

        games = games_of(model, images, "blur(64,64)")
        curves = removal_curves(games, explanation, order="size")      # what a regression wants
        areas = area_under(curves, "distance")

    Columns: `image, output, order, curve, share, prediction, distance, probability`. `curve` is "deletion" or
    "insertion", `share` the share of pixels hidden or shown by then. `prediction` is the output itself, `distance` how
    far it is from the prediction for the whole image, and `probability` its softmax among all outputs, which means
    something for classes only.
    Deletion by "value" is pixel flipping by blocks, the most relevant first; insertion by "value", read backwards, is
    pixel flipping with the least relevant first.

    Arguments
        games: of the images that are explained, in their order; see `games_of`.
        order: the highest "value" first, which suits a class; the largest absolute value, "size", first, which suits a
            number that attributions pull both ways; or "random", the chance that a good order must beat.
        block: side of the squares that are hidden together, in pixels: 1 for single pixels, None for 14 squares a side.
        steps: in how many steps they are; with as many as there are blocks, one after another.
        seed: of the random orders.

    Raises `ExplainerError` where games and explanation do not fit each other.
    Sources: Petsiuk et al. 2018 (RISE); Bach et al. 2015 and Samek et al. 2017 (pixel and region flipping); with
    steps for all blocks and a constant masker, Montavon et al. 2018 (selectivity).
    """
    check_games(games, explanation)
    if steps < 1:
        raise ExplainerError(f"steps={steps} must be at least 1")
    labels = block_map(explanation.values.shape[3:], block)
    parts = []
    for number, game in enumerate(games):
        sums = block_sums(explanation.heatmap()[number].cpu(), labels)
        for output, found in enumerate(_removals(game, sums, labels, order, steps, seed + number)):
            column = int(explanation.output_index[number, output])
            parts.append(
                pd.concat(_rows(found, column), ignore_index=True).assign(
                    image=number, output=explanation.name_of(number, output), order=order
                )
            )
    return pd.concat(parts, ignore_index=True)[[*KEYS, "share", "prediction", "distance", "probability"]]


def area_under(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """The area under every curve, as the mean of `column` over the shares: one row an image, output, order and curve.

    Columns: `image, output, order, curve, area`, in the unit of the column.
    """
    groups = curves.groupby(KEYS, sort=False)
    areas = groups[["share", column]].apply(
        lambda rows: float(trapezoid(rows[column], rows["share"])) / float(np.ptp(rows["share"]))
    )
    return areas.rename("area").reset_index()


def check_games(games: Sequence[Game], explanation: Explanation) -> None:
    """Raise `ExplainerError` where the games are not of the explained images."""
    sizes = {tuple(game.image.shape[1:]) for game in games}
    if len(games) != len(explanation) or sizes - {tuple(explanation.values.shape[3:])}:
        raise ExplainerError(
            f"{len(games)} images of {sorted(sizes)} pixels do not fit an explanation of {len(explanation)} images of "
            f"{tuple(explanation.values.shape[3:])}"
        )


def _removals(
    game: Game, sums: Float[Tensor, "outputs blocks"], labels: Tensor, order: Order, steps: int, seed: int
) -> list[Removal]:
    """One for each output; a random order serves them all."""
    if order == "random":
        scores = torch.rand(sums.shape[1], generator=torch.Generator().manual_seed(seed))
        return [removal(game, scores, labels, steps)] * len(sums)
    if order not in ("value", "size"):
        raise ExplainerError(f"order={order!r} is not one of 'value', 'size' and 'random'")
    return [removal(game, of.abs() if order == "size" else of, labels, steps) for of in sums]


def _rows(found: Removal, column: int) -> list[pd.DataFrame]:
    whole = found.deletion[0, column]
    return [
        pd.DataFrame(
            {
                "curve": curve,
                "share": found.shares.numpy(),
                "prediction": answers[:, column].numpy(),
                "distance": (answers[:, column] - whole).abs().numpy(),
                "probability": _probabilities(answers)[:, column].numpy(),
            }
        )
        for curve, answers in (("deletion", found.deletion), ("insertion", found.insertion))
    ]


def _probabilities(answers: Float[Tensor, "rows classes"]) -> Float[Tensor, "rows classes"]:
    """Logits as probabilities."""
    return answers if are_probabilities(answers) else answers.softmax(1)


def with_moved(curves: pd.DataFrame, *, is_regression: bool) -> pd.DataFrame:
    """`removal_curves` and, as `moved`, how far the prediction has: its distance, or the fall of the probability."""
    if is_regression:
        return curves.drop(columns=["probability"]).assign(moved=curves["distance"])
    whole = curves[(curves["curve"] == "deletion") & (curves["share"] == 0) & (curves["order"] == "value")]
    full = whole.set_index(["image", "output"])["probability"].rename("full")
    joined = curves.join(full, on=["image", "output"])
    return curves.assign(moved=joined["full"] - joined["probability"])


def beside_random(curves: pd.DataFrame, curve: str, *, seed: int = 0) -> Estimate:
    """The area under `moved` over that of random orders, each output on the scale of these: a ratio, without a unit.

    beside_random(with_moved(curves, is_regression=True), "deletion")      # above 1: better than chance
    """
    order = "size" if "size" in set(curves["order"]) else "value"
    areas = area_under(curves, "moved")
    table = areas[areas["curve"] == curve].pivot_table(
        index=["image", "output"], columns="order", values="area", sort=False
    )
    scale = table.groupby("output")["random"].transform("mean")
    sums = table.div(scale.where(scale > 0), axis=0).groupby("image").sum()
    ours, random = (sums[name].to_numpy(float) for name in (order, "random"))
    return Estimate(*ratio_with_interval(ours, random, np.random.default_rng(seed), resamples=RESAMPLES))


def flipping_gaps(curves: pd.DataFrame) -> pd.DataFrame:
    """`image, output, gap`: how much higher an output stays if its most relevant blocks go last instead of first."""
    areas = area_under(curves[curves["order"] == "value"], "prediction")
    table = areas.pivot_table(index=["image", "output"], columns="curve", values="area", sort=False)
    return (table["insertion"] - table["deletion"]).reset_index(name="gap")
