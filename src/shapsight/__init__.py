"""shapsight: which pixels does an image model use? The public names, loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapsight.attribution import maskers, trees
    from shapsight.attribution.deep import DeepShap, register_rule
    from shapsight.attribution.explain import explain
    from shapsight.attribution.explanation import Explanation
    from shapsight.attribution.gradient import GradientShap
    from shapsight.attribution.partition import PartitionShap
    from shapsight.attribution.references import ChosenReferences, choose_references
    from shapsight.attribution.regions import RegionShap
    from shapsight.attribution.shared.outputs import TopK
    from shapsight.data import remedies
    from shapsight.data.readers import read_dataset
    from shapsight.models.bundle import Bundle, load_bundle
    from shapsight.studies.watch.study import ShapCallback

__version__ = "0.1.0"
_HOMES = {
    "DeepShap": "shapsight.attribution.deep",
    "register_rule": "shapsight.attribution.deep",
    "Explanation": "shapsight.attribution.explanation",
    "GradientShap": "shapsight.attribution.gradient",
    "RegionShap": "shapsight.attribution.regions",
    "PartitionShap": "shapsight.attribution.partition",
    "ChosenReferences": "shapsight.attribution.references",
    "TopK": "shapsight.attribution.shared.outputs",
    "choose_references": "shapsight.attribution.references",
    "explain": "shapsight.attribution.explain",
    "read_dataset": "shapsight.data.readers",
    "Bundle": "shapsight.models.bundle",
    "load_bundle": "shapsight.models.bundle",
    "ShapCallback": "shapsight.studies.watch.study",
}
_MODULES = {
    "maskers": "shapsight.attribution.maskers",
    "remedies": "shapsight.data.remedies",
    "trees": "shapsight.attribution.trees",
}
__all__ = [
    "Bundle",
    "ChosenReferences",
    "DeepShap",
    "Explanation",
    "GradientShap",
    "PartitionShap",
    "RegionShap",
    "ShapCallback",
    "TopK",
    "__version__",
    "choose_references",
    "explain",
    "load_bundle",
    "maskers",
    "read_dataset",
    "register_rule",
    "remedies",
    "trees",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _HOMES:
        raise AttributeError(f"module 'shapsight' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
