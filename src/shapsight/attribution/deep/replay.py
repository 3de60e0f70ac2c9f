"""Record an image, replay it against the references.

Both runs execute the model under a `torch.overrides.TorchFunctionMode`, which sees every call of a torch function.
The replay run (the references, gradients on) decides which calls depend on the input and builds the graph;
the record run (one image, no gradients) repeats those decisions call by call and keeps the same calls' inputs.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from shapsight.attribution.deep.calls import canonical_name, split_in_place, tensors_in
from shapsight.attribution.deep.layout import Fold, widen
from shapsight.attribution.deep.modules import module_path_of_caller
from shapsight.attribution.deep.rules import LINEAR, METADATA, RULES
from shapsight.attribution.deep.rules.rule import Pair, PairedRule, Rule
from shapsight.errors import ExplainerError, UnsupportedOperation


class LoggedCall(NamedTuple):
    """A call as the replay saw it: its name, and which of its tensors depend on the input."""

    name: str
    dependent: tuple[bool, ...]


@dataclass
class Kept:
    """The inputs (and output, where its rule wants it) of one nonlinear call, as they were when it was made."""

    rule: PairedRule
    tensors: list[Tensor]
    inputs: int

    @property
    def x(self) -> tuple[Tensor, ...]:
        return tuple(self.tensors[: self.inputs])

    @property
    def output(self) -> Tensor | None:
        return self.tensors[self.inputs] if len(self.tensors) > self.inputs else None


class Call:
    """What a rule's handler sees of the call that it answers."""

    def __init__(self, tape: Tape, name: str, dependent: dict[int, bool], overwritten: Tensor | None) -> None:
        self.tape = tape
        self.name = name
        self._dependent = dependent
        self._overwritten = overwritten

    def depends(self, value: Any) -> bool:
        """Whether a tensor (or any tensor in a list) depends on the model's input."""
        return any(self._dependent.get(id(tensor), False) for tensor in tensors_in(value))

    def pair(self, rule: PairedRule, *inputs: Tensor) -> Tensor:
        """Compute `rule.forward(*inputs)`, and let the rule share out its change."""
        result = self.tape.pair(rule, inputs, self._overwritten)
        self._dependent[id(result)] = True
        return result

    def where(self) -> str:
        """The module of the model that makes this call, such as `"features.3 (Dropout)"`."""
        return module_path_of_caller(self.tape.model)

    def remember_factor(self, result: Tensor, kind: str, of: Tensor) -> None:
        """Note that `result` is `rsqrt(of)` or `1 / of`, so that a product with it becomes a quotient."""
        self.tape.factors[result] = (kind, of)

    def factor(self, value: Any) -> tuple[str, Tensor] | None:
        """What `remember_factor` noted about a tensor."""
        return self.tape.factors.get(value) if isinstance(value, Tensor) else None


class Tape(TorchFunctionMode):
    """What both runs share: finding the rule of each call, in-place calls, and keeping inputs."""

    def __init__(self, model: torch.nn.Module, on_unsupported: str = "raise") -> None:
        super().__init__()
        self.model = model
        self.on_unsupported = on_unsupported
        self.log: list[LoggedCall] = []
        self.kept: list[Kept] = []
        self.unsupported: set[str] = set()
        self.factors: Any = WeakIdKeyDictionary()
        self._kept_by_storage: dict[int, list[tuple[Kept, int]]] = {}

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """Which of a call's tensors depend on the input."""
        raise NotImplementedError

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call; into `target`, which is its first input, if that is given."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = canonical_name(func)
        if name in METADATA:
            return func(*args, **kwargs)
        if name == "_set_grad_enabled":  # a gate computed under no_grad still moves the output
            return None
        tensors = list(tensors_in((args, kwargs)))
        flags = self.find_dependent(name, tensors)
        if not any(flags):
            return func(*args, **kwargs)
        dependent = {id(tensor): flag for tensor, flag in zip(tensors, flags, strict=True)}
        return self._answer(func, name, args, kwargs, dependent)

    def _answer(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        dependent: dict[int, bool],
    ) -> Any:
        if name in ("detach", "data"):
            return args[0].view_as(args[0])
        base, in_place, args, kwargs = split_in_place(name, args, kwargs)
        rule = RULES.get(base)
        if rule is None and (base in LINEAR or name in LINEAR):
            return self._linear(func, name, args, kwargs, in_place)
        out = kwargs.pop("out", None)
        overwritten = args[0] if in_place else out
        result = self._handle(rule, func, name, args, kwargs, dependent, args[0] if in_place else None)
        if overwritten is None or result is overwritten:
            return result
        self.before_write(overwritten)
        return overwritten.copy_(result)

    def _linear(
        self,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
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
        return result

    def _handle(
        self,
        rule: Rule | None,
        func: Callable[..., Any],
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        dependent: dict[int, bool],
        overwritten: Tensor | None,
    ) -> Any:
        call = Call(self, name.removesuffix("_"), dependent, overwritten)
        if rule is None and is_python_functional(func):
            with self:
                return followed_version(func)(*args, **kwargs)
        result: Any = NotImplemented
        if rule is not None and rule.is_followed:
            with self:
                result = rule.handler(call, *args, **kwargs)
        elif rule is not None:
            result = rule.handler(call, *args, **kwargs)
        if result is NotImplemented:
            return self._cannot_follow(func, name, args, kwargs)
        return result

    def _cannot_follow(
        self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = module_path_of_caller(self.model)
        where = f"torch's {name}, called in {path}"
        if self.on_unsupported == "raise":
            raise UnsupportedOperation(
                f"there is no attribution rule for {where}. Use on_unsupported='gradient' to go on with the "
                f"gradient there (the sum will not be exact), or register_rule({name!r}, ...) to add one"
            )
        self.unsupported.add(where)
        if name.endswith("_"):
            self.before_write(args[0])
        return func(*args, **kwargs)

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
        for position, tensor in enumerate(kept.tensors):
            self._kept_by_storage.setdefault(tensor.untyped_storage().data_ptr(), []).append((kept, position))
        return result

    def before_write(self, tensor: Tensor) -> None:
        """Copy what was kept of a tensor's memory before the model overwrites it."""
        for kept, position in self._kept_by_storage.pop(tensor.untyped_storage().data_ptr(), ()):
            kept.tensors[position] = kept.tensors[position].clone()


class Replay(Tape):
    """The run of the references: decides what depends on the input, and builds the graph of multipliers."""

    def __init__(self, model: torch.nn.Module, on_unsupported: str = "raise") -> None:
        super().__init__(model, on_unsupported)
        self.sample: Record | None = None
        self.folds: dict[tuple[int, int], Fold] = {}
        self._pairs: dict[int, Pair] = {}

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """Ask autograd, and write the answer down for the record."""
        flags = tuple(tensor.requires_grad for tensor in tensors)
        self.log.append(LoggedCall(name, flags))
        return flags

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call with the rule in place of its derivative."""
        result: Tensor = SharedOut.apply(self, number, rule, target is not None, *inputs)
        return result

    def pair_with(self, sample: Record) -> None:
        """From now on, multipliers are those of this image."""
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
            recorded, kept = self.sample.kept[number], self.kept[number]
            x = tuple(
                widen(x, b, self.folds.get((number, position)))
                for position, (x, b) in enumerate(zip(recorded.x, kept.x, strict=True))
            )
            self._pairs[number] = Pair(x, kept.x, kept.output)
        return self._pairs[number]


class Record(Tape):
    """The run of one image: repeats the replay's decisions, without gradients."""

    def __init__(
        self, model: torch.nn.Module, log: Sequence[LoggedCall], on_unsupported: str = "raise"
    ) -> None:
        super().__init__(model, on_unsupported)
        self._decided = log

    def find_dependent(self, name: str, tensors: Sequence[Tensor]) -> tuple[bool, ...]:
        """What the replay decided of the same call. Raises `ExplainerError` where the calls differ."""
        number = len(self.log)
        decided = self._decided[number] if number < len(self._decided) else None
        if decided is None or decided.name != name or len(decided.dependent) != len(tensors):
            self.raise_difference(
                name if decided is None or decided.name != name else f"{name} with other tensors"
            )
        assert decided is not None
        self.log.append(decided)
        return decided.dependent

    def raise_difference(self, made: str) -> None:
        """Say where the two runs part."""
        number = len(self.log)
        expected = self._decided[number].name if number < len(self._decided) else "no further call"
        raise ExplainerError(
            f"the model's control flow depends on the data: at call {number} (in "
            f"{module_path_of_caller(self.model)}) it calls {made} for one image alone and {expected} for a batch of "
            "references. DeepSHAP needs the same calls for every image: look there for an `if` on values, a loop "
            "over the images of a batch, or squeeze() without a dimension; or use GradientShap or PartitionShap"
        )

    def finish(self) -> None:
        """Check that the record did not end before the replay did."""
        if len(self.log) != len(self._decided):
            self.raise_difference("no further function")

    def apply(
        self, number: int, rule: PairedRule, inputs: tuple[Tensor, ...], target: Tensor | None
    ) -> Tensor:
        """Execute the call."""
        result = rule.forward(*inputs)
        return result if target is None else target.copy_(result)


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
        result = rule.forward(*inputs)
        if not in_place:
            return result
        ctx.mark_dirty(inputs[0])
        return inputs[0].copy_(result)

    @staticmethod
    def backward(ctx: _Context, *g: Tensor) -> Any:
        """The rule's multipliers."""
        with torch.no_grad():
            multipliers = ctx.rule.multipliers(g[0], ctx.replay.pair_of(ctx.number))
        return (None, None, None, None, *multipliers)


def is_python_functional(function: Callable[..., Any]) -> bool:
    """Whether a function is written in Python on top of other torch calls, which can be followed one by one."""
    return (
        isinstance(function, types.FunctionType)
        and (function.__module__ or "").startswith(("torch.nn.functional", "torch.functional"))
        and "_jit_internal" not in function.__code__.co_filename
    )


def _never(*_: Any, **__: Any) -> bool:
    return False


_followed: dict[types.FunctionType, types.FunctionType] = {}


def followed_version(function: Any) -> Callable[..., Any]:
    """The same code, without its own check for modes, which would dispatch it to itself for ever."""
    if function not in _followed:
        names = {
            name: _never if name.startswith("has_torch_function") else value
            for name, value in function.__globals__.items()
        }
        copy = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        _followed[function] = copy
    return _followed[function]
