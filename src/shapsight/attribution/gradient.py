"""GradientShap: SHAP values of images as gradients, averaged along the ways from references to the image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.integrand import Integrand, as_python
from shapsight.attribution.paths import Paths, PathSums
from shapsight.attribution.positions import Samples, gauss, spread
from shapsight.attribution.several_inputs import SeveralInputs
from shapsight.attribution.shared.completeness import CompletenessWarning, OnGap
from shapsight.attribution.shared.heap import keeping_freed_memory
from shapsight.attribution.shared.image_shape import image_shaped, image_size
from shapsight.attribution.shared.inputs import (
    GivenReferences,
    Parts,
    prepared,
    prepared_images,
    prepared_weights,
)
from shapsight.attribution.shared.layer import heatmap_of_layer, path_of
from shapsight.attribution.shared.memory import is_out_of_memory
from shapsight.attribution.shared.numbers import is_real, is_whole
from shapsight.attribution.shared.of_bundle import opened, seen_by
from shapsight.attribution.shared.outputs import Outputs, choose_outputs
from shapsight.attribution.shared.placement import moved, wide
from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.shared.progress import Report, Steps, reporting
from shapsight.attribution.shared.suitability import home, refuse_other_integers, runnable
from shapsight.attribution.targets.aimed import Aims, aimed_model, are_aimed, check, in_place
from shapsight.errors import CompletenessError, ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences

BATCH_ON_PROCESSOR = 8  # more points at a time leave a processor's caches
BATCH_ON_DEVICE = 200
# What a sampled sum may miss unremarked: shares of the largest |prediction - base value|, and of all absolute values,
# which may cancel in the sum.
OF_CHANGE, OF_VALUES = 0.05, 0.01


class GradientShap:
    """SHAP values of any differentiable image model by expected gradients: quick, and complete on average.

        explainer = GradientShap(model, references)             # references: (K, C, H, W)
        explanation = explainer(images)                         # images: (N, C, H, W), prepared like the references
        explanation = explainer(images, outputs=TopK(4))        # the four highest classes of each image
        explanation.std_errors                                  # how far each value may be off; more samples, less
        GradientShap(model, references, samples=2000)           # ... a third of it, or better
        GradientShap(model, references, layer="layer3")(images) # what layer3 is given, drawn over the image

    Integrated gradients are one reference, a straight path, and Gauss-Legendre points:

        GradientShap(model, black[None], samples=50, positions="gauss")(images)

    The value of a pixel is the mean of `(image - reference) · gradient` over references and over positions on the
    straight way from reference to image. The model is run in eval mode and left as it was found; one in half
    precision is run in float32, on a copy. Unlike DeepShap it needs no rule for any call: whatever has a gradient
    is explained, torch.jit and custom autograd functions too.

    Arguments
        model: any `nn.Module` from `(N, C, H, W)` to `(N, outputs)` or `(N,)`.
        references: images that stand for "feature absent", `(K, C, H, W)`; 10 to 50 are usual. A tuple of tensors
            for a model with several inputs, which is called with one argument for each.
        samples: points for each image. Each costs a forward pass, and a backward pass for each output. 4 or more
            for each reference are best: points on one path help each other most, and tell their standard error.
        weights: of the references, `(K,)`; equal by default. Samples are allotted in proportion to them.
        output_names: a name for every column of the output.
        output: which part of a model's dict or tuple is explained: a key or a position.
        layer: a submodule, or its dotted name, whose input is explained; the path is straight there. The sum is
            complete only if nothing passes the layer by.
        spread_layer: False leaves the values of a layer in its own shape instead of drawing them at the image's size.
        smoothing: standard deviation of noise added to the image, in its unit, new for each point; 0 for none. The
            values then sum to the mean prediction over noisy images, which is not quite the prediction.
        positions: "spread" for evenly spread random positions, with standard errors; "gauss" for equally many
            Gauss-Legendre points for each reference, which suit smooth models and have no standard errors.
        batch_size: points at a time; by default 8 on a processor and 200 elsewhere. Halved if memory runs out.
        precision: "bfloat16" takes the gradients under autocast, where the processor has it: on a ResNet-18 in little
            more than half the time, with gradients that are off by a fifth and in part cancel in the mean, so look
            at `completeness_gap`. Predictions stay in full precision. None: as the model is; float32 without TF32,
            which moves the values of a ResNet-18 by 11 % and which PyTorch allows on a GPU of NVIDIA.
        seed: of positions and noise. An image's values depend on it and on the image's number, on nothing else.

    Standard errors are right with 4 samples or more for each reference: their median over values was 0.92 to 1.11 of
    the true ones on seven of nine networks (with 7 samples up to 1.22), 1.25 at most on another, and 1.7 on a smooth
    one (`benchmarks/README.md`). With fewer samples they rest on an assumption, and were 0.75 to 1.5. Those of single
    values vary by a fifth.

    Raises `ExplainerError` for arguments that do not fit.
    Sources: Erion et al. 2021 (expected gradients, equation 2); Sundararajan et al. 2017 (integrated gradients,
    equation 1); Smilkov et al. 2017 (smoothing).
    """

    method = "GradientSHAP"

    def __init__(
        self,
        model: nn.Module | Bundle,
        references: Float[Tensor, "references channels height width"]
        | Sequence[Tensor]
        | ChosenReferences
        | None = None,
        samples: int = 200,
        *,
        weights: Float[Tensor, "references"] | Sequence[float] | None = None,
        output_names: Sequence[str] | None = None,
        output: str | int | None = None,
        layer: nn.Module | str | None = None,
        spread_layer: bool = True,
        smoothing: float = 0.0,
        positions: Literal["spread", "gauss"] = "spread",
        batch_size: int | None = None,
        precision: str | None = None,
        seed: int = 0,
    ) -> None:
        self.bundle, model, references, self.output_names = opened(model, references, output_names)
        if not isinstance(model, nn.Module):
            raise ExplainerError(
                f"GradientShap needs a torch.nn.Module, not {type(model).__name__}; see PartitionShap"
            )
        for name, number in (("samples", samples), ("batch_size", 1 if batch_size is None else batch_size)):
            if not is_whole(number) or number < 1:
                raise ExplainerError(f"{name}={number!r} must be a whole number, at least 1")
        if not is_real(smoothing) or not 0 <= smoothing < math.inf:
            raise ExplainerError(f"smoothing={smoothing!r} must be 0 or a standard deviation above it")
        if positions not in ("spread", "gauss"):
            raise ExplainerError(f"positions={positions!r} is neither 'spread' nor 'gauss'")
        Predictor(model, precision=precision)  # refuses a precision that is not to be had
        self.model = model
        self.aims: Aims | None = None
        self.precision = precision
        self.samples = samples
        self.output = output
        self.layer = None if layer is None else path_of(model, layer)
        self.spread_layer = spread_layer
        self.smoothing = smoothing
        self.positions = positions
        self.seed = seed
        self.given = GivenReferences.of(references, weights)
        parts = self.given.parts
        self.references: Parts = prepared(parts, *home(model, parts[0]), "reference")
        self.weights = prepared_weights(self.given.weights, self.references)
        on_processor = self.references[0].device.type == "cpu"
        self.batch_size = batch_size or (BATCH_ON_PROCESSOR if on_processor else BATCH_ON_DEVICE)
        if positions == "gauss":
            gauss(samples, len(self.references[0]))  # refuses what cannot be divided

    @overload
    def __call__(
        self,
        images: Sequence[Tensor],
        outputs: Outputs = None,
        *,
        on_gap: OnGap = "warn",
        progress: bool | Report = False,
        show: Tensor | None = None,
    ) -> tuple[Explanation, ...]: ...

    @overload
    def __call__(
        self,
        images: Any,
        outputs: Outputs = None,
        *,
        on_gap: OnGap = "warn",
        progress: bool | Report = False,
        show: Tensor | None = None,
    ) -> Explanation: ...

    def __call__(
        self,
        images: Any,
        outputs: Outputs = None,
        *,
        on_gap: OnGap = "warn",
        progress: bool | Callable[[int, int], None] = False,
        show: Float[Tensor, "images channels height width"] | None = None,
    ) -> Explanation | tuple[Explanation, ...]:
        """Explain images; for a model with several inputs, a tuple of explanations that sum to the change together.

        Arguments
            outputs: all (up to 32), an index, a name, a list of those, one index per image, or `TopK(k)`.
            on_gap: what happens if the values miss `prediction - base value` by more than 5 % of the largest such
                change and 1 % of their absolute sum: "warn", "raise" or "ignore". The message says whether more
                samples would mend it.
            progress: True for a progress bar, or a function that gets (steps done, steps in all).
            show: what to draw under the heatmaps, where `images` are normalised.
        """
        if on_gap not in ("warn", "raise", "ignore"):
            raise ExplainerError(f"on_gap={on_gap!r} is not one of 'warn', 'raise' and 'ignore'")
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            found: Explanation | tuple[Explanation, ...] = aimed(
                images, columns, on_gap=on_gap, progress=progress, show=show
            )
            return found
        if self.bundle is not None:
            pictures, show = seen_by(self.bundle, images, show)
            images = self.bundle.prepare(pictures)
        explained = prepared_images(images, self.references)
        if self.aims is not None:
            check(self.model, explained[0])
        given = (images,) if isinstance(images, Tensor) else tuple(images)
        model = runnable(self.model, may_be_scripted=True)
        with keeping_freed_memory(), as_python(model), reporting(progress) as report:
            integrand = Integrand(model, self.output, self.layer, self.precision)
            refuse_other_integers(lambda parts: integrand.predict(tuple(parts), 1), given, explained)
            result = self._explain(integrand, explained, outputs, report)
        explanations = self._explanations(result, given, show)
        _judge(explanations, torch.stack([s.gap_errors for s in result.sums]), on_gap, self.samples)
        return explanations[0] if isinstance(images, Tensor) else SeveralInputs(explanations)

    def _aimed(self, outputs: Any) -> tuple[Any, list[int]]:
        """The explainer of a model that answers with the targets among the outputs, and its columns."""
        model = aimed_model(
            runnable(self.model, may_be_scripted=True), outputs, self.output_names, self.output
        )
        layer = None if self.layer is None else f"model.{self.layer}"
        other = in_place(self, model, model=model, layer=layer, given=replace(self.given, pool_outputs=None))
        return other, list(range(len(other.aims.aims)))

    def _explain(self, integrand: Integrand, images: Parts, outputs: Outputs, report: Report) -> _Result:
        """Everything about all images, one image after another."""
        integrand = integrand.check(images, self.references)
        predictions, of_references = (
            integrand.predict(parts, self.batch_size) for parts in (images, self.references)
        )
        for kind, found, parts in (
            ("image", predictions, images),
            ("reference", of_references, self.references),
        ):
            integrand.refuse_non_finite(found, parts, f"{kind} {{}}".format, "the model's prediction")
        chosen = choose_outputs(outputs, predictions, self.output_names)
        steps = Steps(report, chosen.numel() * self.samples, 0)
        sums = [
            self._explain_image(integrand, paths, chosen[paths.number], steps)
            for paths in self._paths(integrand, images)
        ]
        return _Result(predictions, self._base_values(wide(of_references)), chosen, sums)

    def _base_values(self, of_references: Float[Tensor, "references columns"]) -> Float[Tensor, "columns"]:
        """Mean prediction over the references."""
        if self.weights is None:
            return of_references.mean(0)
        weights = self.weights.to(of_references.dtype)
        return weights @ of_references / weights.sum()

    def _paths(self, integrand: Integrand, images: Parts) -> Iterator[Paths]:
        """Each image's ways from the references, of what is explained."""
        starts = integrand.explained(self.references, self.batch_size)
        for number in range(len(images[0])):
            image = tuple(part[number : number + 1] for part in images)
            end = integrand.explained(image, 1)
            under = None if self.layer is None else Paths(number, self.references, image)
            yield Paths(number, starts, end, under, self.smoothing, self.seed)

    def _explain_image(
        self, integrand: Integrand, paths: Paths, columns: Int[Tensor, "outputs"], steps: Steps
    ) -> PathSums:
        """Batch after batch of points; if memory runs out, smaller batches of the rest."""
        generator = torch.Generator().manual_seed(self.seed + paths.number)
        count, weights = len(self.references[0]), None if self.weights is None else self.weights.cpu()
        drawn = (
            spread(self.samples, count, generator, weights)
            if self.positions == "spread"
            else gauss(self.samples, count, weights)
        )
        samples = drawn.placed(paths.end[0])
        sums = PathSums.zeros(len(columns), paths, drawn.has_variance)
        batches: list[slice] = []
        doubts: list[Tensor] = []
        start, size = 0, self.batch_size
        while start < len(samples):
            rows = slice(start, min(start + size, len(samples)))
            try:
                shares, doubt = self._shares(integrand, paths, samples, rows, columns.tolist())
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or size == 1:
                    raise
                size = max(1, size // 2)
                continue
            sums.add(samples, rows, shares)
            batches.append(rows)
            doubts.append(doubt)
            steps.done(len(columns) * (rows.stop - start))
            start = rows.stop
        if (
            not torch.stack(doubts).isfinite().all()
        ):  # asked once for an image: each time waits for the device
            for rows in batches:
                self._refuse_non_finite(integrand, paths, samples, rows, columns.tolist())
        return sums

    def _shares(
        self, integrand: Integrand, paths: Paths, samples: Samples, rows: slice, columns: list[int]
    ) -> tuple[list[Parts], Tensor]:
        """`(image - reference) · gradient` at some points, for each output; and a number, not finite if one is not."""
        points, changes = paths.points(samples, rows)
        inputs = points if paths.under is None else paths.under.points(samples, rows)[0]
        shares = []
        doubt = points[0].new_zeros(())
        for predictions, gradients in integrand.gradients(points, inputs, columns):
            for tensor in (predictions, *gradients):
                doubt = doubt + tensor.sum()
            shares.append(tuple(g * change for g, change in zip(gradients, changes, strict=True)))
        return shares, doubt

    def _refuse_non_finite(
        self, integrand: Integrand, paths: Paths, samples: Samples, rows: slice, columns: list[int]
    ) -> None:
        """Raise if a prediction or gradient at some points is NaN or infinite, with the point's name."""
        points, _ = paths.points(samples, rows)
        inputs = points if paths.under is None else paths.under.points(samples, rows)[0]

        def name(row: int) -> str:
            position, reference = samples.position[rows][row].item(), samples.reference[rows][row].item()
            return f"image {paths.number}, {position:.0%} of the way from reference {reference},"

        for predictions, gradients in integrand.gradients(points, inputs, columns):
            integrand.refuse_non_finite(predictions, inputs, name, "the model's prediction")
            for gradient in gradients:
                integrand.refuse_non_finite(gradient, inputs, name, "the gradient of the prediction")

    def _explanations(self, result: _Result, given: Parts, show: Tensor | None) -> tuple[Explanation, ...]:
        """What every input of the model got, on the device of the images."""
        device = given[0].device
        predicted = result.predictions.cpu().gather(1, result.chosen).to(device)
        base_values = moved(result.base_values.cpu()[result.chosen], predicted)
        explained = range(1 if self.layer else len(given))
        parts = [torch.stack([s.values[p] for s in result.sums]).to(device) for p in explained]
        attributed = sum(wide(values).flatten(2).sum(2) for values in parts)
        gap = moved(wide(predicted) - wide(base_values) - attributed, predicted)
        settings = {
            "samples": self.samples,
            "references": len(self.references[0]),
            "positions": self.positions,
            "seed": self.seed,
            "smoothing": self.smoothing or None,
            "model": getattr(self.model, "__name__", type(self.model).__name__),
            "layer": self.layer,
            "precision": self.precision,
            **self.given.said(result.chosen, self.output_names, result.predictions.shape[1]),
        }
        outlines = None if self.aims is None else self.aims.outlines(given[0])
        explanations = []
        for number, values in enumerate(parts):
            drawn = given[number] if show is None else show
            errors = None
            if not (self.layer and self.spread_layer) and self.positions == "spread":
                errors = image_shaped(torch.stack([s.std_errors[number] for s in result.sums]).to(device))
            explanations.append(
                Explanation(
                    values=heatmap_of_layer(values, image_size(drawn))
                    if self.layer and self.spread_layer
                    else image_shaped(values),
                    base_values=base_values,
                    predictions=predicted,
                    completeness_gap=gap,
                    output_index=result.chosen.to(device),
                    images=image_shaped(drawn.detach().as_subclass(Tensor).unsqueeze(1))[:, 0],
                    output_names=self.output_names,
                    outlines=outlines,
                    std_errors=errors,
                    method=self.method,
                    settings={name: setting for name, setting in settings.items() if setting is not None},
                )
            )
        return tuple(explanations)


@dataclass(frozen=True)
class _Result:
    """What was found out about all images, on the model's device."""

    predictions: Float[Tensor, "images columns"]
    base_values: Float[Tensor, "columns"]
    chosen: Int[Tensor, "images outputs"]
    sums: list[PathSums]


def _judge(
    explanations: Sequence[Explanation],
    gap_errors: Float[Tensor, "images outputs"],
    on_gap: OnGap,
    samples: int,
) -> None:
    """Warn or raise where the sums miss more than they may, with what would mend it."""
    if on_gap == "ignore":
        return
    explanation = explanations[0]
    change = (explanation.predictions - explanation.base_values).abs().max().item()
    size = sum(part.values.abs().flatten(2).sum(2).max().item() for part in explanations)
    gaps = explanation.completeness_gap.abs().flatten()
    worst = int(gaps.argmax())
    gap, allowed = gaps[worst].item(), max(OF_CHANGE * change, OF_VALUES * size)
    if gap <= allowed:
        return
    if gap <= 3 * gap_errors.flatten()[worst].item():
        cause = f"That is within its sampling error: try samples={math.ceil(samples * (gap / allowed) ** 2)}."
    elif "smoothing" in explanation.settings:
        cause = "Noisy images may be predicted otherwise than the image itself: try less smoothing."
    elif (layer := explanation.settings.get("layer")) is not None:
        cause = f"Part of the change may pass layer {layer} by."
    else:
        cause = (
            "That is more than sampling explains: the model may jump somewhere (rounding, argmax, comparisons) or cut "
            "gradients off (detach, no_grad), or there are too few points for how fast its gradient changes."
        )
    message = (
        f"the attributions miss prediction - base value by {gap:.3g} (allowed {allowed:.3g}, "
        f"prediction - base value up to {change:.3g}). {cause}"
    )
    if on_gap == "raise":
        raise CompletenessError(message)
    warnings.warn(message, CompletenessWarning, stacklevel=3)
