"""shapsight: which pixels does an image model use? The public names, loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shapsight import maskers, remedies, targets, trees
    from shapsight.attribution.deep import DeepShap, register_rule
    from shapsight.attribution.explain import explain
    from shapsight.attribution.explanation import Explanation
    from shapsight.attribution.gradient import GradientShap
    from shapsight.attribution.partition import PartitionShap
    from shapsight.attribution.references import ChosenReferences, choose_references
    from shapsight.attribution.regions import RegionShap
    from shapsight.attribution.shared.outputs import TopK
    from shapsight.data.readers import read_dataset
    from shapsight.errors import ShapsightError
    from shapsight.models.bundle import Bundle, load_bundle
    from shapsight.store.store import open_store
    from shapsight.studies.check.study import check
    from shapsight.studies.compare.study import compare
    from shapsight.studies.cure.study import cure
    from shapsight.studies.dataset.study import explain_dataset
    from shapsight.studies.debug.study import debug
    from shapsight.studies.demo.study import demo
    from shapsight.studies.diagnose.study import diagnose
    from shapsight.studies.doctor.study import doctor
    from shapsight.studies.evaluate.study import evaluate
    from shapsight.studies.shared.found import open_run as open
    from shapsight.studies.shared.settings import training
    from shapsight.studies.train.study import train
    from shapsight.studies.watch.study import ShapCallback

    __version__: str

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
    "ShapsightError": "shapsight.errors",
    "load_bundle": "shapsight.models.bundle",
    "check": "shapsight.studies.check.study",
    "compare": "shapsight.studies.compare.study",
    "cure": "shapsight.studies.cure.study",
    "debug": "shapsight.studies.debug.study",
    "demo": "shapsight.studies.demo.study",
    "diagnose": "shapsight.studies.diagnose.study",
    "doctor": "shapsight.studies.doctor.study",
    "evaluate": "shapsight.studies.evaluate.study",
    "explain_dataset": "shapsight.studies.dataset.study",
    "open": "shapsight.studies.shared.found",
    "open_store": "shapsight.store.store",
    "train": "shapsight.studies.train.study",
    "training": "shapsight.studies.shared.settings",
    "ShapCallback": "shapsight.studies.watch.study",
}
_NAMES_AT_HOME = {"open": "open_run"}  # where the public name would hide one of Python's
_MODULES = ("maskers", "remedies", "targets", "trees")
__all__ = [
    "Bundle",
    "ChosenReferences",
    "DeepShap",
    "Explanation",
    "GradientShap",
    "PartitionShap",
    "RegionShap",
    "ShapCallback",
    "ShapsightError",
    "TopK",
    "__version__",
    "check",
    "choose_references",
    "compare",
    "cure",
    "debug",
    "demo",
    "diagnose",
    "doctor",
    "evaluate",
    "explain",
    "explain_dataset",
    "load_bundle",
    "maskers",
    "open",
    "open_store",
    "read_dataset",
    "register_rule",
    "remedies",
    "targets",
    "train",
    "training",
    "trees",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _MODULES:
        return importlib.import_module(f"shapsight.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'shapsight' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), _NAMES_AT_HOME.get(name, name))


def _version() -> str:
    """Of the installed package, made of git's tags; a checkout that is only on the path has none."""
    from importlib import metadata

    try:
        return metadata.version("shapsight")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
