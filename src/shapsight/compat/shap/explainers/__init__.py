"""`shap.explainers`: DeepExplainer, GradientExplainer and PartitionExplainer on our engines."""

from __future__ import annotations

from typing import Any

from shapsight.compat.shap.explainers.deep import DeepExplainer
from shapsight.compat.shap.explainers.explainer import Explainer
from shapsight.compat.shap.explainers.gradient import GradientExplainer
from shapsight.compat.shap.explainers.partition import PartitionExplainer
from shapsight.compat.shap.not_offered import not_offered

__all__ = [
    "Deep",
    "DeepExplainer",
    "Explainer",
    "Gradient",
    "GradientExplainer",
    "Partition",
    "PartitionExplainer",
]

Deep, Gradient, Partition = DeepExplainer, GradientExplainer, PartitionExplainer  # shap's older names


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.explainers", name)
