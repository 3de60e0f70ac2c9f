"""What record and replay share: each call of a torch function is sent to its rule, and nonlinear calls' inputs kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakIdKeyDictionary

from shapsight.attribution.deep.call import Call
from shapsight.attribution.deep.decisions import Decisions, Selects, has_slope
from shapsight.attribution.deep.folding import Folding, FoldingFinder
from shapsight.attribution.deep.function_names import canonical_name, split_in_place, tensors_in
from shapsight.attribution.deep.functionals import followed_version, is_python_functional
from shapsight.attribution.deep.precision import refuse_hidden_modes, without_narrowing
from shapsight.attribution.deep.provenance import Origin, Provenance
from shapsight.attribution.deep.rules import (
    ANSWERS,
    ARITHMETIC,
    AS_OTHERS,
    CASTS,
    DISCRETE,
    ELEMENTWISE_CALLS,
    GRADIENT_HOOKS,
    INDEXING,
    LEAVES_TORCH,
    LINEAR,
    METADATA,
    RESHAPES,
    RULES,
    TAKES_MASKS,
)
from shapsight.attribution.deep.rules.rule import PairedRule, Rule
from shapsight.attribution.deep.run_log import CallLog, LoggedCall
from shapsight.attribution.shared.memory import Footprint
from shapsight.attribution.shared.modules import module_path_of_caller
from shapsight.errors import UnsupportedOperation

Arguments = tuple[Any, ...]


@dataclass
class Kept:
    """The inputs (and output, where its rule wants it) of one nonlinear call, as they were when it was made."""

    rule: PairedRule
    tensors: list[Tensor]
    inputs: int
    notes: tuple[Tensor, ...] = ()

    @property
    def x(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[: self.inputs])

    @property
    def output(self) -> Tensor | None:
        return self.tensors[self.inputs] if len(self.tensors) > self.inputs else None


class Tape(TorchFunctionMode):
    """What both runs share: finding the rule of each call, in-place calls, and keeping inputs."""

    def __init__(
        self,
        model: torch.nn.Module,
        on_unsupported: str = "raise",
        expected: Sequence[LoggedCall] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.precision = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float64)
        self.on_unsupported = on_unsupported
        self.log = CallLog(model, expected)
        self.kept: list[Kept] = []
        self.unsupported: set[str] = set()
        self.provenance = Provenance()
        self.finder: FoldingFinder | None = None
        self.footprint: Footprint | None = None
        self.decisions: Decisions | None = None
        self.folding = Folding()
        self._seen: Any = WeakIdKeyDictionary()
        self._kept_by_storage: dict[int, list[tuple[Kept, int]]] = {}

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """Which of a call's tensors depend on the input. A call of constants is not logged: a model may keep what it
        made in an earlier run.
        """
        raise NotImplementedError

    def find_made(self, number: int, made: Sequence[Tensor]) -> Sequence[bool]:
        """Which tensors depend on the input that a call was given or made: `constant.to(x)` does not."""
        raise NotImplementedError

    def watch(self, given: Tensor) -> Tensor:
        """What the model gets as its input; everything that depends on it must be seen being made."""
        watched = given.clone()
        self._seen[watched] = True
        return watched

    def was_seen(self, tensor: Tensor) -> bool:
        """Whether a tensor, or what it is a view of, was made of the input by a call that was seen."""
        return tensor in self._seen or (tensor._base is not None and tensor._base in self._seen)

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call; into `target`, which is its first input, if that is given."""
        raise NotImplementedError

    def finish(self) -> None:
        """Check that this run did not end before an earlier one did, and forget what only its calls needed."""
        self.provenance = Provenance()  # its tensors hold the graph, and the graph holds this tape
        self._kept_by_storage.clear()
        self.finder = None
        self.log.end()

    def note_result(self, tensor: Tensor) -> None:
        """A tensor that depends on the input was made by a call that was seen. Raises if it is sparse."""
        if tensor.layout is not torch.strided:
            raise UnsupportedOperation(
                f"{module_path_of_caller(self.model)} makes a sparse tensor of its input, which cannot be followed in "
                "any way: use a dense one, or GradientShap or PartitionShap"
            )
        if not has_slope(tensor):
            self.provenance.note_discrete(tensor)
        self._seen[tensor] = True
        if tensor._base is not None:  # written into through a view
            self._seen[tensor._base] = True

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Arguments = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = canonical_name(func)
        if name in METADATA:
            return func(*args, **kwargs)
        if name in GRADIENT_HOOKS:
            return RemovableHandle(OrderedDict())
        if name == "_set_grad_enabled":  # a gate computed under no_grad still moves the output
            return None
        refuse_hidden_modes(self.model)
        func, name, args, kwargs = without_narrowing(func, name, args, kwargs, self.precision)
        tensors = list(tensors_in((args, kwargs)))
        flags = self.find_dependent(name, tensors[:1] if name in AS_OTHERS else tensors)
        if not any(flags):
            return func(*args, **kwargs)
        if name in LEAVES_TORCH:
            self.refuse(name, "from there on numpy computes, which cannot be followed")
        if name in ANSWERS:
            answer = func(*args, **kwargs)
            self.log.note_answer(answer)
            return answer
        dependent = {id(tensor): flag for tensor, flag in zip(tensors, flags, strict=False)}
        return self._answer(func, name, args, kwargs, dependent)

    def _answer(
        self,
        func: Callable[..., Any],
        name: str,
        args: Arguments,
        kwargs: dict[str, Any],
        dependent: dict[int, bool],
    ) -> Any:
        base, in_place, args, kwargs = split_in_place(name, args, kwargs)
        call = Call(self, base, dependent, args[0] if in_place else None)
        if call.is_discrete((args, kwargs)) and base not in TAKES_MASKS:
            if base in ARITHMETIC:
                args = tuple(call.step(value) if call.is_discrete(value) else value for value in args)
            elif base in CASTS and call.is_discrete(args[0]):
                return self._cast_mask(call, func, args, kwargs)
            else:
                return self._discrete(call, func, name, args, kwargs)
        origin = self._elementwise_origin(call, args, kwargs)
        number = len(self.log.calls) - 1
        if number in self.folding.norms:
            return args[0]
        if number in self.folding.convolutions:
            args, kwargs = self.folding.with_other_weights(number, args, kwargs)
        result = self._execute(call, func, name, args, kwargs, in_place)
        if self.finder is not None:
            self.finder.saw(number, call, args, kwargs, result)
        written = args[:1] if in_place or name == "setitem" else ()
        if self.decisions is not None and not all(map(has_slope, tensors_in((result, written)))):
            result = self._settled(self.decisions, base, result, written)
        made = [*tensors_in(result), *written]
        for tensor, depends in zip(made, self.find_made(number, made), strict=True):
            if depends and (self.decisions is None or has_slope(tensor)):
                self.note_result(tensor)
            if origin is not None and origin.shape == tensor.shape:
                self.provenance.note_root(tensor, origin)
        return result

    def _settled(self, decisions: Decisions, name: str, result: Any, written: Arguments) -> Any:
        """What a call decided, as it was decided of the image; also in what the call has written into."""
        decisions.by.setdefault(name, module_path_of_caller(self.model))
        for tensor in written:
            if not has_slope(tensor):
                tensor.copy_(decisions.settle(tensor))
        is_written = any(result is tensor for tensor in written)
        return result if is_written else decisions.settled(result)

    def _execute(
        self,
        call: Call,
        func: Callable[..., Any],
        name: str,
        args: Arguments,
        kwargs: dict[str, Any],
        in_place: bool,
    ) -> Any:
        rule = RULES.get(call.name)
        if call.name in ("detach", "data"):
            return args[0] if in_place else args[0].view_as(args[0])
        if rule is None and call.name in DISCRETE and not in_place:
            return func(*args, **kwargs)
        if rule is None and (call.name in LINEAR or name in LINEAR):
            return self._linear(call, func, name, args, kwargs, in_place)
        out = kwargs.pop("out", None)
        overwritten = args[0] if in_place else out
        result = self._ruled(call, rule, func, name, args, kwargs)
        if overwritten is None or result is overwritten:
            return result
        self.before_write(overwritten)
        return overwritten.copy_(result)

    def _linear(
        self,
        call: Call,
        func: Callable[..., Any],
        name: str,
        args: Arguments,
        kwargs: dict[str, Any],
        in_place: bool,
    ) -> Any:
        if name.endswith("_") or name == "setitem":
            self.before_write(args[0])
        if "out" in kwargs:
            self.before_write(kwargs["out"])
            return kwargs.pop("out").copy_(func(*args, **kwargs))
        result = func(*args, **kwargs)
        if in_place and not name.endswith("_") and result is not args[0]:
            self.before_write(args[0])
            return args[0].copy_(result)
        if call.name in RESHAPES and not in_place and isinstance(result, Tensor):
            self.provenance.reshape_factor(result, args[0], lambda t: func(t, *args[1:], **kwargs))
            self.provenance.carry_length(result, args[0])
        if call.name == "add" and not call.depends((args[1:], kwargs)):  # as in x / (x.std() + eps)
            self.provenance.carry_length(result, args[0])
        return result

    def _ruled(
        self,
        call: Call,
        rule: Rule | None,
        func: Callable[..., Any],
        name: str,
        args: Arguments,
        kwargs: dict[str, Any],
    ) -> Any:
        if rule is None and is_python_functional(func):
            with self:
                return followed_version(func)(*args, **kwargs)
        result: Any = NotImplemented
        if rule is not None and rule.is_followed:
            with self:
                result = rule.handler(call, *args, **kwargs)
        elif rule is not None:
            result = rule.handler(call, *args, **kwargs)
        if result is not NotImplemented:
            return result
        self.refuse(name)
        if name.endswith("_"):
            self.before_write(args[0])
        return func(*args, **kwargs)

    def _discrete(
        self, call: Call, func: Callable[..., Any], name: str, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        """A call on booleans and numbers that were computed from activations: fine while it makes no activations."""
        if name.endswith("_") or name == "setitem":
            self.before_write(args[0])
        result = func(*args, **kwargs)
        for tensor in tensors_in((result, args[0]) if name == "setitem" else result):
            if has_slope(tensor):
                if call.name in INDEXING:
                    self.deciding(call.name)
                call.refuse("it uses the outcome of a comparison, argmax, sort or rounding of activations")
            self.note_result(tensor)
        return result

    def _cast_mask(
        self, call: Call, func: Callable[..., Any], args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        """`(x > 0).float()`: a number that follows x, as long as it only meets x again."""
        result = func(*args, **kwargs)
        if result.is_floating_point():
            y = call.step(args[0])
            result = y if y is args[0] else y.to(result.dtype)
            self.provenance.copy_step(result, y)
        elif (mask := call.mask(args[0])) is not None:
            call.remember_mask(result, mask.of, mask.function)
        self.note_result(result)
        return result

    def _elementwise_origin(self, call: Call, args: Arguments, kwargs: dict[str, Any]) -> Origin | None:
        """The one tensor that the result is an elementwise function of, if there is one."""
        is_elementwise = call.name in ELEMENTWISE_CALLS
        has_steps = self.provenance.has_steps
        if not is_elementwise and not has_steps:
            return None
        inputs = [t for t in tensors_in((args, kwargs)) if call.depends(t) and t.is_floating_point()]
        origin = self.provenance.common_origin(inputs) if is_elementwise else None
        if origin is None and has_steps and any(self.provenance.is_step(t) for t in inputs):
            call.refuse(
                "a mask made by comparing activations may only meet the tensor that was compared, as in x * (x > 0)"
            )
        return origin

    def refuse(self, name: str, reason: str = "") -> None:
        """There is no rule: raise, or remember it and go on with autograd's gradient."""
        where = f"torch's {name}, called in {module_path_of_caller(self.model)}"
        if self.on_unsupported == "raise":
            raise UnsupportedOperation(
                f"there is no attribution rule for {where}{': ' + reason if reason else ''}. Use "
                "on_unsupported='gradient' to go on with the gradient there (the sum will not be exact), "
                f"or register_rule({name.rstrip('_')!r}, ...) to add one"
            )
        self.unsupported.add(where)

    def deciding(self, name: str) -> Decisions:
        """The decisions that a selection goes by. Raises `Selects` in a run that keeps none."""
        where = module_path_of_caller(self.model)
        if self.decisions is None:
            raise Selects(f"{where} selects by its activations, with torch's {name}")
        self.decisions.by.setdefault(name, where)
        return self.decisions

    def pair(self, rule: PairedRule, inputs: tuple[Tensor, ...], overwritten: Tensor | None) -> Tensor:
        """Keep the inputs of a nonlinear call and execute it."""
        number = len(self.kept)
        writes = overwritten is not None and len(inputs) == 1 and inputs[0] is overwritten
        kept_inputs = [tensor.detach() for tensor in inputs]
        if writes:
            self.before_write(inputs[0])
            kept_inputs = [kept_inputs[0].clone()]
        kept = Kept(rule, kept_inputs, len(inputs))
        self.kept.append(kept)
        result = self.apply(number, rule, inputs, inputs[0] if writes else None)
        if rule.keeps_output:
            kept.tensors.append(result.detach())
        if self.footprint is not None:
            for tensor in (*kept.tensors, *kept.notes):
                self.footprint.add(tensor)
        for position, tensor in enumerate(kept.tensors):
            self._kept_by_storage.setdefault(tensor.untyped_storage().data_ptr(), []).append((kept, position))
        return result

    def before_write(self, tensor: Tensor) -> None:
        """Copy what was kept of a tensor's memory before the model overwrites it."""
        for kept, position in self._kept_by_storage.pop(tensor.untyped_storage().data_ptr(), ()):
            kept.tensors[position] = kept.tensors[position].clone()
