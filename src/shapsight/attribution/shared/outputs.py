"""Which outputs of a model are explained: all, some by number or name, one per image, or the k highest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.attribution.shared.numbers import is_whole
from shapsight.attribution.targets.aim import Aim
from shapsight.errors import ExplainerError

MOST_OUTPUTS = 32  # an ImageNet model asked for "all" would take a thousand backward passes an image


@dataclass(frozen=True)
class TopK:
    """The k highest outputs of each image.

        DeepShap(model, references)(images, outputs=TopK(4))

    Raises `ExplainerError` for a k that is no whole number above 0.
    """

    k: int

    def __post_init__(self) -> None:
        if not is_whole(self.k) or self.k < 1:
            raise ExplainerError(f"TopK({self.k!r}): a whole number of outputs is explained, at least one")


Outputs = int | str | Aim | Sequence[int | str | Aim] | Tensor | TopK | None


def choose_outputs(
    outputs: Outputs, predictions: Float[Tensor, "images columns"], names: Sequence[str]
) -> Int[Tensor, "images outputs"]:
    """The columns of the model's output to explain for each image.

        choose_outputs("x", predictions, names=("x", "y"))        # column 0 for every image
        choose_outputs(TopK(4), predictions, names=())            # each image's own four
        choose_outputs(torch.tensor([[7, 2], [0, 7]]), predictions, names=())   # two for each of two images

    Raises `ExplainerError` for a column or name that is not there, and for `None` above 32 columns.
    """
    images, columns = predictions.shape
    if isinstance(outputs, np.ndarray | range):
        outputs = list(outputs)
    if isinstance(outputs, TopK):
        return predictions.topk(min(outputs.k, columns), dim=1).indices.cpu()
    if isinstance(outputs, Tensor) and outputs.dim() > 0:
        return _for_each_image(outputs, images, columns)
    if outputs is None:
        if columns > MOST_OUTPUTS:
            raise ExplainerError(
                f"the model has {columns} outputs; say which to explain, such as outputs=TopK(4) or outputs=[0, 7]"
            )
        chosen = list(range(columns))
    else:
        several = isinstance(outputs, Sequence) and not isinstance(outputs, str)
        wanted: Sequence[int | str | Aim] = outputs if several else [outputs]  # type: ignore[assignment, list-item]
        chosen = [_column(output, columns, names) for output in wanted]
    if not chosen:
        raise ExplainerError("outputs is an empty list: nothing to explain")
    return torch.tensor(chosen).expand(images, -1)


def _for_each_image(outputs: Tensor, images: int, columns: int) -> Int[Tensor, "images outputs"]:
    if outputs.dim() > 2 or len(outputs) != images or not outputs.numel() or outputs.is_floating_point():
        raise ExplainerError(
            f"a tensor of outputs holds one column number per image: {images} integers, or (images, outputs) integers; "
            f"not {outputs.dtype} of shape {tuple(outputs.shape)}"
        )
    for column in outputs.flatten().tolist():
        _column(column, columns, ())
    return outputs.cpu().long().remainder(columns).reshape(images, -1)


def _column(output: int | str | Aim | Tensor, columns: int, names: Sequence[str]) -> int:
    if isinstance(output, str):
        if output not in names:
            known = ", ".join(map(repr, names[:8])) or "none (pass output_names=)"
            raise ExplainerError(f"no output is called {output!r}; names: {known}")
        bearing = [column for column, name in enumerate(names) if name == output]
        if len(bearing) > 1:
            raise ExplainerError(
                f"{len(bearing)} outputs are called {output!r}, columns {', '.join(map(str, bearing))}: name one by "
                "its number"
            )
        return bearing[0]
    if not is_whole(output.item() if isinstance(output, Tensor) and output.dim() == 0 else output):
        raise ExplainerError(
            f"outputs={output!r}: an output is a whole number or a name; several are a list, the highest TopK(4)"
        )
    column = int(output)  # type: ignore[arg-type]
    if not -columns <= column < columns:
        raise ExplainerError(f"output {column} is out of range: the model has {columns} outputs")
    return column % columns
