"""The calls that a run of the model makes, and whether an earlier run made the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from shapsight.attribution.shared.modules import module_path_of_caller
from shapsight.errors import ExplainerError

# What a model may do with a single image's prediction, after the last call that several have as well.
TAKES_BATCH_AWAY = frozenset("getitem select squeeze flatten view reshape".split())


class RunsDiffer(ExplainerError):
    """Two runs of a model cannot be laid beside each other, call by call and tensor by tensor."""


class LoggedCall(NamedTuple):
    """A call as the replay saw it: its name, which of its tensors depend on the input, what Python was told, and which
    of the tensors that it made depend on the input.
    """

    name: str
    dependent: tuple[bool, ...]
    answer: Any = None
    made: tuple[bool, ...] = ()


class CallLog:
    """The calls of one run in their order, each compared with the same call of an earlier run, if one is given.

    Every method raises `RunsDiffer` where the two runs part.
    """

    def __init__(self, model: torch.nn.Module, expected: Sequence[LoggedCall] | None = None) -> None:
        self.model = model
        self.expected = expected
        self.calls: list[LoggedCall] = []

    def add(self, call: LoggedCall) -> None:
        """A call was made, and it is known what of it depends on the input."""
        if self.expected is not None:
            self._compare(call, self.expected, is_decided=True)
        self.calls.append(call)

    def repeat(self, name: str, tensors: int) -> LoggedCall:
        """A call was made; what of it depends on the input is as the earlier run decided, which is returned."""
        if self.expected is None:
            raise RuntimeError("there is no earlier run to repeat")
        decided = self._compare(LoggedCall(name, (False,) * tensors), self.expected, is_decided=False)
        self.calls.append(decided)
        return decided

    def note_made(self, number: int, made: tuple[bool, ...]) -> None:
        """It is known which of the tensors that a call made depend on the input."""
        self.calls[number] = self.calls[number]._replace(made=made)

    def repeat_made(self, number: int, count: int) -> tuple[bool, ...]:
        """What the earlier run found; of a call that it did not make, all."""
        made = self.calls[number].made or (True,) * count
        if len(made) != count:
            name = self.calls[number].name
            raise RunsDiffer(self._difference(f"{name} gives {count} tensors", f"{len(made)}"))
        return made

    def note_answer(self, answer: Any) -> None:
        """The last call turned a tensor into a Python value: harmless while it is the same for every image."""
        self.add(self.calls.pop()._replace(answer=answer))

    def end(self) -> None:
        """The run is over."""
        if self.expected is not None and len(self.calls) < len(self.expected):
            raise RunsDiffer(self._difference("no further function", self.expected[len(self.calls)].name))

    def _compare(self, call: LoggedCall, expected: Sequence[LoggedCall], is_decided: bool) -> LoggedCall:
        number = len(self.calls)
        if number >= len(expected) and not is_decided and call.name in TAKES_BATCH_AWAY:
            return call  # as in `y[0] if len(y) == 1 else y`: the numbers are the same
        before = expected[number] if number < len(expected) else LoggedCall("no further function", ())
        if before.name != call.name:
            raise RunsDiffer(self._difference(call.name, before.name))
        if len(before.dependent) != len(call.dependent):
            raise RunsDiffer(self._difference(_counted(call), _counted(before)))
        if is_decided and before.dependent != call.dependent:
            raise RunsDiffer(self._difference(_numbered(call), _numbered(before)))
        if call.answer is not None and not _is_same(call.answer, before.answer):
            raise RunsDiffer(self._difference(f"{call.name} gives {call.answer}", f"{before.answer}"))
        return before

    def _difference(self, made: str, expected: str) -> str:
        return (
            f"the model's control flow depends on the data: at call {len(self.calls)}, in "
            f"{module_path_of_caller(self.model)}, {made} in this run and {expected} in an earlier one. DeepSHAP needs "
            "the same calls for every image: look there for an `if` on values, or activations turned into Python "
            "numbers; or use GradientShap or PartitionShap"
        )


def _counted(call: LoggedCall) -> str:
    return f"{call.name} of {len(call.dependent)} tensors"


def _numbered(call: LoggedCall) -> str:
    """Which of its tensors, counted from 0, come from the input."""
    numbers = [number for number, depends in enumerate(call.dependent) if depends]
    return f"{call.name} of {len(call.dependent)} tensors, of which {numbers} come from the input"


def _is_same(answer: Any, before: Any) -> bool:
    """Equal, where not-a-number equals itself."""
    return bool(answer == before) or str(answer) == str(before) == "nan"
