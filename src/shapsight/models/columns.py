"""What a model returned, as a row for each image and a column for each output."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.errors import ExplainerError


def scores(result: Any, output: str | int | None, images: int) -> Float[Tensor, "images columns"]:
    """What `pick` finds. Raises `ExplainerError` for decisions, which no slope leads to."""
    columns = pick(result, output, images)
    if not columns.is_floating_point():
        raise ExplainerError(
            f"the model returns {columns.dtype}, such as a decision or a class, and its input moves that nowhere or in "
            "a jump: return the scores that it is decided by, or use PartitionShap or RegionShap"
        )
    return columns


def pick(result: Any, output: str | int | None, images: int) -> Float[Tensor, "images columns"]:
    """The explained part of what a model returns for so many images: a row for each, a column for each output.

    Raises `ExplainerError` for other shapes, and for complex numbers.
    """
    return as_columns(part_of(result, output), images)


def part_of(result: Any, output: str | int | None) -> Any:
    """The part of a model's result that is explained: a key, an attribute or a position; all of it for None."""
    if output is not None:
        try:
            is_attribute = isinstance(output, str) and not isinstance(result, dict)
            result = getattr(result, str(output)) if is_attribute else result[output]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ExplainerError(f"the model's result has no part {output!r}: {_describe(result)}") from error
    elif not isinstance(result, Tensor) and isinstance(getattr(result, "logits", None), Tensor):
        result = result.logits
    return result


def as_columns(result: Any, images: int) -> Float[Tensor, "images columns"]:
    """A tensor as a row for each image. The batch of a single one may be missing: squeeze() takes that away, too."""
    if not isinstance(result, Tensor):
        raise ExplainerError(f"the model returns {_describe(result)}; say with output= which part to explain")
    if result.is_complex():
        raise ExplainerError(
            f"the model returns {result.dtype}, and only real numbers can be explained: return .abs(), or .real and "
            ".imag as two columns"
        )
    result = result if result.layout == torch.strided else result.to_dense()
    if images == 1 and (result.dim() < 2 or (len(result) > 1 and result.shape[1:].numel() == 1)):
        result = result.reshape(1, -1)  # for a loss, which is no prediction, two images get one number
    if result.dim() == 0:
        raise ExplainerError(
            "the model returns a single number, such as a loss; say with output= which part of its result to "
            "explain, or wrap it so that it returns its predictions"
        )
    if result.dim() == 1:
        result = result.reshape(-1, 1)  # the same call as of a single image, whose calls DeepSHAP compares
    if result.dim() > 2 and result.shape[2:].numel() == 1:
        result = result.flatten(1)
    if result.dim() != 2:
        raise ExplainerError(
            f"the model returns a tensor of shape {tuple(result.shape)}; what can be explained is "
            "(images, outputs) or (images,). Wrap the model to reduce it to numbers, such as the mean over a region"
        )
    if len(result) != images:
        raise ExplainerError(
            f"the model returns {len(result)} rows for {images} images; what can be explained is one row for each. "
            "Look for an operation that runs over the first dimension, which is the batch"
        )
    columns: Tensor = result
    return columns


def _describe(result: Any) -> str:
    if isinstance(result, dict):
        return f"a dict with {', '.join(map(repr, result))}"
    if isinstance(result, list | tuple):
        return f"a {type(result).__name__} of {len(result)} parts"
    return f"a {type(result).__name__}"


def are_probabilities(rows: Tensor) -> bool:
    """Whether every row sums to 1 and none of its numbers is negative."""
    return rows.shape[1] > 1 and bool((rows >= 0).all() and ((rows.sum(1) - 1).abs() < 1e-3).all())


class Picked(nn.Module):
    """A network whose result is a dict, a tuple or anything else than a row for each image: what is meant of it."""

    def __init__(self, model: nn.Module, output: str | int | None) -> None:
        super().__init__()
        self.training = model.training
        self.model, self.output = model, output

    def forward(self, images: Tensor) -> Float[Tensor, "images columns"]:
        """The outputs that are meant, a row for each image."""
        return pick(self.model(images), self.output, len(images))
