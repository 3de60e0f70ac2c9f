"""Which pictures show what changing the scene did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from shapsight.jobs.diagnosis.why import Tested


def figures_of(tested: Tested) -> dict[str, Figure]:
    """Title -> figure."""
    return {}
