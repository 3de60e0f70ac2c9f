"""What DeepExplainer and GradientExplainer share: a PyTorch network, its references, and which outputs are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation as OurExplanation
from shapsight.attribution.integrand import Integrand, as_python
from shapsight.attribution.shared.inputs import Parts, prepared_images
from shapsight.attribution.shared.layer import path_of
from shapsight.attribution.shared.suitability import runnable
from shapsight.compat.shap.explainers.explainer import Explainer
from shapsight.compat.shap.explanation import Explanation
from shapsight.compat.shap.layout import Array, Layout, chosen_layout, laid_out
from shapsight.errors import ExplainerError

RankOrder = Literal["max", "min", "max_abs"]
IMAGES_AT_A_TIME = 32


class NetworkExplainer(Explainer):
    """A PyTorch network, or `(network, layer)`, and its references."""

    engine: Any  # one of our explainers, which has checked the references

    def __init__(self, model: Any, data: Any, output_layout: Layout | None) -> None:
        network, layer = model if isinstance(model, tuple) else (model, None)
        if not isinstance(network, nn.Module):
            raise ExplainerError(
                f"{type(self).__name__} explains PyTorch modules here, not a {type(network).__name__}: "
                "use shap itself for TensorFlow, or shap.Explainer with an image masker for any function"
            )
        self.model = network
        self.layer = None if layer is None else path_of(network, layer)
        self.data = data
        self.output_layout = output_layout
        self.has_many_inputs = isinstance(data, list | tuple)
        chosen_layout(output_layout)  # refuses a layout that is none

    @cached_property
    def expected_value(self) -> Float[np.ndarray, "outputs"]:
        """The mean prediction over the references, computed when it is first asked for."""
        mean: Array = self._predictions(self.engine.references).double().mean(0).cpu().numpy()
        return mean

    def _predictions(self, parts: Parts) -> Float[Tensor, "images outputs"]:
        model = runnable(self.model, may_be_scripted=True)
        with as_python(model):
            return Integrand(model).predict(parts, IMAGES_AT_A_TIME)

    def _given(self, X: Any) -> Tensor | list[Tensor]:  # noqa: N803 (shap's name)
        """Images as tensors: one, or a list for a network with several inputs."""
        if isinstance(X, list | tuple) != self.has_many_inputs:
            kinds = ("a list of tensors, one for each input", "a single tensor")
            raise ExplainerError(
                f"the references are {kinds[not self.has_many_inputs]}, so the images must be as well; got a "
                f"{type(X).__name__}"
            )
        return tensors(X)

    def _explained(self, engine: Any, given: Any, ranks: Any, **options: Any) -> tuple[OurExplanation, ...]:
        """Explanations of every input; all outputs, however many, unless ranked `(images, outputs)` or targets."""
        if ranks is None:
            first = prepared_images(given, self.engine.references)
            columns = self._predictions(tuple(part[:1] for part in first)).shape[1]
            result = engine(given, list(range(columns)), **options)
        else:
            result = engine(given, ranks, **options)
        return result if isinstance(result, tuple) else (result,)

    def _ranks(self, given: Any, count: Any, order: str) -> tuple[Int[Tensor, "images outputs"], int]:
        """The first `count` outputs of each image in an order, and how many the network has."""
        if order not in ("max", "min", "max_abs"):
            raise ExplainerError(f"output_rank_order={order!r} is not one of 'max', 'min' and 'max_abs'")
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ExplainerError(f"ranked_outputs={count!r} must be a whole number of at least 1, or None")
        predictions = self._predictions(prepared_images(given, self.engine.references))
        keys = predictions.abs() if order == "max_abs" else predictions
        ranks = torch.argsort(keys, dim=1, descending=order != "min", stable=True)[:, : int(count)]
        return ranks, predictions.shape[1]

    def _shaped(
        self, explanations: Sequence[OurExplanation], given: Any, values: Sequence[Tensor]
    ) -> list[Array]:
        """Values of every input as `(images, outputs, *input)`: in the shape of the input, or of the layer's."""
        inputs = [given] if isinstance(given, Tensor) else given
        shapes = [tuple(part.shape[1:]) for part in inputs] if self.layer is None else [self._layer_shape]
        counts = explanations[0].values.shape[:2]
        return [
            value.detach().cpu().numpy().reshape(*counts, *shape)
            for value, shape in zip(values, shapes, strict=self.layer is None)
        ]

    @cached_property
    def _layer_shape(self) -> tuple[int, ...]:
        model = runnable(self.model, may_be_scripted=True)
        with as_python(model):
            first = tuple(part[:1] for part in self.engine.references)
            return tuple(Integrand(model, layer=self.layer).explained(first, 1)[0].shape[1:])

    def _with_ranks(
        self,
        values: Sequence[Array],
        ranks: tuple[Tensor, int] | None,
        variances: Sequence[Array] | None = None,
    ) -> Any:
        """What shap returns: values, then variances and ranks where they were asked for."""
        layout = chosen_layout(self.output_layout)
        has_many_inputs = self.has_many_inputs and self.layer is None
        has_many_outputs = (values[0].shape[1] if ranks is None else ranks[1]) > 1
        parts = [values] if variances is None else [values, variances]
        result = [laid_out(part, layout, has_many_inputs, has_many_outputs) for part in parts]
        if ranks is not None and (has_many_outputs or layout == "last"):
            result.append(ranks[0])
        return result[0] if len(result) == 1 else tuple(result)

    def _explanation(self, explanations: Sequence[OurExplanation], given: Any, X: Any) -> Any:  # noqa: N803
        """In shap's layout; a list of explanations for several inputs."""
        arrays = self._shaped(explanations, given, [explanation.values for explanation in explanations])
        base_values = explanations[0].base_values.cpu().numpy()
        inputs = X if self.has_many_inputs else [X]
        result = []
        for values, data in zip(arrays, inputs, strict=self.layer is None):
            names = list(explanations[0].output_names) or None
            explanation = Explanation(np.moveaxis(values, 1, -1), base_values, data, output_names=names)
            result.append(explanation)
        return result if self.has_many_inputs and self.layer is None else result[0]


def tensors(data: Any) -> Tensor | list[Tensor]:
    """Tensors, from tensors or whatever numpy reads."""
    if isinstance(data, list | tuple):
        return [_tensor(part) for part in data]
    return _tensor(data)


def _tensor(part: Any) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach()
    try:
        array = np.asarray(part)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        raise ExplainerError(f"images must be tensors (images, channels, height, width): {error}") from error
