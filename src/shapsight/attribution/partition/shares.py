"""What an image's explanation is gathered in: values, what is unresolved, and standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Size, Tensor

from shapsight.attribution.trees import Node
from shapsight.errors import ExplainerError

Scores = Float[ndarray, "outputs"]
Context = tuple[Node, ...]  # the visible pixels: all those of some nodes that do not overlap


@dataclass(frozen=True, eq=False)
class Shares:
    """SHAP values of one image while they are gathered: on the processor, in float64, whatever the model runs on.

    They are many small sums, one node at a time, for each of which a GPU would be started.

    Attributes
        values: what each number of the image got.
        unresolved: how much of it, in absolute terms, was spread evenly over a node that was not split further.
        squared_errors: of the values, where they were sampled.
        above_noise: the values where they stand out from the noise of sampling, and what they are on average elsewhere.
    """

    values: Float[Tensor, "outputs channels_or_1 *sides"]
    unresolved: Float[Tensor, "outputs channels_or_1 *sides"]
    squared_errors: Float[Tensor, "outputs channels_or_1 *sides"]
    above_noise: Float[Tensor, "outputs channels_or_1 *sides"]

    @classmethod
    def of(cls, root: Node, shape: Size, outputs: int) -> Shares:
        """Empty ones. A tree whose nodes hold whole pixels has one value a pixel, others one a number."""
        channels, *sides = shape
        pixels = math.prod(sides)
        if root.size not in (pixels, channels * pixels):
            raise ExplainerError(
                f"the tree's root holds {root.size} pixels or numbers, and the image {pixels} pixels"
            )
        players = 1 if root.size == pixels else channels
        values = torch.zeros(outputs, players, *sides, dtype=torch.float64)
        return cls(values, *(torch.zeros_like(values) for _ in range(3)))

    def spread(self, node: Node, share: Scores, squared_error: Scores | float = 0.0) -> None:
        """Give a node's share to its pixels, the same to each."""
        errors = np.broadcast_to(squared_error, share.shape)
        for output, (amount, error) in enumerate(zip(share.tolist(), errors.tolist(), strict=True)):
            self.values[output][node.index] += amount / node.size
            if error:
                self.squared_errors[output][node.index] += error / node.size**2

    def draw(self, node: Node, share: Scores) -> None:
        """Give a node's pixels what stands out of their share, the same to each."""
        for output, amount in enumerate(share.tolist()):
            self.above_noise[output][node.index] += amount / node.size

    def leave_open(self, node: Node, share: Scores, squared_error: Scores | float = 0.0) -> None:
        """The same for a node that could be split further: what it got is unresolved."""
        self.spread(node, share, squared_error)
        if node.halves() is None:
            return
        per_number = np.abs(share) / node.size
        for output, amount in enumerate(per_number.tolist()):
            self.unresolved[output][node.index] += amount


def painted(contexts: list[Context], shape: Size) -> Bool[Tensor, "coalitions channels_or_1 *sides"]:
    """The masks of some coalitions, with one channel where no node in them tells channels apart."""
    channels, *sides = shape
    whole = all(_holds_whole_pixels(node, channels) for context in contexts for node in context)
    masks = torch.zeros(len(contexts), 1 if whole else channels, *sides, dtype=torch.bool)
    for mask, context in zip(masks, contexts, strict=True):
        for node in context:
            mask[node.index] = True
    return masks


def _holds_whole_pixels(node: Node, channels: int) -> bool:
    first = node.index[0]
    return isinstance(first, slice) and first.indices(channels) == (0, channels, 1)
