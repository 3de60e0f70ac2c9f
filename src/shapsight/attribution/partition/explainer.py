"""PartitionShap: Owen values of any model, over a tree of pixels."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.partition.asking import Asking
from shapsight.attribution.partition.coins import Coins
from shapsight.attribution.partition.every_context import descend
from shapsight.attribution.partition.places import Place
from shapsight.attribution.partition.shares import Shares
from shapsight.attribution.several_inputs import Inputs, SeveralInputs, are_several, tree_of_parts
from shapsight.attribution.shared.black_box import BlackBox, drawable
from shapsight.attribution.shared.completeness import CompletenessWarning
from shapsight.attribution.shared.game import Game
from shapsight.attribution.shared.heap import keeping_freed_memory
from shapsight.attribution.shared.numbers import is_real, is_whole
from shapsight.attribution.shared.outputs import Outputs, choose_outputs
from shapsight.attribution.shared.placement import moved, wide
from shapsight.attribution.shared.progress import Report, reporting
from shapsight.attribution.targets.aimed import are_aimed
from shapsight.attribution.trees import Node, Tree, as_tree
from shapsight.attribution.trees.patches import on_patches
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle

Contexts = Literal["auto", "both", 0, 1]
DEFAULT_EVALS = 500


@dataclass(frozen=True, eq=False)
class _One:
    """What came of one image."""

    shares: Shares
    full: Tensor
    empty: Tensor
    chosen: Int[Tensor, "outputs"]
    evaluations: int
    largest_open: float


class PartitionShap(BlackBox):
    """SHAP values of any model, asked as a black box: Owen values over a tree of pixels.

        explainer = PartitionShap(model, "blur(128,128)")              # an nn.Module: tensors (N, C, H, W)
        explainer = PartitionShap(predict, "inpaint_telea")            # any function: numpy (N, H, W, C)
        explanation = explainer(images, outputs=TopK(4))               # four classes at the price of one
        explainer = PartitionShap(model, 0.5, max_evals=2000, tree="axis")
        explainer = PartitionShap(model, "mean", max_evals=None, tolerance=0.01)
        explanation.unresolved                                         # where it would go on

    The evaluations go where the model reacts most: the largest share is split first. What is left when they run out
    stays with its node and is spread over the node's pixels, so values always sum to `prediction - base value`.
    Values are unbiased, and single ones may be noise. Plots draw `above_noise`: where a node's halves cannot be told
    apart from the coins' noise, both have the node's mean.

    Arguments
        predict: the model: an `nn.Module`, or any function from a batch of images to scores.
        masker: what stands where pixels are hidden; see `shapsight.maskers`.
        tree: "regions" keeps together what looks alike; "axis" halves rectangles, as shap does; or your own, a
            `trees.Node` or a function from an image to one.
        max_evals: coalitions to evaluate for each image, counting the full and the empty one; at least 3. None needs
            a tolerance.
        tolerance: stop when the largest share that could still be split is below this part of
            `|prediction - base value|`.
        batch_size: coalitions evaluated at a time. It also sets how many nodes are chosen at a time.
        contexts: a node can be split while the rest of its parent is hidden (0) or visible (1). "both" evaluates
            both, which gives the numbers of `shap.PartitionExplainer` (and, like it, one evaluation more than an odd
            `max_evals`); 0 and 1 one of them. "auto" evaluates both
            where much depends on it and elsewhere lets a fair coin choose, which gets farther with the same budget
            and has the same mean; its `std_errors` say what the coins bring in.
        output_names: a name for every column of the model's output.
        output: which part of a dict or tuple that the model returns is explained: a key or a position.
        seed: of the coins, and of ties.
        precision: "bfloat16" runs a module under autocast; `settings["precision_difference"]` then says how far that
            moves the model's answers about some masked images, as a share of their spread. None: as PyTorch is set,
            which on a GPU of NVIDIA allows TF32 in convolutions: the model is asked what it says to its user.

    Raises `ExplainerError` for arguments that do not fit.
    Sources: Owen 1977 (the values); Lundberg's Partition SHAP (the order of the descent).
    """

    method = "PartitionSHAP"

    def __init__(
        self,
        predict: nn.Module | Callable[..., Any] | Bundle,
        masker: Any,
        tree: str | Tree | Node = "regions",
        max_evals: int | None = DEFAULT_EVALS,
        batch_size: int = 50,
        contexts: Contexts = "auto",
        *,
        tolerance: float | None = None,
        output_names: Sequence[str] | None = None,
        output: str | int | None = None,
        seed: int = 0,
        precision: str | None = None,
    ) -> None:
        _check(max_evals, contexts, tolerance)
        super().__init__(
            predict,
            masker,
            batch_size=batch_size,
            output_names=output_names,
            precision=precision,
            output=output,
            seed=seed,
        )
        self.tree = as_tree(tree)
        self._is_named = isinstance(tree, str)
        self.max_evals = max_evals
        self.contexts: Contexts = contexts
        self.tolerance = tolerance
        self._tree_name = tree if isinstance(tree, str) else getattr(tree, "__name__", type(tree).__name__)

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
        """Explain images: a tensor `(N, C, H, W)` or an array `(N, H, W, C)`, or one image without the N.

        Of a model with several inputs a tuple of them, such as `(images, numbers)`, with numbers `(N, L)`: one
        explanation for each, which sum to `prediction - base value` together. Inputs are halved first, then each
        picture by its own tree; numbers end up one by one.

        Arguments
            outputs: all (up to 32), an index, a name, a list of those, one index per image, or `TopK(k)`. Several
                take no more evaluations than one; the share of a node is the largest of theirs.
            progress: True for a progress bar, or a function that gets (evaluations done, evaluations in all); without
                `max_evals`, the second is 0 until the end.
            show: what to draw under the heatmaps, where `images` are normalised.
        """
        if are_aimed(outputs):
            aimed, columns = self._aimed(outputs)
            found: Explanation = aimed(images, columns, progress=progress, show=show)
            return found
        if are_several(images):
            inputs = Inputs.of(images)
            of_rows = self._of_rows(inputs)
            of_rows.tree = tree_of_parts(self.tree, inputs)
            return inputs.split(of_rows._explained(inputs.row(images), outputs, progress, None))
        batch, show = self._given(images, show)
        return self._explained(batch, outputs, progress, show)

    def _explained(
        self, batch: Tensor, outputs: Outputs, progress: bool | Report, show: Tensor | None
    ) -> Explanation:
        with keeping_freed_memory(), reporting(progress) as report, self.predictor.held():
            results: list[_One] = []
            for number in range(len(batch)):
                before = sum(one.evaluations for one in results)
                results.append(
                    self._explain(batch, number, outputs, self._counting(report, len(batch), before))
                )
            done = sum(one.evaluations for one in results)
            report(done, done)
        return self._explanation(batch, results, show)

    def _explain(
        self,
        images: Shaped[Tensor, "images channels height width"],
        number: int,
        outputs: Outputs,
        report: Callable[[int], None],
    ) -> _One:
        image = images[number]
        game = self._game(image)
        root = self._root(game)
        full, empty = game.full(), game.empty()
        own = outputs
        if isinstance(outputs, Tensor) and outputs.dim() > 0:
            _check_one_per_image(outputs, len(images))
            own = outputs[number : number + 1]
        chosen = choose_outputs(own, full[None], self.output_names)[0]
        budget = math.inf if self.max_evals is None else self.max_evals
        asking = Asking(game, chosen, (full, empty), budget, self.batch_size, self.tolerance, report)
        shares = Shares.of(root, image.shape, len(chosen))
        chance = random.Random(f"{self.seed} {number}")
        if self.contexts == "auto":
            largest = Coins(asking, chance).descend(Place(root), shares)
        else:
            largest = descend(asking, root, shares, self.contexts, chance)
        return _One(shares, full, empty, chosen, asking.done, largest)

    def _root(self, game: Game) -> Node:
        """The tree's root; of a transformer whose patches are taken away, over these."""
        image = game.image.cpu()
        if game.removal is None or not self._is_named:
            return self.tree(image)
        patches = game.removal.embedding
        return on_patches(self.tree, image, patches.labels, patches.grid)

    def _counting(self, report: Report, images: int, before: int) -> Callable[[int], None]:
        """Reports the evaluations of an image; those of the images before it are done."""
        total = 0 if self.max_evals is None else self.max_evals * images
        return lambda done: report(min(before + done, total) if total else before + done, total)

    def _explanation(self, images: Tensor, results: list[_One], show: Tensor | None) -> Explanation:
        device = images.device
        chosen = torch.stack([one.chosen for one in results]).to(device)
        kind = results[0].full.dtype

        def gathered(parts: list[Tensor]) -> Tensor:
            return torch.stack(parts).to(kind).to(device)

        values = gathered([one.shares.values for one in results])
        predictions = gathered([one.full for one in results]).gather(1, chosen)
        base_values = gathered([one.empty for one in results]).gather(1, chosen)
        gap = moved(wide(predictions) - wide(base_values) - wide(values).flatten(2).sum(2), predictions)
        _warn_of(gap, predictions, base_values)
        errors = gathered([one.shares.squared_errors for one in results]).sqrt()
        above_noise = gathered([one.shares.above_noise.sum(1) for one in results])
        return Explanation(
            values=values,
            base_values=base_values,
            predictions=predictions,
            completeness_gap=gap,
            output_index=chosen,
            images=drawable(images if show is None else show),
            output_names=self.output_names,
            std_errors=errors if self.contexts == "auto" else None,
            outlines=self._outlines(images),
            above_noise=above_noise if self.contexts == "auto" else None,
            unresolved=gathered([one.shares.unresolved.sum(1) for one in results]),
            method=self.method,
            settings=self._settings(images[0], results),
        )

    def _settings(self, image: Tensor, results: list[_One]) -> dict[str, Any]:
        """What it was run with; `largest_open` is the largest share that could still be split, in the output's unit."""
        settings = {
            **self._asked_with(image),
            "tree": self._tree_name,
            "contexts": self.contexts,
            "max_evals": self.max_evals,
            "tolerance": self.tolerance,
            "evaluations": [one.evaluations for one in results],
            "largest_open": [one.largest_open for one in results],
        }
        return {name: setting for name, setting in settings.items() if setting is not None}


def _warn_of(gap: Tensor, predictions: Tensor, base_values: Tensor) -> None:
    """Values sum to the change whatever the budget; where they do not, a tree of one's own is none."""
    largest, change = gap.abs().max().item(), (predictions - base_values).abs().max().item()
    if largest > max(1e-3 * change, 1e-5 * predictions.abs().max().item()):
        warnings.warn(
            f"the values miss prediction - base value by {largest:.3g}: the halves of each of the tree's nodes must "
            "hold its pixels once, and its size must be their number",
            CompletenessWarning,
            stacklevel=4,
        )


def _check(max_evals: int | None, contexts: Any, tolerance: float | None) -> None:
    if max_evals is not None and (not is_whole(max_evals) or max_evals < 3):
        raise ExplainerError(
            f"max_evals={max_evals!r}: a whole number is needed, at least 3: two for the full and the empty image and "
            "one to split it"
        )
    if max_evals is None and tolerance is None:
        raise ExplainerError(
            "max_evals=None goes on for ever: give a tolerance as well, such as tolerance=0.01"
        )
    if tolerance is not None and not (is_real(tolerance) and 0 < tolerance < 1):
        raise ExplainerError(f"tolerance={tolerance!r} must lie between 0 and 1, such as 0.01")
    if contexts not in ("auto", "both", 0, 1):
        raise ExplainerError(f"contexts={contexts!r} is not one of 'auto', 'both', 0 and 1")


def _check_one_per_image(outputs: Tensor, images: int) -> None:
    if outputs.shape != (images,):
        raise ExplainerError(
            f"a tensor of outputs holds one column number per image: {images} integers, not {tuple(outputs.shape)}"
        )
