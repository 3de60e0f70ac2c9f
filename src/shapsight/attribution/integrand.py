"""A model on the way from references to an image: predictions, a layer's input, and gradients at any point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shapsight.attribution.shared.inputs import Parts
from shapsight.attribution.shared.layer import LayerInput
from shapsight.attribution.shared.mixing import farthest, refuse_mixing
from shapsight.attribution.shared.modules import left_as_found
from shapsight.attribution.shared.placement import full_float32
from shapsight.attribution.shared.strided import convolve
from shapsight.attribution.shared.suitability import first_non_finite
from shapsight.errors import ExplainerError
from shapsight.models.columns import scores


class PlacedInput(LayerInput):
    """The first tensor that a submodule is given, replaced by another one while `watching`."""

    def __init__(self, model: nn.Module, path: str, point: Tensor) -> None:
        super().__init__(model, path)
        self.point = point

    def _catch(self, value: Tensor) -> Tensor:
        self.caught.append(value)
        return self.point.clone()


class QuickConvolutions(TorchFunctionMode):
    """Strided convolutions over few channels get a quicker gradient to their input; see `deep/strided.py`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d:
            return convolve(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def as_python(model: nn.Module) -> Iterator[None]:
    """A model in eval mode, frozen, in its own precision, no TF32, and not compiled; afterwards as it was found."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    has_compiled = "torch._dynamo" in sys.modules  # otherwise nothing has been compiled
    eager = torch.compiler.set_stance("force_eager") if has_compiled else nullcontext()
    with (
        torch.inference_mode(False),
        torch.autocast(device.type, enabled=False),
        full_float32(device),
        eager,
        left_as_found(model),
    ):
        yield


@dataclass(frozen=True)
class Integrand:
    """A model with what is asked of it. Every method expects to be called inside `as_python`."""

    model: nn.Module
    output: str | int | None = None
    layer: str | None = None
    precision: str | None = None
    memory_format: torch.memory_format = torch.preserve_format

    def laid_out(self, parts: Parts) -> Parts:
        """Copies in the memory format in which the model is run; the model may change them in place."""
        return tuple(
            part.clone(memory_format=self.memory_format if part.dim() == 4 else torch.preserve_format)
            for part in parts
        )

    def predict(self, parts: Parts, batch_size: int) -> Float[Tensor, "images columns"]:
        """Predictions, without gradients."""
        with torch.no_grad():
            return torch.cat([self._columns(self.laid_out(batch)) for batch in batches(parts, batch_size)])

    def explained(self, parts: Parts, batch_size: int) -> Parts:
        """What is explained of some images: they themselves, or what they become at the layer."""
        if self.layer is None:
            return self.laid_out(parts)
        caught = []
        for batch in batches(parts, batch_size):
            layer = LayerInput(self.model, self.layer)
            with torch.no_grad(), layer.watching():
                self.model(*self.laid_out(batch))
            caught.append(layer.take(len(batch[0])))
        return (torch.cat(caught),)

    def gradients(
        self, points: Parts, inputs: Parts, columns: Sequence[int]
    ) -> Iterator[tuple[Float[Tensor, "points columns"], Parts]]:
        """Predictions at the points, and the gradient of each wanted column there; one forward pass for all columns.

        With a layer, `points` are its inputs, and `inputs` are the images that the rest of the model sees.
        """
        leaves = tuple(point.detach().requires_grad_() for point in points)
        rough = torch.autocast(leaves[0].device.type, torch.bfloat16, enabled=self.precision is not None)
        quick = QuickConvolutions() if self.precision is None else nullcontext()
        with torch.enable_grad(), rough, quick:
            if self.layer is None:
                predictions = self._columns(tuple(leaf.clone() for leaf in leaves))
            else:
                placed = PlacedInput(self.model, self.layer, leaves[0])
                with placed.watching():
                    predictions = self._columns(self.laid_out(inputs))
                placed.take(len(leaves[0]))
        if not predictions.requires_grad:
            raise ExplainerError(
                f"the model's prediction does not depend on {'its input' if self.layer is None else self.layer} by "
                "anything that has a gradient (TorchScript optimised for inference has none): there is nothing to "
                "explain. PartitionShap and RegionShap need no gradients"
            )
        for number, column in enumerate(columns):
            gradients = torch.autograd.grad(
                predictions[:, column].sum(),
                leaves,
                retain_graph=number + 1 < len(columns),
                materialize_grads=True,
            )
            yield predictions.detach(), gradients

    def check(self, images: Parts, references: Parts) -> Integrand:
        """Refuse a model that mixes the images of a batch or is random, and choose the memory format.

        Channels last is quicker where a processor's convolutions are the work, unless the model calls `.view()`.
        """
        number = farthest(images, references)
        both = tuple(torch.stack([i[0], r[number]]) for i, r in zip(images, references, strict=True))
        alone = torch.cat([self.predict(batch, 1) for batch in batches(both, 1)])
        if alone.isfinite().all():
            refuse_mixing(alone, self.predict(both, 2))
        has_convolutions = any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        if not has_convolutions or images[0].dim() != 4 or images[0].device.type != "cpu":
            return self
        channels_last = replace(self, memory_format=torch.channels_last)
        try:
            channels_last.predict(tuple(part[:1] for part in both), 1)
        except RuntimeError:
            return self
        return channels_last

    def refuse_non_finite(self, values: Tensor, inputs: Parts, name: Callable[[int], str], what: str) -> None:
        """Raise if a row is NaN or infinite, with its name and, where predictions are, the module where it begins."""
        bad = (~values.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if not bad:
            return
        message = f"{what} for {name(bad[0])} is NaN or infinite: nothing can be attributed."
        row = tuple(part[bad[0] : bad[0] + 1].detach().clone() for part in inputs)
        if not self.predict(row, 1).isfinite().all():
            message += f" The first module with such an output is {first_non_finite(self.model, list(row))}"
        raise ExplainerError(message)

    def _columns(self, inputs: Parts) -> Tensor:
        return scores(self.model(*inputs), self.output, len(inputs[0]))


def batches(parts: Parts, size: int) -> Iterator[Parts]:
    """Some rows of every part at a time."""
    for start in range(0, len(parts[0]), size):
        yield tuple(part[start : start + size] for part in parts)
