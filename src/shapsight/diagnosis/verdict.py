"""The verdict: what the numbers of a diagnosis come to, in a few sentences, with the evidence behind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Fact = float | int | str | bool | None
Facts = Mapping[str, Mapping[str, Fact]]
Level = Literal["ok", "suspicious", "shortcut", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What a diagnosis comes to."""

    level: Level
    sentences: tuple[str, ...]


def judge(facts: Facts) -> Verdict:
    """Judge."""
    return Verdict("unknown", ("To be done.",))
