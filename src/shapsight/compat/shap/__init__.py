"""The names that users of shap know, on our engines: existing image code runs with one line changed.

    import shapsight.compat.shap as shap                       # instead of: import shap

    explainer = shap.DeepExplainer(model, background)
    values = explainer.shap_values(batch)                      # a list: (images, channels, height, width) per output
    shap.image_plot([v.transpose(0, 2, 3, 1) for v in values], pixels)

Scripts written for shap 0.45 or later expect one array with the outputs last:

    shap.output_layout = "last"                                # for all explainers, or
    shap.DeepExplainer(model, background, output_layout="last")

The table in docs/shap.md says what is offered and what differs. The rest of shap (trees, tables, text) raises an
`ExplainerError` that names shap itself.
"""

from __future__ import annotations

from typing import Any

import shapsight
from shapsight.compat.shap import datasets, explainers, links, maskers, plots, sampling
from shapsight.compat.shap.explainers import DeepExplainer, Explainer, GradientExplainer, PartitionExplainer
from shapsight.compat.shap.explanation import Explanation
from shapsight.compat.shap.layout import Layout
from shapsight.compat.shap.not_offered import not_offered
from shapsight.compat.shap.plots import image as image_plot
from shapsight.compat.shap.sampling import sample

__all__ = [
    "DeepExplainer",
    "Explainer",
    "Explanation",
    "GradientExplainer",
    "PartitionExplainer",
    "datasets",
    "explainers",
    "image_plot",
    "initjs",
    "links",
    "maskers",
    "output_layout",
    "plots",
    "sample",
    "utils",
]

output_layout: Layout = "list"
utils = sampling


def initjs() -> None:
    """Do nothing: shap loads the JavaScript of its force plots here, and pictures of images need none."""


def __getattr__(name: str) -> Any:
    if name == "__version__":  # what scripts look at to tell the two layouts apart
        return f"{'0.44' if output_layout == 'list' else '0.51'}.0+shapsight.{shapsight.__version__}"
    raise not_offered(__name__, "shap", name)
