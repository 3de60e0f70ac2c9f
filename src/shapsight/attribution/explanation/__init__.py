"""Explanation, what every explainer returns; selection, arithmetic, storage and exchange in files beside it."""

from shapsight.attribution.explanation.detail import Detail
from shapsight.attribution.explanation.explanation import Explanation, Reduce

__all__ = ["Detail", "Explanation", "Reduce"]
