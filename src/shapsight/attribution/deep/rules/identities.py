"""Calls that pass their input on unchanged when a model is evaluated."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from torch import Tensor

from shapsight.attribution.deep.rules.rule import paired

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call


@paired("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
def dropout(call: Call, input: Tensor, p: float = 0.5, training: bool = True, **_: Any) -> Tensor:
    """Nothing is dropped in eval mode; a functional dropout that forgot its flag is switched off, with a warning."""
    if training and p > 0:
        warnings.warn(
            f"{call.where()} calls {call.name} with training=True although the model is in eval mode; it is "
            "switched off here, so that predictions and attributions do not change from run to run. "
            "Write F.dropout(x, p, training=self.training)",
            stacklevel=2,
        )
    return input
