"""Record an image, replay it against the references.

Both runs execute the model under a `torch.overrides.TorchFunctionMode`, which sees every call of a torch function.
The replay run (the references, gradients on) decides which calls depend on the input and builds the graph;
the record run (one image, no gradients) repeats those decisions call by call and keeps the same calls' inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from shapsight.attribution.deep.layout import OUTERMOST, Fold, widen
from shapsight.attribution.deep.rules.rule import Pair, PairedRule
from shapsight.attribution.deep.run_log import LoggedCall
from shapsight.attribution.deep.tape import Kept, Tape
from shapsight.attribution.shared.modules import module_path_of_caller
from shapsight.errors import UnsupportedOperation


class Replay(Tape):
    """The run of the references: decides what depends on the input, and builds the graph of multipliers."""

    def __init__(
        self,
        model: torch.nn.Module,
        on_unsupported: str = "raise",
        expected: Sequence[LoggedCall] | None = None,
    ) -> None:
        super().__init__(model, on_unsupported, expected)
        self.sample: Record | None = None
        self.is_last = False
        self.folds: dict[tuple[int, int], Fold] = {}
        self._pairs: dict[int, Pair] = {}

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """Ask autograd, and write the answer down for the record."""
        flags = tuple(tensor.requires_grad or self.provenance.is_discrete(tensor) for tensor in tensors)
        for tensor in tensors:
            if tensor.requires_grad and tensor not in self._seen:
                self.refuse_unseen(tensor, f"enters torch's {name} in {module_path_of_caller(self.model)}")
        if any(flags):
            self.log.add(LoggedCall(name, flags))
        return flags

    def find_made(self, number: int, made: Sequence[Tensor]) -> Sequence[bool]:
        """Ask autograd, and write the answer down for the record."""
        is_told = torch.is_grad_enabled()
        flags = tuple(
            not is_told or t.requires_grad or not (t.is_floating_point() or t.is_complex()) for t in made
        )
        self.log.note_made(number, flags)
        return flags

    def note_result(self, tensor: Tensor) -> None:
        """A tensor that depends on the input was made by a call that was seen."""
        super().note_result(tensor)
        if not torch.is_grad_enabled():  # a model that asks for that is not listened to
            raise UnsupportedOperation(
                f"{module_path_of_caller(self.model)} makes a tensor of its input in an autograd.Function that is "
                "called by another name for its apply, and DeepShap cannot see into it: write out MyFunction.apply(...)"
            )

    def refuse_unseen(self, tensor: Tensor, where: str) -> None:
        """Raise if a tensor depends on the input through something that is no call of a torch function."""
        if self.was_seen(tensor):
            return
        if tensor.is_leaf or not self._leads_to_input(tensor):
            self._seen[tensor] = True
            return
        raise UnsupportedOperation(
            f"a tensor of shape {tuple(tensor.shape)} that {where} was computed from the input where DeepShap cannot "
            "see it: in a torch.jit function, a compiled graph or a C++ extension. Use the plain Python version of "
            "that code, or GradientShap or PartitionShap"
        )

    def _leads_to_input(self, tensor: Tensor) -> bool:
        known = {node for seen in list(self._seen.keys()) if (node := seen.grad_fn) is not None}
        waiting, met = [tensor.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in met:
                continue
            if node in known:
                return True
            met.add(node)
            waiting += [parent for parent, _ in node.next_functions]
        return False

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call with the rule in place of its derivative."""
        result: Tensor = SharedOut.apply(self, number, rule, target is not None, *inputs)
        return result

    def pair_with(self, sample: Record, is_last: bool = False) -> None:
        """From now on, multipliers are those of this image; `is_last` if of no further output."""
        self.is_last = is_last
        if sample is self.sample:
            return  # what its first output needed serves the next one too
        self.sample = sample
        self._pairs = {}

    def forget_sample(self) -> None:
        """Free what was computed for an image."""
        self.sample = None
        self._pairs = {}

    def pair_of(self, number: int) -> Pair:
        """A call's inputs in both runs, the image's brought to the references' shape."""
        if number not in self._pairs:
            if self.sample is None:
                raise RuntimeError("multipliers were asked for before an image was recorded")
            self._pairs[number] = self._pair(number, self.sample.kept[number], self.kept[number])
        if not self.is_last:
            return self._pairs[number]
        pair = self._pairs.pop(number)
        pair.is_last = True
        return pair

    def multipliers(self, number: int, g: Tensor) -> tuple[Tensor, ...]:
        """What arrives at each input of a call, by its rule."""
        pair, kept = self.pair_of(number), self.kept[number]
        if pair.b[0].dim() == kept.tensors[0].dim():
            return kept.rule.multipliers(g, pair)
        found = kept.rule.multipliers(_by_reference(g, len(pair.b[0])), pair)
        return tuple(multiplier.flatten(0, 1) for multiplier in found)

    def _pair(self, number: int, one: Kept, many: Kept) -> Pair:
        folds = [self.folds.get((number, position)) for position in range(one.inputs)]
        if all(fold == OUTERMOST for fold in folds) and _spans_less(many):
            count = len(many.tensors[0]) // len(one.tensors[0])
            x, notes_x = ([t.unsqueeze(0) for t in ts] for ts in (one.tensors, one.notes))
            b, notes_b = ([_by_reference(t, count) for t in ts] for ts in (many.tensors, many.notes))
        else:
            folds += folds[:1]  # an output is wanted of rules with one input alone
            x = [widen(t, u, fold) for t, u, fold in zip(one.tensors, many.tensors, folds, strict=False)]
            notes_x = [widen(t, u, folds[0]) for t, u in zip(one.notes, many.notes, strict=True)]
            b, notes_b = many.tensors, list(many.notes)
        inputs = one.inputs
        y_x, y_b = (next(iter(tensors[inputs:]), None) for tensors in (x, b))
        return Pair(tuple(x[:inputs]), tuple(b[:inputs]), y_x, y_b, tuple(notes_x), tuple(notes_b))


class Record(Tape):
    """The run of one image: repeats the replay's decisions, without gradients."""

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """What the replay decided of the same call. Raises `ExplainerError` where the calls differ."""
        if not any(self.was_seen(tensor) or tensor.requires_grad for tensor in tensors):
            return (False,) * len(tensors)
        return self.log.repeat(name, len(tensors)).dependent

    def find_made(self, number: int, made: Sequence[Tensor]) -> Sequence[bool]:
        """What the replay decided of the same call."""
        return self.log.repeat_made(number, len(made))

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call."""
        if target is not None:
            self.kept[number].notes = rule.run_in_place(target)
            return target
        result, self.kept[number].notes = rule.run(*inputs)
        return result


def _by_reference(tensor: Tensor, count: int) -> Tensor:
    result: Tensor = tensor.unflatten(0, (count, -1))  # type: ignore[no-untyped-call]
    return result


def _spans_less(kept: Kept) -> bool:
    """Whether a rule leaves the first dimension of its inputs alone, which all of them share."""
    spans, shapes = kept.rule.spans, {(tensor.dim(), len(tensor)) for tensor in kept.x}
    return spans is not None and len(shapes) == 1 and kept.x[0].dim() > spans


def _own(result: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """The result as a tensor that a model may overwrite: autograd forbids it for views."""
    if not result._is_view():
        return result
    storage = result.untyped_storage()
    if any(storage.data_ptr() == tensor.untyped_storage().data_ptr() for tensor in inputs):
        return result.clone()
    return result.new_empty(0).set_(storage, result.storage_offset(), result.size(), result.stride())


class _Context(Protocol):
    replay: Replay
    number: int
    rule: PairedRule

    def mark_dirty(self, *tensors: Tensor) -> None: ...


class SharedOut(torch.autograd.Function):
    """A call whose derivative is replaced by its rule."""

    @staticmethod
    def forward(
        ctx: _Context, replay: Replay, number: int, rule: PairedRule, in_place: bool, *inputs: Tensor
    ) -> Tensor:
        """Execute the call."""
        ctx.replay, ctx.number, ctx.rule = replay, number, rule
        if in_place:
            ctx.mark_dirty(inputs[0])
            replay.kept[number].notes = rule.run_in_place(inputs[0])
            return inputs[0]
        result, replay.kept[number].notes = rule.run(*inputs)
        return _own(result, inputs)

    @staticmethod
    def backward(ctx: _Context, *g: Tensor) -> Any:
        """The rule's multipliers."""
        with torch.no_grad():
            return (None, None, None, None, *ctx.replay.multipliers(ctx.number, g[0]))
