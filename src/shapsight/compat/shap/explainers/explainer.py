"""`shap.Explainer`: what all explainers are, and the one that chooses among them."""

from __future__ import annotations

from typing import Any

from shapsight.compat.shap.maskers import Image
from shapsight.compat.shap.not_offered import refusal
from shapsight.errors import ExplainerError


class Explainer:
    """The explainer that fits a model and a masker.

        explainer = shap.Explainer(f, shap.maskers.Image("inpaint_telea", X[0].shape), output_names=names)
        explainer = shap.Explainer(model, background, algorithm="deep")

    An image masker makes a `PartitionExplainer`, `algorithm="deep"` a `DeepExplainer`. Raises `ExplainerError`, which
    names shap itself, for other maskers and algorithms.
    """

    def __new__(cls, *arguments: Any, **options: Any) -> Explainer:
        """The subclass that fits; Python initialises it with the same arguments."""
        if cls is not Explainer:
            return object.__new__(cls)
        from shapsight.compat.shap.explainers.deep import DeepExplainer
        from shapsight.compat.shap.explainers.partition import PartitionExplainer

        algorithm = options.get("algorithm", "auto")
        masker = options.get("masker", arguments[1] if len(arguments) > 1 else None)
        if algorithm == "deep":
            return object.__new__(DeepExplainer)
        if algorithm not in ("auto", "partition"):
            if isinstance(masker, Image) and algorithm in ("permutation", "exact", "kernel", "sampling"):
                raise ExplainerError(
                    f"algorithm={algorithm!r} would take each pixel for itself: use algorithm='partition' for images, "
                    "or shapsight.RegionShap, which has 'exact', 'kernel' and 'permutation' for regions"
                )
            raise refusal(f"shap.Explainer with algorithm={algorithm!r}")
        if not isinstance(masker, Image):
            raise refusal(f"shap.Explainer with {_described(masker)} as masker")
        return object.__new__(PartitionExplainer)


def refuse_link(link: Any) -> None:
    """Raise for any link but the identity: values are in the unit of the output."""
    if link is not None and getattr(link, "__name__", "") != "identity":
        raise ExplainerError(
            f"link={getattr(link, '__name__', link)!r}: shapsight explains the outputs as they are. Let the model "
            "return what is to be explained, such as log-odds, or use shap itself"
        )


def _described(masker: Any) -> str:
    return "nothing" if masker is None else f"a {type(masker).__name__}"
