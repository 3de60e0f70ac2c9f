"""DeepSHAP on function calls: record the image, replay it against the references."""

from shapsight.attribution.deep.decisions import SelectionWarning
from shapsight.attribution.deep.explainer import DeepShap
from shapsight.attribution.deep.registry import register_rule
from shapsight.attribution.shared.completeness import CompletenessWarning
from shapsight.attribution.shared.suitability import HalfPrecisionWarning

__all__ = ["CompletenessWarning", "DeepShap", "HalfPrecisionWarning", "SelectionWarning", "register_rule"]
