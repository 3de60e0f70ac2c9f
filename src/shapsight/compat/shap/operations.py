"""Chains of operations that are written first and run later: `Explanation.argsort.flip[:4]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One operation: a name, and its arguments where it is called."""

    name: str
    arguments: tuple[Any, ...] | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def run(self, subject: Any) -> Any:
        """The operation done to something."""
        found = getattr(subject, self.name)
        return found if self.arguments is None else found(*self.arguments, **dict(self.options))

    def __repr__(self) -> str:
        if self.name == "__getitem__" and self.arguments is not None:
            return f"[{_written(self.arguments[0])}]"
        if self.arguments is None:
            return f".{self.name}"
        given = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.options)]
        return f".{self.name}({', '.join(given)})"


class OpChain:
    """Operations on an `Explanation` that is not there yet.

    four_highest = shap.Explanation.argsort.flip[:4]
    explainer(X, outputs=four_highest)                     # run on each image's own outputs
    shap.Explanation.abs.mean(0)                           # calls, slices and names chain in any order
    """

    def __init__(self, root: str = "shap.Explanation", steps: tuple[Step, ...] = ()) -> None:
        self._root = root
        self._steps = steps

    def apply(self, subject: Any) -> Any:
        """Run the chain on something."""
        for step in self._steps:
            subject = step.run(subject)
        return subject

    def __getattr__(self, name: str) -> OpChain:
        if name.startswith("__"):
            raise AttributeError(name)
        return OpChain(self._root, (*self._steps, Step(name)))

    def __call__(self, *arguments: Any, **options: Any) -> OpChain:
        if not self._steps:
            raise TypeError(f"{self._root} is not called within a chain")
        called = Step(self._steps[-1].name, arguments, tuple(options.items()))
        return OpChain(self._root, (*self._steps[:-1], called))

    def __getitem__(self, entry: Any) -> OpChain:
        return OpChain(self._root, (*self._steps, Step("__getitem__", (entry,))))

    def __repr__(self) -> str:
        return self._root + "".join(map(repr, self._steps))


def _written(entry: Any) -> str:
    if isinstance(entry, tuple):
        return ", ".join(map(_written, entry))
    if isinstance(entry, slice):
        ends = [entry.start, entry.stop, *([] if entry.step is None else [entry.step])]
        return ":".join("" if end is None else str(end) for end in ends)
    return repr(entry)
