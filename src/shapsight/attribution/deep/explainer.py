"""DeepShap: SHAP values of images by DeepLIFT, averaged over references."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from shapsight.attribution.deep.layout import Fold, find_fold
from shapsight.attribution.deep.modules import functions_opened, left_as_found
from shapsight.attribution.deep.replay import Record, Replay, SharedOut
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.outputs import Outputs, choose_outputs
from shapsight.errors import CompletenessError, ExplainerError

CHUNK = 16  # references at a time: larger chunks leave the processor's caches and are slower
OnGap = Literal["warn", "raise", "ignore"]


class CompletenessWarning(UserWarning):
    """The attributions do not sum to prediction - base value within the tolerance."""


@dataclass(frozen=True)
class _Sums:
    """Attributions and their squares, added up over the references."""

    values: Float[Tensor, "images outputs channels height width"]
    squares: Float[Tensor, "images outputs channels height width"]

    def add(self, image: int, output: int, shares: Float[Tensor, "references channels height width"]) -> None:
        self.values[image, output] += shares.sum(0)
        self.squares[image, output] += shares.square_().sum(0)

    def std_errors(self, references: int) -> Tensor:
        """Standard error of the mean over the references; infinite for a single one."""
        variance = self.squares / references - (self.values / references).square()
        return (
            (variance.clamp_min(0) / (references - 1)).sqrt()
            if references > 1
            else torch.full_like(variance, torch.inf)
        )


class DeepShap:
    """SHAP values of any PyTorch image model, as it is: exact sums, several times as fast as shap.

        explainer = DeepShap(model, references)                # references: (K, C, H, W)
        explanation = explainer(images)                        # images: (N, C, H, W), prepared like the references
        explanation = explainer(images, outputs=TopK(4))       # the four highest classes of each image

    The model may be any `nn.Module` from `(N, C, H, W)` to `(N, outputs)` or `(N,)`; it is run in eval mode and left
    as it was found. Attributions sum to `prediction - mean prediction over the references`.

    Arguments
        model: the network. In-place activations, reused modules, functional calls and residuals are fine.
        references: images that stand for "feature absent", `(K, C, H, W)`; 20 to 100 are usual.
        output_names: a name for every column of the output.
        output: which part of a model's dict or tuple is explained: a key or a position.
        on_unsupported: "raise" for a call without a rule, or "gradient" to go on with autograd's gradient there.

    Raises `ExplainerError` for arguments that do not fit and `UnsupportedOperation` for a call without a rule.
    Sources: Shrikumar et al. 2017 (DeepLIFT); Lundberg and Lee 2017 (DeepSHAP).
    """

    method = "DeepSHAP"

    def __init__(
        self,
        model: nn.Module,
        references: Float[Tensor, "references channels height width"],
        *,
        output_names: Sequence[str] | None = None,
        output: str | int | None = None,
        on_unsupported: Literal["raise", "gradient"] = "raise",
    ) -> None:
        if not isinstance(model, nn.Module):
            raise ExplainerError(
                f"DeepShap needs a torch.nn.Module, not {type(model).__name__}; see PartitionShap"
            )
        if references.dim() < 2 or len(references) == 0:
            raise ExplainerError(
                f"references must hold at least one image, (references, channels, height, width); "
                f"got {tuple(references.shape)}"
            )
        self.model = model
        self.output_names = tuple(output_names or ())
        self.output = output
        self.on_unsupported = on_unsupported
        self._device, self._dtype = _home(model)
        self.references = references.detach().to(self._device, self._dtype)
        _refuse_non_finite(self.references, "reference")

    def __call__(
        self,
        images: Float[Tensor, "images channels height width"],
        outputs: Outputs = None,
        *,
        tolerance: float | None = None,
        on_gap: OnGap = "warn",
        progress: bool | Callable[[int, int], None] = False,
        show: Float[Tensor, "images channels height width"] | None = None,
    ) -> Explanation:
        """Explain images.

        Arguments
            outputs: all (up to 32), an index, a name, a list of those, one index per image, or `TopK(k)`.
            on_gap: what happens above the completeness tolerance: "warn", "raise" or "ignore".
            progress: True for a progress bar, or a function that gets (steps done, steps in all).
            show: what to draw under the heatmaps, where `images` are normalised.
        """
        prepared = self._check_images(images)
        report = _reporter(progress)
        with self._running():
            plan = self._plan(prepared)
            records = [self._record(image.unsqueeze(0), plan) for image in prepared]
            predictions = torch.cat([prediction for _, prediction in records])
            chosen = choose_outputs(outputs, predictions, self.output_names)
            sums, base = self._accumulate(prepared, [record for record, _ in records], chosen, plan, report)
        count = len(self.references)
        values = (sums.values / count).to(images.device)
        predicted = predictions.cpu().gather(1, chosen).to(images.device)
        base_values = base.cpu()[chosen].to(images.device)
        gap = (predicted.double() - base_values.double() - values.double().sum((2, 3, 4))).to(values.dtype)
        explanation = Explanation(
            values=values,
            base_values=base_values,
            predictions=predicted,
            completeness_gap=gap,
            output_index=chosen.to(images.device),
            images=(images if show is None else show).detach(),
            output_names=self.output_names,
            std_errors=sums.std_errors(count).to(images.device),
            method=self.method,
            settings={"references": count, "model": type(self.model).__name__},
        )
        _judge(explanation, on_gap, plan.unsupported)
        return explanation

    def _check_images(self, images: Tensor) -> Tensor:
        if images.dim() != self.references.dim() or images.shape[1:] != self.references.shape[1:]:
            raise ExplainerError(
                f"images have shape {tuple(images.shape)} and references {tuple(self.references.shape)}: "
                "all but the first dimension must agree"
            )
        if len(images) == 0:
            raise ExplainerError("there are no images to explain")
        prepared = images.detach().to(self._device, self._dtype)
        _refuse_non_finite(prepared, "image")
        return prepared

    @contextmanager
    def _running(self) -> Iterator[None]:
        with left_as_found(self.model), functions_opened(SharedOut):
            yield

    def _run(self, tape: Replay | Record, batch: Tensor) -> Tensor:
        with tape:
            result = self.model(batch)
        return self._pick(result)

    def _pick(self, result: Any) -> Float[Tensor, "images columns"]:
        """The explained part of what a model returns, as one column per output."""
        if self.output is not None:
            try:
                result = (
                    result[self.output] if not isinstance(self.output, str) else _named(result, self.output)
                )
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise ExplainerError(
                    f"the model's result has no part {self.output!r}: {_describe(result)}"
                ) from error
        elif not isinstance(result, Tensor) and isinstance(getattr(result, "logits", None), Tensor):
            result = result.logits
        if not isinstance(result, Tensor):
            raise ExplainerError(
                f"the model returns {_describe(result)}; say with output= which part to explain"
            )
        if result.dim() == 1:
            result = result.unsqueeze(1)
        if result.dim() != 2:
            raise ExplainerError(
                f"the model returns a tensor of shape {tuple(result.shape)}; "
                "what can be explained is (images, outputs) or (images,)"
            )
        columns: Tensor = result
        return columns

    def _replay(self, references: Tensor) -> tuple[Replay, Tensor, Tensor]:
        """Run references with gradients; gives the tape, the leaf and the predictions."""
        replay = Replay(self.model, self.on_unsupported)
        with torch.enable_grad():
            leaf = references.clone().requires_grad_()
            return replay, leaf, self._run(replay, leaf.clone())

    def _record(self, image: Tensor, plan: _Plan) -> tuple[Record, Tensor]:
        record = Record(self.model, plan.log, self.on_unsupported)
        with torch.no_grad():
            prediction = self._run(record, image.clone())
        record.finish()
        if not prediction.isfinite().all():
            raise ExplainerError(
                "the model's prediction for an image is not finite: nothing can be attributed"
            )
        return record, prediction

    def _plan(self, images: Tensor) -> _Plan:
        """Run two images together and each alone: what calls are made, and where the batch lies in each."""
        pair = torch.cat([images[:1], self.references[:1]])
        replay, _, together = self._replay(pair)
        plan = _Plan(replay.log, {}, replay.unsupported)
        first, second = (self._record(image.unsqueeze(0), plan) for image in pair)
        alone = torch.cat([first[1], second[1]])
        if not torch.allclose(alone, together, rtol=1e-3, atol=1e-3 * together.abs().max().item()):
            raise ExplainerError(
                "the model mixes the images of a batch: an image's prediction changes by "
                f"{(alone - together).abs().max().item():.3g} with the image beside it, so none can be explained alone"
            )
        for number, kept in enumerate(replay.kept):
            for position, both in enumerate(kept.x):
                one, other = first[0].kept[number].x[position], second[0].kept[number].x[position]
                fold = find_fold(one, other, both)
                if fold is not None:
                    plan.folds[number, position] = fold
        return plan

    def _accumulate(
        self,
        images: Tensor,
        records: list[Record],
        chosen: Int[Tensor, "images outputs"],
        plan: _Plan,
        report: _Report,
    ) -> tuple[_Sums, Float[Tensor, "columns"]]:
        """Backward passes from every output of every image, through chunk after chunk of references."""
        shape = (*chosen.shape, *images.shape[1:])
        sums = _Sums(
            torch.zeros(shape, dtype=self._dtype, device=self._device),
            torch.zeros(shape, dtype=self._dtype, device=self._device),
        )
        base: Tensor | None = None
        steps, total = 0, chosen.numel() * len(self.references)
        for chunk in torch.split(self.references, CHUNK):
            replay, leaf, predictions = self._replay(chunk)
            replay.folds = plan.folds
            column_sums = predictions.detach().sum(0)
            base = column_sums if base is None else base + column_sums
            for number, record in enumerate(records):
                replay.pair_with(record)
                for position, column in enumerate(chosen[number].tolist()):
                    (multipliers,) = torch.autograd.grad(
                        predictions[:, column].sum(), leaf, retain_graph=True
                    )
                    sums.add(number, position, multipliers.mul_(images[number] - chunk))
                    steps += len(chunk)
                    report(steps, total)
            replay.forget_sample()
        assert base is not None
        if not base.isfinite().all():
            raise ExplainerError(
                "the model's prediction for a reference is not finite: nothing can be attributed"
            )
        return sums, base / len(self.references)


@dataclass(frozen=True)
class _Plan:
    """What one run of the model showed: its calls, and where the batch lies in their inputs."""

    log: list[Any]
    folds: dict[tuple[int, int], Fold]
    unsupported: set[str]


_Report = Callable[[int, int], None]


def _reporter(progress: bool | _Report) -> _Report:
    if callable(progress):
        return progress
    return lambda _done, _total: None


def _home(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and the precision in which a model is explained: float64 if it is, float32 otherwise."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None:
        return torch.device("cpu"), torch.float32
    return parameter.device, parameter.dtype if parameter.dtype == torch.float64 else torch.float32


def _refuse_non_finite(images: Tensor, kind: str) -> None:
    bad = (~images.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise ExplainerError(f"{kind} {bad[0]} holds NaN or infinite values ({len(bad)} of {len(images)} do)")


def _named(result: Any, name: str) -> Any:
    return result[name] if isinstance(result, dict) else getattr(result, name)


def _describe(result: Any) -> str:
    if isinstance(result, dict):
        return f"a dict with {', '.join(map(repr, result))}"
    if isinstance(result, list | tuple):
        return f"a {type(result).__name__} of {len(result)} parts"
    return f"a {type(result).__name__}"


def _judge(explanation: Explanation, on_gap: OnGap, unsupported: set[str]) -> None:
    """Warn or raise above 1e-3 of the largest |prediction - base value|, or 1e-5 of the absolute attributions."""
    if on_gap == "ignore":
        return
    change = (explanation.predictions - explanation.base_values).abs().max().item()
    size = explanation.values.abs().sum((2, 3, 4)).max().item()
    gap, allowed = explanation.completeness_gap.abs().max().item(), max(1e-3 * change, 1e-5 * size)
    if gap <= allowed:
        return
    cause = f" It could not follow {'; '.join(sorted(unsupported))}." if unsupported else ""
    message = (
        f"the attributions miss prediction - base value by {gap:.3g} (allowed {allowed:.3g}, "
        f"prediction - base value up to {change:.3g}).{cause}"
    )
    if on_gap == "raise":
        raise CompletenessError(message)
    warnings.warn(message, CompletenessWarning, stacklevel=3)
