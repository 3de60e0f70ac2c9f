"""Facts: what a study found, as typed fields; flat in JSON, where an estimate is three names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self, cast, get_type_hints

import numpy as np

from shapsight.diagnosis.estimate import UNKNOWN, Estimate

Fact = float | int | str | bool | None
ENDS = ("low", "high")


class Facts:
    """The base of a frozen dataclass whose fields are numbers, texts, truths, None, or an `Estimate`.

        @dataclass(frozen=True)
        class SwapFacts(Facts):
            images: int
            scene_share: Estimate = NOT_MEASURED

        SwapFacts(12, Estimate(0.3, 0.2, 0.4)).to_json()
        # {"images": 12, "scene_share": 0.3, "scene_share_low": 0.2, "scene_share_high": 0.4}

    An estimate without a number has null for all three, and `NAME_reason` if it has one. A `float` that is not known is
    NaN here and null in JSON.
    """

    def to_json(self) -> dict[str, Fact]:
        """The facts by name, ready for JSON: no numbers of numpy's, and null for what is not finite."""
        flat: dict[str, Fact] = {}
        for field in fields(cast(Any, self)):
            value = getattr(self, field.name)
            if isinstance(value, Estimate):
                flat[field.name] = plain(value.value)
                flat |= {f"{field.name}_{end}": plain(getattr(value, end)) for end in ENDS}
                flat |= {f"{field.name}_reason": value.reason} if value.reason else {}
            else:
                flat[field.name] = plain(value)
        return flat

    @classmethod
    def from_json(cls, flat: Mapping[str, Any]) -> Self:
        """What `to_json` gave; a field that is missing has its default. Raises `ValueError` for one that is unknown."""
        left = dict(flat)
        found: dict[str, Any] = {}
        for name, kind in get_type_hints(cls).items():
            if kind is Estimate:
                value, low, high = (_number(left.pop(f"{name}{end}", None)) for end in ("", "_low", "_high"))
                found[name] = Estimate(value, low, high, left.pop(f"{name}_reason", ""))
            elif name in left:
                found[name] = _number(left.pop(name)) if kind is float else left.pop(name)
        if left:
            raise ValueError(f"{cls.__name__} has no field {', '.join(left)}")
        return cls(**found)


def _number(value: float | None) -> float:
    return UNKNOWN if value is None else float(value)


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
