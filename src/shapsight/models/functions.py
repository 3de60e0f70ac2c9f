"""Functions as models: Keras, ONNX Runtime, scikit-learn, JAX, a web service; whatever answers arrays with scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.errors import ExplainerError, ModelError
from shapsight.models.columns import as_columns, part_of

Layout = Literal["channels first", "channels last"]


class Asked(nn.Module):
    """A function as a module: it gets arrays, its answers come back as tensors, and nothing has a gradient.

        Asked(lambda images: session.run(None, {"input": images})[0])

    Arguments
        function: takes `(N, C, H, W)`, or `(N, H, W, C)` with the layout "channels last", float32.
        output: which part of a dict or tuple that it returns is meant.
        name: what it is called, by default as the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        layout: Layout = "channels first",
        output: str | int | None = None,
        name: str = "",
    ) -> None:
        super().__init__()
        self.function, self.layout, self.output = function, layout, output
        self.name = name or getattr(function, "__name__", type(function).__name__)

    def forward(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images outputs"]:
        """What the function says, a row for each image."""
        return as_rows(part_of(self.said(images), self.output), len(images)).to(images.device)

    def said(self, images: Float[Tensor, "images channels height width"]) -> Any:
        """What the function says, as it says it."""
        given = images.detach().float().cpu()
        if self.layout == "channels last":
            given = given.permute(0, 2, 3, 1)
        return said(self.function, given.numpy().copy(order="C"))


def answers(
    function: Callable[..., Any], array: np.ndarray, output: str | int | None
) -> Float[Tensor, "images outputs"]:
    """What a function says of an array of images, a row for each; Keras is told that nothing is trained."""
    return as_rows(part_of(said(function, array), output), len(array))


def said(function: Callable[..., Any], array: np.ndarray) -> Any:
    """What a function says of an array of images, as it says it; Keras is told that nothing is trained."""
    with torch.no_grad():
        return function(array, training=False) if is_keras(function) else function(array)


def as_function(model: Any) -> Callable[..., Any] | None:
    """What can be asked of a model that is no PyTorch module; None of something else.

    A function or Keras model is taken as it is, an ONNX Runtime session by its only input and its first output, and an
    estimator of scikit-learn by `predict_proba`, else `predict`, of each image's numbers in a row.
    """
    if type(model).__name__ == "InferenceSession" and hasattr(model, "get_inputs"):
        return _of_session(model)
    if is_keras(model) or (callable(model) and not hasattr(model, "predict_proba")):
        return model  # type: ignore[no-any-return]
    ask = getattr(model, "predict_proba", None) or getattr(model, "predict", None)
    return None if ask is None else lambda images: ask(images.reshape(len(images), -1))


def _of_session(session: Any) -> Callable[..., Any]:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(
            f"the ONNX model has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}): pass a function of the "
            "images that fills in the others"
        )
    numbers = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(inputs[0].type, np.float32)
    rows = inputs[0].shape[0]
    if isinstance(rows, int):  # exported for a batch of so many
        return lambda images: np.concatenate(
            [
                session.run(None, {inputs[0].name: part.astype(numbers)})[0]
                for part in in_batches_of(rows, images)
            ]
        )[: len(images)]
    return lambda images: session.run(None, {inputs[0].name: images.astype(numbers)})[0]


def in_batches_of(size: int, images: np.ndarray) -> list[np.ndarray]:
    """Batches of exactly that size; the last one is filled up with its last image."""
    short = -len(images) % size
    whole = np.concatenate([images, np.repeat(images[-1:], short, 0)])
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def is_keras(model: object) -> bool:
    """Whether a model is Keras's, which takes channels last even where it is an `nn.Module` as well."""
    return any(base.__module__.partition(".")[0] in ("keras", "tf_keras") for base in type(model).__mro__)


def as_rows(result: Any, images: int) -> Tensor:
    """What a function returned, as a tensor of one row per image."""
    if isinstance(result, Tensor):
        return as_columns(result.detach(), images)
    if isinstance(result, dict):
        as_columns(result, images)  # which says what to do about it
    array = read_array(result, f"the model returns a {type(result).__name__} that numpy cannot read")
    if array.dtype.kind not in "fiub":
        raise ExplainerError(
            f"the model returns a {type(result).__name__} of {array.dtype}; what can be explained is an array of "
            "numbers, (images, outputs) or (images,)"
        )
    numbers = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    return as_columns(torch.from_numpy(numbers), images)


def read_array(given: Any, complaint: str) -> np.ndarray:
    """What numpy makes of it, or the complaint with numpy's reason."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        raise ExplainerError(f"{complaint}: {error}") from error
