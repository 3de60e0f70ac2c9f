"""DeepShap: SHAP values of images by DeepLIFT, averaged over references."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shapsight.attribution.deep.decisions import SelectionWarning
from shapsight.attribution.deep.runs import Image, Plan, Runs
from shapsight.attribution.deep.sums import GroupSums
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.parts import part_labels
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
from shapsight.attribution.shared.layer import LayerInput, heatmap_of_layer, path_of
from shapsight.attribution.shared.memory import LARGEST_CHUNK, Budget, budget, is_out_of_memory
from shapsight.attribution.shared.of_bundle import opened, seen_by
from shapsight.attribution.shared.outputs import Outputs, choose_outputs
from shapsight.attribution.shared.placement import moved, wide
from shapsight.attribution.shared.progress import Report, Steps, reporting
from shapsight.attribution.shared.suitability import home, refuse_other_integers, runnable
from shapsight.attribution.targets.aimed import Aims, aimed_model, are_aimed, check, in_place
from shapsight.errors import CompletenessError, ExplainerError, UnsupportedOperation
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences


class DeepShap:
    """SHAP values of any PyTorch image model, as it is: exact sums, several times as fast as shap.

        explainer = DeepShap(model, references)                # references: (K, C, H, W)
        explainer = DeepShap(model, choose_references(model, pool, 25))   # better than 25 drawn from it
        explanation = explainer(images)                        # images: (N, C, H, W), prepared like the references
        explanation = explainer(images, outputs=TopK(4))       # the four highest classes of each image
        DeepShap(bundle)(["a.jpg", "b.jpg"])                   # its own references and preprocessing
        DeepShap(model, references, layer="layer3")(images)    # what layer3 is given, drawn over the image

    The model may be any `nn.Module` from `(N, C, H, W)` to `(N, outputs)` or `(N,)`; it is run in eval mode and left
    as it was found. Attributions sum to `prediction - mean prediction over the references`. One in half precision is
    run in float32, on a copy.

    A model that selects by its activations (`topk`, `sort`, `nms`, an index made by comparing) is explained with each
    image's own selection, which is kept for the references: predictions are the model's, base values those of the
    references under that selection. A `SelectionWarning` and `settings["selection"]` say so, and by which calls. Such a
    model, and one that loops over the images of a batch, is given one reference at a time.

    Volumes and clips `(N, C, D, H, W)` are explained as well, and pictures show some of their slices.

    Arguments
        model: the network. In-place activations, reused modules, functional calls and residuals are fine.
        references: images that stand for "feature absent", `(K, C, H, W)`; 20 to 100 are usual, or 25 that
            `choose_references` found. A tuple of tensors for a model with several inputs, which is called with one
            argument for each.
        output_names: a name for every column of the output.
        output: which part of a model's dict or tuple is explained: a key or a position.
        layer: a submodule, or its dotted name, whose input is explained instead of the image. The sum is complete
            only if nothing passes the layer by, such as a residual connection around it.
        spread_layer: False leaves the values of a layer in its own shape instead of drawing them at the image's size.
        weights: of the references, `(K,)`; equal by default. Chosen references bring their own.
        max_memory: bytes to work in, by default a safe share of what is free. It sets how many references are
            replayed and how many images are kept at a time, never what comes out.
        on_unsupported: "raise" for a call without a rule, or "gradient" to go on with autograd's gradient there.

    Raises `ExplainerError` for arguments that do not fit and `UnsupportedOperation` for a call without a rule.
    Sources: Shrikumar et al. 2017 (DeepLIFT); Lundberg and Lee 2017 (DeepSHAP).
    """

    method = "DeepSHAP"

    def __init__(
        self,
        model: nn.Module | Bundle,
        references: Float[Tensor, "references channels height width"]
        | Sequence[Tensor]
        | ChosenReferences
        | None = None,
        *,
        output_names: Sequence[str] | None = None,
        output: str | int | None = None,
        layer: nn.Module | str | None = None,
        spread_layer: bool = True,
        weights: Float[Tensor, "references"] | Sequence[float] | None = None,
        max_memory: int | None = None,
        on_unsupported: Literal["raise", "gradient"] = "raise",
    ) -> None:
        self.bundle, model, references, self.output_names = opened(model, references, output_names)
        if not isinstance(model, nn.Module):
            raise ExplainerError(
                f"DeepShap needs a torch.nn.Module, not {type(model).__name__}; see PartitionShap"
            )
        if on_unsupported not in ("raise", "gradient"):
            raise ExplainerError(f"on_unsupported={on_unsupported!r} is neither 'raise' nor 'gradient'")
        self.model = model
        self.aims: Aims | None = None
        self.output = output
        self.layer = None if layer is None else path_of(model, layer)
        self.spread_layer = spread_layer
        self.on_unsupported = on_unsupported
        self.max_memory = max_memory
        self.given = GivenReferences.of(references, weights)
        parts = self.given.parts
        self.references: Parts = prepared(parts, *home(model, parts[0]), "reference")
        self.weights = prepared_weights(self.given.weights, self.references)

    @overload
    def __call__(
        self,
        images: Sequence[Tensor],
        outputs: Outputs = None,
        *,
        tolerance: float | None = None,
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
        tolerance: float | None = None,
        on_gap: OnGap = "warn",
        progress: bool | Report = False,
        show: Tensor | None = None,
        parts: Any = None,
    ) -> Explanation: ...

    def __call__(
        self,
        images: Any,
        outputs: Outputs = None,
        *,
        tolerance: float | None = None,
        on_gap: OnGap = "warn",
        progress: bool | Callable[[int, int], None] = False,
        show: Float[Tensor, "images channels height width"] | None = None,
        parts: Any = None,
    ) -> Explanation | tuple[Explanation, ...]:
        """Explain images; for a model with several inputs, a tuple of explanations that sum to the change together.

        Arguments
            outputs: all (up to 32), an index, a name, a list of those, one index per image, or `TopK(k)`.
            tolerance: stop adding references when the standard error of the 8 × 8-cell map has fallen to this share
                of its largest cell, for every image and output; `settings["references"]` says how many were used.
            on_gap: what happens above the completeness tolerance: "warn", "raise" or "ignore".
            progress: True for a progress bar, or a function that gets (steps done, steps in all).
            show: what to draw under the heatmaps, where `images` are normalised.
            parts: a partition of the images, as `Explanation.parts` takes it, whose sums then have standard errors
                over the references: `explanation.parts().std_errors`. For one input, and without `layer`.
        """
        if tolerance is not None and not tolerance > 0:
            raise ExplainerError(f"tolerance={tolerance} must be above 0, such as 0.05")
        if on_gap not in ("warn", "raise", "ignore"):
            raise ExplainerError(f"on_gap={on_gap!r} is not one of 'warn', 'raise' and 'ignore'")
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            options: dict[str, Any] = {"tolerance": tolerance, "on_gap": on_gap, "progress": progress}
            try:
                found: Explanation | tuple[Explanation, ...] = aimed(
                    images, columns, show=show, parts=parts, **options
                )
            except UnsupportedOperation as error:
                raise UnsupportedOperation(
                    f"{error}. PartitionShap and RegionShap explain targets without following calls"
                ) from error
            return found
        if self.bundle is not None:
            pictures, show = seen_by(self.bundle, images, show)
            images = self.bundle.prepare(pictures)
        explained = prepared_images(images, self.references)
        if self.aims is not None:
            check(self.model, explained[0])
        labels, count = self._parts(parts, explained)
        given = (images,) if isinstance(images, Tensor) else tuple(images)
        model = runnable(self.model)
        layer = None if self.layer is None else LayerInput(model, self.layer)
        runs = Runs(model, self.output, layer, self.on_unsupported)
        with keeping_freed_memory(), runs.prepared(), reporting(progress) as report:
            refuse_other_integers(runs.predict, given, explained)
            plan = runs.plan(explained, self.references, self.max_memory)
            amounts = plan.limited(budget(plan.need, self.max_memory, self.references[0].device))
            groups = [
                self._explain_group(
                    runs, plan, amounts, explained, start, outputs, tolerance, report, labels, count
                )
                for start in range(0, len(explained[0]), amounts.group)
            ]
        explanations = self._explanations(groups, given, show, tolerance, labels, plan.selects_by)
        _judge(explanations, on_gap, plan.unsupported)
        if plan.selects_by is not None:
            warnings.warn(
                f"the model selects by its activations ({plan.selects_by}). Each image's own selection was kept for "
                "the references, so the sum is exact, but the base value is that of the references under the image's "
                "selection, and not their mean prediction",
                SelectionWarning,
                stacklevel=2,
            )
        return explanations[0] if isinstance(images, Tensor) else SeveralInputs(explanations)

    def _aimed(self, outputs: Any) -> tuple[Any, list[int]]:
        """The explainer of a model that answers with the targets among the outputs, and its columns."""
        model = aimed_model(runnable(self.model), outputs, self.output_names, self.output)
        layer = None if self.layer is None else f"model.{self.layer}"
        other = in_place(self, model, model=model, layer=layer, given=replace(self.given, pool_outputs=None))
        return other, list(range(len(other.aims.aims)))

    def _parts(self, parts: Any, images: Parts) -> tuple[Int[Tensor, "images height width"] | None, int]:
        """The parts whose standard errors are wanted, and how many there are."""
        if parts is None:
            return None, 0
        if self.layer is not None or len(images) > 1 or images[0].dim() != 4:
            raise ExplainerError(
                "parts= gives the standard errors of parts of an image: it takes a model with one input "
                "(images, channels, height, width), and no layer=. explanation.parts(masks) gives the sums alone"
            )
        size = (images[0].shape[2], images[0].shape[3])
        return part_labels(parts, len(images[0]), size)

    def _explain_group(
        self,
        runs: Runs,
        plan: Plan,
        amounts: Budget,
        images: Parts,
        start: int,
        outputs: Outputs,
        tolerance: float | None,
        report: Report,
        labels: Int[Tensor, "images height width"] | None,
        parts: int,
    ) -> GroupSums:
        """Record as many images as fit, and attribute all of them to chunk after chunk of references."""
        numbers = range(start, min(start + amounts.group, len(images[0])))
        if start > 0:
            plan = runs.plan_of(tuple(part[start : start + 1] for part in images), plan)
        recorded = [
            plan.first
            if i == 0 and plan.first is not None
            else runs.record(tuple(part[i : i + 1] for part in images), plan)
            for i in numbers
        ]
        predictions = torch.cat([image.prediction for image in recorded])
        group = tuple(part[numbers.start : numbers.stop] for part in images)
        runs.refuse_non_finite(predictions, group, lambda i: f"image {numbers[i]}")
        if isinstance(outputs, Tensor) and outputs.dim() > 0 and len(outputs) == len(images[0]):
            outputs = outputs[start : numbers.stop]
        chosen = choose_outputs(outputs, predictions, self.output_names)
        mine = None if labels is None else labels[start : numbers.stop]
        result = GroupSums.empty(
            recorded,
            predictions,
            chosen,
            self.weights is not None,
            self.given.likeness,
            tolerance,
            mine,
            parts,
        )
        count = len(self.references[0])
        steps = Steps(report, len(images[0]) * chosen.shape[1] * count, start * chosen.shape[1] * count)
        # With a tolerance it is asked often enough whether more references are needed.
        most = amounts.chunk if tolerance is None else min(amounts.chunk, LARGEST_CHUNK)
        # Chunks of like size: a last one of a single reference would take long for it.
        step = ceil(count / ceil(count / most))
        for first in range(0, count, step):
            rows = slice(first, min(first + step, count))
            self._attribute(runs, plan, recorded, result, rows, list(result.places()), steps)
            if tolerance is not None and result.is_settled(tolerance):
                steps.skip_to((numbers.stop) * chosen.shape[1] * count)
                break
        of_references = torch.cat(result.predictions)
        runs.refuse_non_finite(of_references, self.references, "reference {}".format)
        return result

    def _attribute(
        self,
        runs: Runs,
        plan: Plan,
        images: list[Image],
        result: GroupSums,
        rows: slice,
        places: list[tuple[int, int]],
        steps: Steps,
    ) -> None:
        """Backward passes from every output of every image through some references; halves them if memory runs out."""
        chunk = tuple(part[rows] for part in self.references)
        weights = None if self.weights is None else self.weights[rows]
        try:
            replayed = runs.replay(chunk, plan)
            result.add_references(rows, replayed.predictions.detach(), weights)
            while places:
                number, output = places[0]
                is_last = len(places) == 1 or places[1][0] != number
                replayed.tape.pair_with(images[number].tape, is_last)
                multipliers = torch.autograd.grad(
                    replayed.predictions[:, result.chosen[number, output]].sum(),
                    replayed.explained,
                    retain_graph=True,
                    materialize_grads=True,
                )
                result.add(
                    (number, output), multipliers, images[number].explained, replayed.explained, weights
                )
                steps.done(len(chunk[0]))
                places.pop(0)
            replayed.tape.forget_sample()
            return
        except (RuntimeError, MemoryError) as error:
            if "modified by an inplace operation" in str(error):
                raise UnsupportedOperation(
                    "the model overwrites a tensor that one of its linear operations was given before, such as "
                    "conv(y) followed by y.relu_(), which autograd cannot go back through: call the version that is "
                    f"not in place, or use PartitionShap ({error})"
                ) from error
            if not is_out_of_memory(error):
                raise
            if len(chunk[0]) == 1:
                raise ExplainerError(
                    "memory ran out with a single reference at a time: explain smaller images, on another device or "
                    f"with less memory in use ({error})"
                ) from error
        replayed = multipliers = None  # type: ignore[assignment]  # free the graph before the halves are replayed
        middle = (rows.start + rows.stop) // 2
        for half in (slice(rows.start, middle), slice(middle, rows.stop)):
            self._attribute(runs, plan, images, result, half, list(places), steps)

    def _explanations(
        self,
        groups: list[GroupSums],
        given: Parts,
        show: Tensor | None,
        tolerance: float | None,
        labels: Int[Tensor, "images height width"] | None,
        selects_by: str | None,
    ) -> tuple[Explanation, ...]:
        """What every input of the model got, on the device of the images."""
        device = given[0].device
        chosen = torch.cat([group.chosen for group in groups])
        predicted = torch.cat([group.predicted.cpu().gather(1, group.chosen) for group in groups]).to(device)
        base = torch.cat([group.base_values().cpu()[group.chosen] for group in groups])
        base_values = moved(base, predicted)
        parts = range(1 if self.layer else len(given))
        values = [torch.cat([g.sums[p].mean(g.weight) for g in groups]).to(device) for p in parts]
        attributed = sum(wide(value).flatten(2).sum(2) for value in values)
        gap = moved(wide(predicted) - wide(base_values) - attributed, predicted)
        settings = {
            "references": max(len(group.counted) for group in groups),
            "references_given": len(self.references[0]),
            "model": getattr(self.model, "__name__", type(self.model).__name__),
            "layer": self.layer,
            "tolerance": tolerance,
            "selection": selects_by and f"the image's, also for the references: {selects_by}",
            **self.given.said(chosen, self.output_names, groups[0].predicted.shape[1]),
        }
        outlines = None if self.aims is None else self.aims.outlines(given[0])
        explanations = []
        for number, value in enumerate(values):
            drawn = given[number] if show is None else show
            errors = None
            if not (self.layer and self.spread_layer):
                spread = [g.sums[number].std_errors(g.weighing) for g in groups]
                errors = torch.cat(spread).to(device)
            explanations.append(
                Explanation(
                    values=heatmap_of_layer(value, image_size(drawn))
                    if self.layer and self.spread_layer
                    else image_shaped(value),
                    base_values=base_values,
                    predictions=predicted,
                    completeness_gap=gap,
                    output_index=chosen.to(device),
                    images=image_shaped(drawn.detach().as_subclass(Tensor).unsqueeze(1))[:, 0],
                    output_names=self.output_names,
                    outlines=outlines,
                    std_errors=None if errors is None else image_shaped(errors),
                    part_labels=None if labels is None else labels.to(device),
                    part_std_errors=None if labels is None else _of_parts(groups).to(device),
                    method=self.method,
                    settings={name: setting for name, setting in settings.items() if setting is not None},
                )
            )
        return tuple(explanations)


def _of_parts(groups: list[GroupSums]) -> Float[Tensor, "images outputs parts"]:
    """Standard errors of the parts' sums, over the references."""
    known = [(group.parts, group) for group in groups]
    return torch.cat([p.std_errors(g.weighing) for p, g in known if p is not None])


def _judge(explanations: Sequence[Explanation], on_gap: OnGap, unsupported: set[str]) -> None:
    """Warn or raise above 1e-3 of the largest |prediction - base value|, or 1e-5 of the absolute attributions.

    What rounding leaves of the prediction itself is no gap: it is all that there is where nothing changes.
    """
    if on_gap == "ignore":
        return
    explanation = explanations[0]
    change = (explanation.predictions - explanation.base_values).abs().max().item()
    size = sum(part.values.abs().flatten(2).sum(2).max().item() for part in explanations)
    rounding = (
        100 * torch.finfo(explanation.predictions.dtype).eps * explanation.predictions.abs().max().item()
    )
    gap = explanation.completeness_gap.abs().max().item()
    allowed = max(1e-3 * change, 1e-5 * size, rounding)
    if gap <= allowed:
        return
    layer: Any = explanation.settings.get("layer")
    cause = f" It could not follow {'; '.join(sorted(unsupported))}." if unsupported else ""
    if change <= max(rounding, 1e-3 * size):
        cause += (
            " The prediction hardly changes, as behind a saturated softmax or sigmoid: explain what goes into it, such "
            "as logits."
        )
    cause += f" Part of the change may pass layer {layer} by." if layer else ""
    message = (
        f"the attributions miss prediction - base value by {gap:.3g} (allowed {allowed:.3g}, "
        f"prediction - base value up to {change:.3g}).{cause}"
    )
    if on_gap == "raise":
        raise CompletenessError(message)
    warnings.warn(message, CompletenessWarning, stacklevel=3)
