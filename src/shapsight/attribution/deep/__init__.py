"""DeepSHAP on function calls: record the image, replay it against the references."""

from shapsight.attribution.deep.explainer import CompletenessWarning, DeepShap
from shapsight.attribution.deep.registry import register_rule

__all__ = ["CompletenessWarning", "DeepShap", "register_rule"]
