"""RegionShap: Shapley values of a handful of regions of an image, of any model, and how regions work together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.region_values import Interactions, RegionValues
from shapsight.attribution.maskers import Masker, References
from shapsight.attribution.segments import label_map
from shapsight.attribution.several_inputs import Inputs, SeveralInputs, are_several, regions_of_parts
from shapsight.attribution.shapley import (
    Shares,
    exact,
    interactions,
    kernel,
    permutation,
    permutation_pairs,
    strata,
)
from shapsight.attribution.shared.black_box import BlackBox, drawable
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.heap import keeping_freed_memory
from shapsight.attribution.shared.outputs import Outputs, choose_outputs
from shapsight.attribution.shared.placement import moved
from shapsight.attribution.shared.progress import Report, reporting
from shapsight.attribution.targets.aimed import are_aimed
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences

Estimate = TypeVar("Estimate")
Estimator = Literal["exact", "kernel", "permutation"]
AT_A_TIME = 256  # masks of coalitions that are held at a time,
MASKED_PIXELS = 1 << 26  # or as many as have so many pixels, of large volumes


class RegionShap(BlackBox):
    """Shapley values of a handful of regions: exact up to 16, estimated with standard errors above.

        explainer = RegionShap(model, "blur(64,64)", "grid(4,4)")               # a torch module, or any function
        explanation = explainer(images, outputs=TopK(1))                        # each value spread over its region
        explainer.by_region(images, outputs=TopK(1)).values                     # (images, outputs, regions)
        RegionShap(model, "mean", roi)(images)                                  # a mask: ROI against scene
        RegionShap(model, "mean", "slic(60)", "kernel", max_evals=2000)(images) # superpixels
        RegionShap(model, "mean", labels).interactions(images)                  # does it need curve *and* poster?

    Arguments
        predict: an `nn.Module` from `(N, C, H, W)`, or any function of numpy images `(N, H, W, C)`, to one row per
            image.
        masker: what stands where a region is hidden, such as "blur(64,64)", "inpaint_telea", "mean", 0.5, a tensor of
            references or a `Masker`.
        regions: (rows, columns) or "grid(rows,columns)"; "slic(count)", superpixels; a label map of integers, (H, W)
            or one for each image (images, H, W); or a boolean mask, whose regions are 0, the scene, and 1, the ROI. Of
            volumes (depth, rows, columns), supervoxels, and maps (D, H, W); two numbers go through all slices.
            Of several pictures, a list of one for each. With the masker "tokens", "patches" are a region each, and
            other regions end where patches do.
        estimator: "exact" asks about all coalitions, up to 16 regions; "kernel" fits a budget of coalitions by
            weighted least squares, the closest for the same budget; "permutation" averages gains along random orders,
            each with its reverse.
        max_evals: the budget of the estimators that sample, for each image.
        output_names: a name for every column of the output.
        output: which part of a dict or tuple that the model returns is explained: a key or a position.
        batch_size: the most masked images that the model gets at a time.
        precision: "bfloat16" to run a module under autocast, with what that changes in
            `settings["precision_difference"]`; None as it is, on a GPU of NVIDIA with TF32 where PyTorch allows it.
        seed: of the sampling. An image's values depend on it and on the image's number.

    Raises `ExplainerError` for arguments that do not fit.
    Sources: Shapley 1953; Lundberg & Lee 2017 and Covert & Lee 2021 (kernel); Mitchell et al. 2022 (permutation).
    """

    method = "RegionSHAP"

    def __init__(
        self,
        predict: nn.Module | Callable[..., Any] | Bundle,
        masker: str | Masker | Tensor | ChosenReferences | float | Sequence[float],
        regions: Any,
        estimator: Estimator = "exact",
        *,
        max_evals: int = 1000,
        output_names: Sequence[str] | None = None,
        output: str | int | None = None,
        batch_size: int = 50,
        precision: str | None = None,
        seed: int = 0,
    ) -> None:
        if estimator not in ("exact", "kernel", "permutation"):
            raise ExplainerError(f"estimator={estimator!r} is not one of 'exact', 'kernel' and 'permutation'")
        super().__init__(
            predict,
            masker,
            batch_size=batch_size,
            output_names=output_names,
            precision=precision,
            output=output,
            seed=seed,
        )
        self.regions = regions
        self.inputs: Inputs | None = None
        self.estimator = estimator
        self.max_evals = max_evals

    @overload
    def __call__(
        self,
        images: tuple[Any, ...],
        outputs: Outputs = None,
        *,
        progress: bool | Report = False,
        show: Float[Tensor, "images channels height width"] | None = None,
    ) -> SeveralInputs: ...

    @overload
    def __call__(
        self,
        images: Any,
        outputs: Outputs = None,
        *,
        progress: bool | Report = False,
        show: Float[Tensor, "images channels height width"] | None = None,
    ) -> Explanation: ...

    def __call__(
        self,
        images: Any,
        outputs: Outputs = None,
        *,
        progress: bool | Report = False,
        show: Float[Tensor, "images channels height width"] | None = None,
    ) -> Explanation | SeveralInputs:
        """Explain images; every pixel gets its region's value over the region's number of pixels.

        Of a model with several inputs a tuple of them, such as `(images, numbers)`, with numbers `(N, L)`: one
        explanation for each, which sum to `prediction - base value` together. Each number is a region of its own.

        Arguments
            images: `(images, channels, height, width)`; or what numpy reads, `(images, height, width, channels)`.
            outputs: all (up to 32), an index, a name, a list of those, one index per image, or `TopK(k)`.
            progress: True for a progress bar, or a function that gets (coalitions done, coalitions in all).
            show: what to draw under the heatmaps, where `images` are normalised.
        """
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            explained: Explanation = aimed(images, columns, progress=progress, show=show)
            return explained
        if are_several(images):
            inputs = Inputs.of(images)
            of_rows = self._of_rows(inputs)
            of_rows.inputs = inputs
            return inputs.split(of_rows._explained(inputs.row(images), outputs, progress, None))
        given, show = self._given(images, show)
        return self._explained(given, outputs, progress, show)

    def _explained(
        self, given: Tensor, outputs: Outputs, progress: bool | Report, show: Tensor | None
    ) -> Explanation:
        found = self._by_region(given, outputs, progress)
        errors = None if found.std_errors is None else found.spread(found.std_errors)
        return Explanation(
            values=found.spread(found.values),
            base_values=found.base_values,
            predictions=found.predictions,
            completeness_gap=found.predictions - found.base_values - found.values.sum(2),
            output_index=found.output_index,
            images=drawable(given if show is None else show),
            output_names=self.output_names,
            std_errors=errors,
            outlines=self._outlines(given),
            method=self.method,
            settings={
                "regions": found.values.shape[2],
                "estimator": self.estimator,
                "evaluations": found.evaluations,
                **self._asked_with(given[0]),
            },
        )

    def by_region(
        self, images: Any, outputs: Outputs = None, *, progress: bool | Report = False
    ) -> RegionValues:
        """One value for each region. Arguments as for calling the explainer."""
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            found: RegionValues = aimed.by_region(images, columns, progress=progress)
            return found
        return self._by_region(self._given(images, None)[0], outputs, progress)

    def _by_region(
        self,
        images: Shaped[Tensor, "images channels height width"],
        outputs: Outputs,
        progress: bool | Report,
    ) -> RegionValues:
        tables = self._tables(images, outputs)
        with keeping_freed_memory(), reporting(progress) as report:
            shares = _every(tables, report, self._evaluations, self._estimate)
        ends = torch.stack([torch.stack(table.ends()) for table in tables]).to(images.device)
        sampled = [share.std_errors.T for share in shares if share.std_errors is not None]
        return RegionValues(
            values=moved(_padded([share.values.T for share in shares]), ends),
            std_errors=moved(_padded(sampled), ends) if sampled else None,
            labels=torch.stack([table.labels for table in tables]).to(images.device),
            images=drawable(images),
            base_values=ends[:, 0],
            predictions=ends[:, 1],
            output_index=torch.stack([table.columns for table in tables]).to(images.device),
            evaluations=sum(table.game.evaluations for table in tables),
            output_names=self.output_names,
        )

    def interactions(
        self, images: Any, outputs: Outputs = None, *, progress: bool | Report = False
    ) -> Interactions:
        """The exact Shapley interaction index of every two regions, up to 16 regions, from all coalitions.

        With regions curve, poster and the rest, a value of 0.3 for curve and poster says that together they move the
        output by 0.3 more than the two alone do (on average over what else is visible).
        """
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            pairs: Interactions = aimed.interactions(images, columns, progress=progress)
            return pairs
        given, _ = self._given(images, None)
        tables = self._tables(given, outputs)
        with keeping_freed_memory(), reporting(progress) as report:
            found = _every(
                tables, report, lambda players: 1 << players, lambda t, _: interactions(t, t.players)
            )
        values, device = _padded([pairs.movedim(-1, 0) for pairs in found], 2), given.device
        return Interactions(
            values=values.to(tables[0].game.full().dtype).to(device),
            labels=torch.stack([table.labels for table in tables]).to(device),
            images=drawable(given),
            output_index=torch.stack([table.columns for table in tables]).to(device),
            output_names=self.output_names,
        )

    def _tables(
        self, images: Shaped[Tensor, "images channels height width"], outputs: Outputs
    ) -> list[_Table]:
        """The game of each image for the outputs asked for."""
        games = [self._game(image) for image in images]
        if isinstance(self.masker, References):
            for game in games[1:]:
                game.starts_like(games[0])
        labels = [self._labels(game, number, len(images)) for number, game in enumerate(games)]
        predictions = torch.stack([game.full() for game in games])
        chosen = choose_outputs(outputs, predictions, self.output_names).to(predictions.device)
        return [_Table(*one) for one in zip(games, labels, chosen, strict=True)]

    def _labels(self, game: Game, number: int, images: int) -> Int[Tensor, "height width"]:
        """Each pixel's region; of a transformer whose patches are taken away, along their borders."""
        if self.inputs is not None:
            return regions_of_parts(self.regions, self.inputs, game.image.cpu(), number, images)
        if game.removal is None:
            return label_map(self.regions, game.image, number, images)
        if isinstance(self.regions, str) and self.regions == "patches":
            return game.removal.embedding.labels
        return game.removal.snapped(label_map(self.regions, game.image, number, images))

    def _evaluations(self, players: int) -> int:
        """How many coalitions an image takes."""
        if self.estimator == "kernel":
            return 2 + 2 * sum(layer.pairs for layer in strata(players, self.max_evals))
        if self.estimator == "permutation":
            return 2 + permutation_pairs(players, self.max_evals) * 2 * (players - 1)
        return 1 << players

    def _estimate(self, table: _Table, number: int) -> Shares:
        if self.estimator == "exact":
            return exact(table, table.players)
        estimate = kernel if self.estimator == "kernel" else permutation
        generator = torch.Generator().manual_seed(self.seed + number)
        return estimate(table, table.players, self.max_evals, generator)


@dataclass
class _Table:
    """The game of an image, played by its regions for some outputs."""

    game: Game
    labels: Int[Tensor, "*sides"]
    columns: Int[Tensor, "outputs"]
    report: Report = lambda _done, _total: None
    asked: int = 0
    before: int = 0
    total: int = 0

    @property
    def players(self) -> int:
        return int(self.labels.max()) + 1

    def ends(self) -> tuple[Float[Tensor, "outputs"], Float[Tensor, "outputs"]]:
        """What no region and what all of them are worth."""
        return self.game.empty()[self.columns], self.game.full()[self.columns]

    def __call__(self, coalitions: Bool[Tensor, "coalitions players"]) -> Float[Tensor, "coalitions outputs"]:
        """What coalitions of regions are worth, on the processor; no and all regions are asked about once."""
        empty, full = self.ends()
        values = empty.expand(len(coalitions), -1).clone()
        values[coalitions.all(1).to(values.device)] = full
        inner = (coalitions.any(1) & ~coalitions.all(1)).nonzero().flatten()
        at_a_time = max(1, min(AT_A_TIME, MASKED_PIXELS // self.labels.numel()))
        for numbers in torch.split(inner, at_a_time) if len(inner) else ():
            visible = coalitions[numbers][:, self.labels]
            values[numbers.to(values.device)] = self.game.values(visible.unsqueeze(1))[:, self.columns]
            self.asked += len(numbers)
            self.report(self.before + self.asked, self.total)
        return values.cpu()


def _every(
    tables: Sequence[_Table],
    report: Report,
    evaluations: Callable[[int], int],
    estimate: Callable[[_Table, int], Estimate],
) -> list[Estimate]:
    """An estimate of each image, with the coalitions reported as they are asked about."""
    totals = [evaluations(table.players) for table in tables]
    found = []
    for number, table in enumerate(tables):
        table.report, table.before, table.total = report, sum(totals[:number]), sum(totals)
        found.append(estimate(table, number))
        report(table.before + totals[number], table.total)
    return found


def _padded(tensors: Sequence[Tensor], dimensions: int = 1) -> Tensor:
    """One tensor, zeros where an image has fewer regions than another."""
    most = max(tensor.shape[-1] for tensor in tensors)
    pads = [(0, most - tensor.shape[-1]) * dimensions for tensor in tensors]
    return torch.stack([torch.nn.functional.pad(t, pad) for t, pad in zip(tensors, pads, strict=True)])
