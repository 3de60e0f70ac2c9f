"""`shap.DeepExplainer` on DeepShap."""

from __future__ import annotations

from typing import Any

from shapsight.attribution.deep import DeepShap
from shapsight.compat.shap.explainers.explainer import refuse_link
from shapsight.compat.shap.explainers.network import NetworkExplainer, RankOrder, tensors
from shapsight.compat.shap.layout import Layout
from shapsight.compat.shap.not_offered import refuse_unknown

# What `shap.Explainer` takes for all explainers; this one has no use for it.
OF_EXPLAINER = ("algorithm", "output_names", "feature_names", "linearize_link", "seed")


class DeepExplainer(NetworkExplainer):
    """DeepSHAP values of a PyTorch network, with exact sums.

        explainer = shap.DeepExplainer(model, background)      # background: (K, C, H, W)
        explainer.shap_values(X)                               # a list: X's shape, for each output
        explainer.shap_values(X, ranked_outputs=2)             # (such a list, indexes (images, 2))
        explainer(X)                                           # an Explanation, outputs last
        shap.DeepExplainer((model, model.layer3), background)  # what layer3 is given, in its own shape
        shap.DeepExplainer(model, [images, masks])             # a network with two inputs

    Arguments
        model: an `nn.Module` as it is, or a tuple of it and one of its submodules. It is left as it was found.
        data: the references; a list for a network with several inputs.
        output_layout: "list", "last", or None for the module's `shap.output_layout`.

    A call of the network that has no attribution rule is explained by its gradient.
    Raises `ExplainerError` for what is not a PyTorch module, and for references that do not fit.
    """

    def __init__(
        self,
        model: Any,
        data: Any = None,
        session: Any = None,
        learning_phase_flags: Any = None,
        *,
        masker: Any = None,
        output_layout: Layout | None = None,
        link: Any = None,
        **others: Any,
    ) -> None:
        refuse_unknown(type(self).__name__, others, OF_EXPLAINER)
        data = masker if data is None else data
        super().__init__(model, data, output_layout)
        refuse_link(link)
        self.engine = DeepShap(
            self.model, tensors(data), layer=self.layer, spread_layer=False, on_unsupported="gradient"
        )

    def __call__(self, X: Any, outputs: Any = None) -> Any:  # noqa: N803 (shap's name)
        """An `Explanation` of all outputs, `(images, *input, outputs)`; a list of them for several inputs.

        outputs: `shapsight.targets` in place of all outputs, such as a mask or a contrast.
        """
        given = self._given(X)
        return self._explanation(self._explained(self.engine, given, outputs, on_gap="raise"), given, X)

    def shap_values(
        self,
        X: Any,  # noqa: N803 (shap's name)
        ranked_outputs: int | None = None,
        output_rank_order: RankOrder = "max",
        check_additivity: bool = True,
    ) -> Any:
        """SHAP values as arrays, in this explainer's layout.

        Arguments
            ranked_outputs: explain only so many outputs of each image, and return `(values, indexes)`.
            output_rank_order: which come first: "max", "min" or "max_abs".
            check_additivity: raise `CompletenessError` where the values miss `prediction - base value` by more than
                the tolerance; False only warns.
        """
        given = self._given(X)
        on_gap = "raise" if check_additivity else "warn"
        ranks = None if ranked_outputs is None else self._ranks(given, ranked_outputs, output_rank_order)
        explanations = self._explained(self.engine, given, None if ranks is None else ranks[0], on_gap=on_gap)
        arrays = self._shaped(explanations, given, [explanation.values for explanation in explanations])
        return self._with_ranks(arrays, ranks)
