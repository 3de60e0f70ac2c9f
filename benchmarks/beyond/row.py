"""One line of the table of models beyond classifiers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A model, how it was explained, and how exactly.

    gap: a share of `prediction - base value`; against: what the values were compared with.
    seconds: of the explanation; bare_seconds: of as many plain passes of the model.
    """

    kind: str
    model: str
    method: str
    gap: float
    against: str
    seconds: float
    bare_seconds: float
    note: str = ""
