"""Explanation, what every explainer returns; selection, arithmetic, storage and exchange in files beside it."""

from shapsight.attribution.explanation.explanation import Explanation, Reduce

__all__ = ["Explanation", "Reduce"]
