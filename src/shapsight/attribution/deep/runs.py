"""One model, run under a tape: what is explained goes in, one column per output comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.attribution.deep.decisions import Decisions, Selects
from shapsight.attribution.deep.folding import Folding, FoldingFinder
from shapsight.attribution.deep.layout import Fold, find_fold
from shapsight.attribution.deep.replay import Record, Replay, SharedOut
from shapsight.attribution.deep.run_log import LoggedCall, RunsDiffer
from shapsight.attribution.shared.inputs import Parts
from shapsight.attribution.shared.layer import LayerInput
from shapsight.attribution.shared.memory import Budget, Footprint, Need, most_memory
from shapsight.attribution.shared.mixing import apart, farthest, refuse_mixing
from shapsight.attribution.shared.modules import State, functions_opened, left_as_found
from shapsight.attribution.shared.placement import full_float32
from shapsight.attribution.shared.strided import StridedConvolution
from shapsight.attribution.shared.suitability import first_non_finite, refuse_hooks_on_everything
from shapsight.errors import ExplainerError
from shapsight.models.columns import scores


@dataclass(frozen=True)
class Image:
    """A recorded image: the tape, what is explained of it, and its prediction."""

    tape: Record
    explained: Parts
    prediction: Float[Tensor, "1 columns"]


@dataclass(frozen=True)
class Plan:
    """What one run of the model showed: its calls, and where the batch lies in their inputs; image 0 as recorded.

    A model that makes other calls for several images than for one is run with one at a time. `decisions` are those of
    the image that is explained, where the model selects by its activations.
    """

    log: list[LoggedCall]
    folds: dict[tuple[int, int], Fold]
    unsupported: set[str]
    need: Need = field(default_factory=Need)
    folding: Folding = field(default_factory=Folding)
    memory_format: torch.memory_format = torch.preserve_format
    first: Image | None = None
    is_one_by_one: bool = False
    decisions: Decisions | None = None

    @property
    def selects_by(self) -> str | None:
        """The calls by which the model selects, and where they are made; None where it does not."""
        return (
            None
            if self.decisions is None
            else ", ".join(f"{name} in {where}" for name, where in self.decisions.by.items())
        )

    def limited(self, amounts: Budget) -> Budget:
        """How many references are replayed at a time, and how many images recorded, at most."""
        return Budget(
            1 if self.is_one_by_one else amounts.chunk, amounts.group if self.decisions is None else 1
        )


@dataclass(frozen=True)
class References:
    """A replayed chunk of references: the tape, what is explained of them, and their predictions."""

    tape: Replay
    explained: Parts
    predictions: Float[Tensor, "references columns"]


@dataclass
class Runs:
    """A model with what is asked of it, and the state in which every run of it begins."""

    model: nn.Module
    output: str | int | None = None
    layer: LayerInput | None = None
    on_unsupported: str = "raise"
    state: State | None = None

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The model in eval mode, frozen and opened to the tapes; afterwards as it was found."""
        refuse_hooks_on_everything()
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        with (
            torch.inference_mode(False),
            torch.autocast(device.type, enabled=False),
            full_float32(device),
            left_as_found(self.model),
            functions_opened((SharedOut, StridedConvolution)),
        ):
            self.state = State.of(self.model)
            yield

    def predict(self, inputs: Sequence[Tensor]) -> Tensor:
        """The columns that are explained, without gradients."""
        with torch.no_grad():
            return scores(self.model(*inputs), self.output, len(inputs[0]))

    def _run(self, tape: Replay | Record, inputs: Parts) -> tuple[Parts | None, Tensor]:
        if self.state is not None:
            self.state.restore()
        is_alone = len(inputs[0]) == 1
        with (
            self.layer.watching() if self.layer else nullcontext(),
            _same_draws(inputs[0].device) if is_alone else nullcontext(),
            tape,
        ):
            result = self.model(*inputs)
        columns = scores(result, self.output, len(inputs[0]))
        if tape.finder is not None:
            tape.finder.saw_returned(result)
        return (self.layer.take(len(inputs[0])),) if self.layer else None, columns

    def replay(
        self,
        references: Parts,
        plan: Plan | None = None,
        finder: FoldingFinder | None = None,
        footprint: Footprint | None = None,
        decisions: Decisions | None = None,
    ) -> References:
        """Run references with gradients, as the plan says; without one, `decisions` is written full."""
        tape = Replay(self.model, self.on_unsupported, None if plan is None else plan.log)
        tape.finder, tape.footprint = finder, footprint
        tape.decisions = decisions
        layout = torch.preserve_format
        if plan is not None:
            tape.decisions = plan.decisions and plan.decisions.again()
            tape.folds, tape.folding, layout = plan.folds, plan.folding, plan.memory_format
        with torch.enable_grad():
            leaves = tuple(_laid_out(part, layout).requires_grad_() for part in references)
            caught, predictions = self._run(tape, tuple(map(tape.watch, leaves)))
        tape.finish()
        if not predictions.requires_grad:
            raise ExplainerError(
                "the model's prediction does not depend on its input by anything that has a gradient: there is nothing "
                "to explain. PartitionShap and RegionShap need no gradients"
            )
        tape.refuse_unseen(predictions, "is the prediction")
        return References(tape, caught or leaves, predictions)

    def record(self, image: Parts, plan: Plan) -> Image:
        """Run one image, making the calls of the plan."""
        tape = Record(self.model, self.on_unsupported, plan.log)
        tape.folding = plan.folding
        tape.decisions = plan.decisions and plan.decisions.again()
        given = tuple(_laid_out(part, plan.memory_format) for part in image)
        with torch.no_grad():
            caught, prediction = self._run(tape, tuple(map(tape.watch, given)))
        tape.finish()
        return Image(tape, caught or given, prediction)

    def refuse_non_finite(self, predictions: Tensor, inputs: Parts, name: Callable[[int], str]) -> None:
        """Raise for NaN or infinite predictions, with the first that has one and the module where it begins.

        Looking waits for the device, so it is done once for many.
        """
        bad = (~predictions.isfinite()).any(1).nonzero().flatten().tolist()
        if not bad:
            return
        module = first_non_finite(self.model, [part[bad[0] : bad[0] + 1].clone() for part in inputs])
        raise ExplainerError(
            f"the model's prediction for {name(bad[0])} is NaN or infinite: nothing can be attributed. "
            f"The first module with such an output is {module}"
        )

    def plan(self, images: Parts, references: Parts, max_memory: int | None = None) -> Plan:
        """Run two images together and each alone: what calls are made, and where the batch lies in each.

        A model that makes other calls for two images than for one is run with one at a time; one that selects by its
        activations keeps the decisions of the image that is explained.
        """
        number = farthest(images, references)
        both = tuple(apart(torch.stack([i[0], r[number]])) for i, r in zip(images, references, strict=True))
        plan: Plan | None = None
        for is_again in (False, True):
            weights = self._weights()
            try:
                plan = self._plan_together(both, number, max_memory)
            except (RunsDiffer, Selects):
                plan = None  # each image is run alone, below
            except Exception:
                self._run_as_it_is(tuple(part[:1] for part in both))  # if that raises, it says more
                raise
            if is_again or self._weights() == weights:
                break
            # the model has made weights when it was first run, and keeps them
            self.state = State.of(self.model)
        if plan is not None:
            return plan
        try:
            return self._plan_alone(both, number, max_memory, None)
        except Selects:
            return self._plan_alone(both, number, max_memory, Decisions())

    def _plan_alone(
        self, both: Parts, number: int, max_memory: int | None, decisions: Decisions | None
    ) -> Plan:
        """Run each of the two images alone, and compare their predictions with those that they get together."""
        first, second = (tuple(part[i : i + 1] for part in both) for i in range(2))
        footprint = Footprint(self.model, most_memory(max_memory, both[0].device))
        with footprint.counting_graph():
            run = self.replay(first, footprint=footprint, decisions=decisions)
        need = footprint.need(
            (tensor for kept in run.tape.kept for tensor in (*kept.tensors, *kept.notes)), 1
        )
        plan = Plan(
            run.tape.log.calls, {}, run.tape.unsupported, need, is_one_by_one=True, decisions=decisions
        )
        recorded = self.record(first, plan)
        other = self.record(second, self.plan_of(second, plan))
        predictions = torch.cat([recorded.prediction, other.prediction])
        self.refuse_non_finite(predictions, both, ("image 0", f"reference {number}").__getitem__)
        if self.state is not None:
            self.state.restore()
        refuse_mixing(predictions, self.predict(tuple(part.clone() for part in both)))
        return replace(plan, first=recorded)

    def plan_of(self, image: Parts, plan: Plan) -> Plan:
        """The plan for another image, whose decisions may lead to other calls."""
        if plan.decisions is None:
            return plan
        decisions = Decisions()
        run = self.replay(image, decisions=decisions)
        return replace(plan, log=run.tape.log.calls, decisions=decisions, first=None)

    def _plan_together(self, both: Parts, number: int, max_memory: int | None) -> Plan:
        """In the layout that is fastest; in that of the images where the model does not work alike in it.

        It may hold a .view() that only contiguous memory allows, or rounding alone may decide what it predicts.
        """
        if _is_convolutional(self.model, both):
            try:
                return self._plan_laid_out(both, number, max_memory, torch.channels_last)
            except Selects:
                raise
            except (RuntimeError, ExplainerError):
                pass  # below it is asked anew, and what is raised there is told
        return self._plan_laid_out(both, number, max_memory, torch.preserve_format)

    def _plan_laid_out(
        self, both: Parts, number: int, max_memory: int | None, memory_format: torch.memory_format
    ) -> Plan:
        finder = FoldingFinder() if self.layer is None else None
        footprint = Footprint(self.model, most_memory(max_memory, both[0].device))
        undrawn = _generator_state(both[0].device)
        with footprint.counting_graph():
            laid_out = tuple(_laid_out(part, memory_format) for part in both)
            pair = self.replay(laid_out, finder=finder, footprint=footprint)
        if not torch.equal(undrawn, _generator_state(both[0].device)):
            raise RunsDiffer("the model draws random numbers, others for each image of a batch")
        need = footprint.need(
            (tensor for kept in pair.tape.kept for tensor in (*kept.tensors, *kept.notes)), 2
        )
        folding = Folding() if finder is None else finder.folding()
        plan = Plan(pair.tape.log.calls, {}, pair.tape.unsupported, need, memory_format=memory_format)
        plan = self._with_folds(plan, both, number, pair)
        # with folded weights image 0 is recorded anew; its predictions alone and in a batch were compared without
        return replace(plan, folding=folding, first=None if folding.norms else plan.first)

    def _weights(self) -> set[int]:
        return {id(parameter) for parameter in self.model.parameters()}

    def _run_as_it_is(self, image: Parts) -> None:
        """Show whether the model runs at all."""
        try:
            with torch.no_grad():
                self.model(*(part.clone() for part in image))
        except Exception as error:
            shapes = " and ".join(f"{tuple(part.shape)} in {part.dtype}" for part in image)
            error.add_note(
                f"DeepShap ran the model as it is, on one image of shape {shapes}, and it raised this."
            )
            raise

    def _with_folds(self, plan: Plan, both: Parts, number: int, pair: References) -> Plan:
        """Run each of the two images alone, and compare. Raises `ExplainerError` where they change each other.

        The second keeps the layout that it was given, so that a model which minds the layout is found, too.
        """
        alone = [tuple(part[i : i + 1] for part in both) for i in range(2)]
        first = self.record(alone[0], plan)
        second = self.record(alone[1], replace(plan, memory_format=torch.preserve_format))
        predictions = torch.cat([first.prediction, second.prediction])
        self.refuse_non_finite(predictions, both, ("image 0", f"reference {number}").__getitem__)
        refuse_mixing(predictions, pair.predictions.detach())
        folds: dict[tuple[int, int], Fold] = {}
        for call, kept in enumerate(pair.tape.kept):
            for position, tensor in enumerate(kept.x):
                one, other = (run.tape.kept[call].x[position] for run in (first, second))
                if (fold := find_fold(one, other, tensor)) is not None:
                    folds[call, position] = fold
        return replace(plan, folds=folds, first=first)


def _generator_state(device: torch.device) -> Tensor:
    """The state of the random numbers that a model may draw from."""
    own = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.empty(0, dtype=torch.uint8)
    return torch.cat([torch.get_rng_state(), own])


@contextmanager
def _same_draws(device: torch.device) -> Iterator[None]:
    """Random numbers from one seed: a model may shuffle an image's patches, as long as that changes no prediction."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def _is_convolutional(model: nn.Module, images: Parts) -> bool:
    """Whether a processor's convolutions are the work, which channels last in memory makes faster.

    A transformer, with one convolution before its many linear layers, gains nothing.
    """
    ranks = [parameter.dim() for parameter in model.parameters()]
    return images[0].dim() == 4 and images[0].device.type == "cpu" and 8 * ranks.count(4) > ranks.count(2)


def _laid_out(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """A copy of what a model is given; only images have channels that can be last."""
    return images.clone(memory_format=memory_format if images.dim() == 4 else torch.preserve_format)
