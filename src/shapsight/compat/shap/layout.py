"""How values are handed out: a list with an array per output, as shap did before 0.45, or one array, outputs last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shapsight.errors import ExplainerError

Array = NDArray[Any]
Layout = Literal["list", "last"]


def chosen_layout(own: Layout | None) -> Layout:
    """An explainer's own layout, or the one set for the whole module, `shap.output_layout`."""
    from shapsight.compat import shap

    layout = shap.output_layout if own is None else own
    if layout not in get_args(Layout):
        raise ExplainerError(
            f"output_layout={layout!r} is neither 'list' (an array per output, as before shap 0.45) nor 'last' "
            "(one array with the outputs last)"
        )
    return layout


def laid_out(parts: Sequence[Array], layout: Layout, has_many_inputs: bool, has_many_outputs: bool) -> Any:
    """Values of each input, `(images, outputs, *input)`, as shap returns them.

        laid_out([values], "list", False, True)    # a list of (images, *input), one for each output
        laid_out([values], "list", False, False)   # (images, *input): a single output has no list around it
        laid_out([values], "last", False, True)    # (images, *input, outputs)

    Several inputs: in "list" a list of inputs for each output, in "last" a list of arrays, one for each input.
    """
    if layout == "last":
        last = [np.moveaxis(values, 1, -1) for values in parts]
        return last if has_many_inputs else last[0]
    of_outputs = [
        [values[:, output] for values in parts] if has_many_inputs else parts[0][:, output]
        for output in range(parts[0].shape[1])
    ]
    return of_outputs if has_many_outputs else of_outputs[0]
