"""References, chosen from a pool."""

from shapsight.attribution.references.of_pool import choose_references
from shapsight.models.references import ChosenReferences

__all__ = ["ChosenReferences", "choose_references"]
