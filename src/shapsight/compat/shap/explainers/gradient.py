"""`shap.GradientExplainer` on GradientShap."""

from __future__ import annotations

from typing import Any

from shapsight.attribution.gradient import GradientShap
from shapsight.compat.shap.explainers.network import NetworkExplainer, RankOrder, tensors
from shapsight.compat.shap.layout import Layout


class GradientExplainer(NetworkExplainer):
    """Expected gradients of a PyTorch network.

        explainer = shap.GradientExplainer(model, background)
        explainer.shap_values(X, nsamples=200)                 # a list: X's shape, for each output
        shap.GradientExplainer((model, model.features[7]), background).shap_values(X, ranked_outputs=2)

    Arguments
        model, data, output_layout: as for `DeepExplainer`.
        batch_size: points at a time; by default as many as suit the device.
        local_smoothing: standard deviation of noise added to the images.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        session: Any = None,
        batch_size: int | None = None,
        local_smoothing: float = 0.0,
        *,
        output_layout: Layout | None = None,
    ) -> None:
        super().__init__(model, data, output_layout)
        self.batch_size, self.local_smoothing = batch_size, local_smoothing
        self._references = tensors(data)
        self.engine = self._engine(200, None)

    def __call__(self, X: Any, nsamples: int = 200) -> Any:  # noqa: N803 (shap's name)
        """An `Explanation` of all outputs, `(images, *input, outputs)`; a list of them for several inputs."""
        given = self._given(X)
        return self._explanation(self._explained(self._engine(nsamples, None), given, None), given, X)

    def shap_values(
        self,
        X: Any,  # noqa: N803 (shap's name)
        nsamples: int = 200,
        ranked_outputs: int | None = None,
        output_rank_order: RankOrder = "max",
        rseed: int | None = None,
        return_variances: bool = False,
    ) -> Any:
        """SHAP values as arrays, in this explainer's layout.

        Arguments
            nsamples: points for each image; four or more for each reference are best.
            ranked_outputs, output_rank_order: as for `DeepExplainer`.
            rseed: of the positions; the same without one.
            return_variances: return the squares of the values' standard errors as well, `(values, variances)`.
        """
        given = self._given(X)
        ranks = None if ranked_outputs is None else self._ranks(given, ranked_outputs, output_rank_order)
        engine = self._engine(nsamples, rseed)
        explanations = self._explained(engine, given, None if ranks is None else ranks[0])
        arrays = self._shaped(explanations, given, [explanation.values for explanation in explanations])
        if not return_variances:
            return self._with_ranks(arrays, ranks)
        variances = [e.std_errors**2 for e in explanations if e.std_errors is not None]
        return self._with_ranks(arrays, ranks, self._shaped(explanations, given, variances))

    def _engine(self, samples: int, seed: int | None) -> GradientShap:
        return GradientShap(
            self.model,
            self._references,
            samples,
            layer=self.layer,
            spread_layer=False,
            smoothing=self.local_smoothing,
            batch_size=self.batch_size,
            seed=seed or 0,
        )
