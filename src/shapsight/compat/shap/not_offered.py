"""What of shap is not offered here: one sentence that names shap itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from shapsight.errors import ExplainerError

MODULES = ("actions", "benchmark", "models", "other")
TABLES = (
    *("AdditiveExplainer", "CoalitionExplainer", "ExactExplainer", "GPUTreeExplainer", "KernelExplainer"),
    *("LinearExplainer", "PermutationExplainer", "SamplingExplainer", "TreeExplainer", "Cohorts"),
    *("ActionOptimizer", "approximate_interactions", "kmeans", "getjs", "save_html"),
)
PLOTS = (
    *(
        "bar_plot",
        "summary_plot",
        "decision_plot",
        "multioutput_decision_plot",
        "embedding_plot",
        "force_plot",
    ),
    *(
        "group_difference_plot",
        "heatmap_plot",
        "monitoring_plot",
        "partial_dependence_plot",
        "dependence_plot",
    ),
    *("text_plot", "violin_plot", "waterfall_plot"),
)


def not_offered(module: str, path: str, name: str) -> Exception:
    """What to raise for a name that this module lacks.

        def __getattr__(name):
            raise not_offered(__name__, "shap.plots", name)

    An `ExplainerError` for what shap has and shapsight has not, so that `from ... import` shows the sentence too; an
    `AttributeError` for private names and for names that are not shap's.
    """
    is_top = path == "shap"
    if name.startswith("_") or (is_top and name not in (*MODULES, *TABLES, *PLOTS)):
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    return refusal(f"{path}.{name}")


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ExplainerError` for options that there are not, with the one that was perhaps meant."""
    known = sorted(known)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]}=?" if close else f"it takes {', '.join(known)}"
            raise ExplainerError(f"{what} takes no {name}=; {meant}")


def refusal(what: str) -> ExplainerError:
    """The sentence itself."""
    return ExplainerError(
        f"{what} is not offered here, because shapsight explains images only: use shap itself for it (pip install shap)"
    )
