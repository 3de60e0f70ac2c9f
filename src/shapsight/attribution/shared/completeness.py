"""What is done where attributions do not sum to what they explain."""

from __future__ import annotations

from typing import Literal

OnGap = Literal["warn", "raise", "ignore"]


class CompletenessWarning(UserWarning):
    """The attributions do not sum to prediction - base value within the tolerance."""
