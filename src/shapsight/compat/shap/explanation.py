"""`shap.Explanation`: values with what belongs to them, images first and outputs last, cut and reduced together."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapsight.attribution.explanation import Explanation as OurExplanation
from shapsight.compat.shap.operations import OpChain
from shapsight.errors import ExplainerError

Array = NDArray[Any]
IMAGES, INPUT, OUTPUTS = "images", "input", "outputs"
Axes = tuple[str, ...]
Over = int | Sequence[int] | None


class ChainsOfClass(type):
    """`Explanation.argsort`, asked of the class, begins a chain; asked of an object, it is the result."""

    abs = property(lambda _: OpChain().abs)
    argsort = property(lambda _: OpChain().argsort)
    flip = property(lambda _: OpChain().flip)
    identity = property(lambda _: OpChain().identity)
    max = property(lambda _: OpChain().max)
    mean = property(lambda _: OpChain().mean)
    min = property(lambda _: OpChain().min)
    sample = property(lambda _: OpChain().sample)
    sum = property(lambda _: OpChain().sum)

    def __getitem__(cls, entry: Any) -> OpChain:
        return OpChain()[entry]


class Explanation(metaclass=ChainsOfClass):
    """SHAP values of images in shap's layout, `(images, *input, outputs)`.

        values = explainer(X)                  # (images, height, width, channels, outputs)
        values[0]                              # the first image
        values[..., 2];  values[..., "egret"]  # one output, by number or name
        values.abs.mean(0);  values[1:3] - values[0:2]
        shap.Explanation.argsort.flip[:4]      # asked of the class: a chain for `outputs=`
        shap.Explanation(explanation)          # one of shapsight's own

    Attributes can be set, as in shap: values, base_values `(images, outputs)`, data (the images as they were given),
    display_data, output_names (one list, or one for each image), feature_names, error_std.
    A single output may have no axis of its own: then values have the shape of data.
    """

    __array_ufunc__ = None  # numpy leaves `array * explanation` to us

    def __init__(
        self,
        values: Any,
        base_values: Any = None,
        data: Any = None,
        display_data: Any = None,
        instance_names: Sequence[str] | None = None,
        feature_names: Any = None,
        output_names: Any = None,
        output_indexes: Any = None,
        error_std: Any = None,
        compute_time: float | None = None,
    ) -> None:
        if isinstance(values, Explanation):
            self.__dict__.update(values.__dict__)
            return
        if isinstance(values, OurExplanation):
            values, base_values, data, output_names, output_indexes = _parts_of(values)
        self.values: Any = values
        self.base_values: Any = base_values
        self.data: Any = data
        self.display_data: Any = display_data
        self.instance_names = instance_names
        self.feature_names = feature_names
        self.output_indexes: Any = output_indexes
        self.error_std: Any = error_std
        self.compute_time = compute_time
        self._axes = _axes(np.ndim(values), data, base_values, output_names)
        if output_names is None and OUTPUTS in self._axes and np.ndim(values) > 1:
            output_names = [f"Output {number}" for number in range(np.shape(values)[-1])]
        self.output_names: Any = output_names

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the values."""
        return tuple(np.shape(self.values))

    @property
    def axes(self) -> Axes:
        """What each axis of the values is: "images", "input" or "outputs"."""
        return self._axes

    @property
    def output_dims(self) -> tuple[int, ...]:
        """Which axes of the values are those of the outputs."""
        return tuple(number for number, axis in enumerate(self._axes) if axis == OUTPUTS)

    @property
    def has_outputs(self) -> bool:
        """Whether the last axis of the values is that of the outputs."""
        return OUTPUTS in self._axes

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Explanation]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        parts = {"values": self.values, "base_values": self.base_values, "data": self.data}
        return "\n\n".join(f".{name} =\n{part!r}" for name, part in parts.items() if part is not None)

    def __getitem__(self, item: Any) -> Explanation:
        entries = [self._entry(*pair) for pair in enumerate(_spread(item, len(self._axes)))]
        cut = copy.copy(self)
        for name, axes in self._axes_of_parts().items():
            chosen = [entry for entry, axis in zip(entries, self._axes, strict=True) if axis in axes]
            setattr(cut, name, _cut(getattr(self, name), chosen))
        cut._axes = tuple(
            axis for entry, axis in zip(entries, self._axes, strict=True) if not isinstance(entry, int)
        )
        return cut

    def _axes_of_parts(self) -> dict[str, Axes]:
        """The axes of every part that has any."""
        each = tuple(axis for axis in self._axes if axis != INPUT)
        outputs = tuple(axis for axis in self._axes if axis == OUTPUTS)
        all_axes = {
            "values": self._axes,
            "error_std": self._axes,
            "data": tuple(axis for axis in self._axes if axis != OUTPUTS),
            "display_data": tuple(axis for axis in self._axes if axis != OUTPUTS),
            "base_values": each if np.ndim(self.base_values) >= len(each) else outputs,
            "output_indexes": each if np.ndim(self.output_indexes) >= len(each) else outputs,
            "output_names": each if np.ndim(self.output_names) >= len(each) else outputs,
            "instance_names": (IMAGES,) if IMAGES in self._axes else (),
        }
        return {name: axes for name, axes in all_axes.items() if getattr(self, name) is not None and axes}

    def _entry(self, position: int, entry: Any) -> Any:
        """An index into one axis, with chains run and names looked up."""
        if isinstance(entry, OpChain):
            entry = entry.apply(self)
        if isinstance(entry, Explanation):
            entry = np.asarray(entry.values)
        if isinstance(entry, str):
            return self._output_called(entry, position)
        if isinstance(entry, list | tuple | np.ndarray) and any(isinstance(name, str) for name in entry):
            return np.array([self._entry(position, name) for name in entry])
        if np.ndim(entry) == 0 and not isinstance(entry, slice):
            return operator.index(entry)
        return np.asarray(entry) if not isinstance(entry, slice) else entry

    def _output_called(self, name: str, position: int) -> int:
        names = (
            [] if self.output_names is None or np.ndim(self.output_names) != 1 else list(self.output_names)
        )
        if self._axes[position] != OUTPUTS or name not in names:
            kind = names or "none, or other ones for each image; use numbers"
            raise ExplainerError(f"no output is called {name!r} (names on the last axis: {kind})")
        return names.index(name)

    @property
    def abs(self) -> Explanation:
        """Absolute values."""
        return self._with(np.abs(self.values))

    @property
    def identity(self) -> Explanation:
        """The same."""
        return self

    @property
    def argsort(self) -> Explanation:
        """Positions in rising order of the values, along the last axis."""
        return self._with(np.argsort(self.values))

    @property
    def flip(self) -> Explanation:
        """Reversed along every axis."""
        return self._with(np.flip(self.values))

    def max(self, axis: Over = None) -> Explanation:
        """The largest along one axis or several, or of all."""
        return self._reduced(np.max, axis)

    def min(self, axis: Over = None) -> Explanation:
        """The smallest along one axis or several, or of all."""
        return self._reduced(np.min, axis)

    def mean(self, axis: Over = None) -> Explanation:
        """The mean along one axis or several, or of all."""
        return self._reduced(np.mean, axis)

    def sum(self, axis: Over = None) -> Explanation:
        """The sum along one axis or several, or of all."""
        return self._reduced(np.sum, axis)

    def percentile(self, q: float, axis: Over = None) -> Explanation:
        """A percentile, 0 to 100, along one axis or several, or of all."""
        return self._reduced(functools.partial(np.percentile, q=q), axis)

    def hstack(self, other: Explanation) -> Explanation:
        """Two explanations of the same base values side by side, along the second axis.

        Raises `ExplainerError` for other images and other base values.
        """
        is_alike = len(self) == len(other) and self._axes == other._axes
        if not is_alike or not np.allclose(self.base_values, other.base_values, atol=1e-6):
            raise ExplainerError(
                f"explanations of shapes {self.shape} and {other.shape} cannot stand side by side: they need as many "
                "images and the same base values"
            )
        result = self._with(np.hstack([self.values, other.values]))
        if self.data is not None and other.data is not None:
            result.data = np.hstack([np.asarray(self.data), np.asarray(other.data)])
        return result

    def sample(self, max_samples: int, replace: bool = False, random_state: int = 0) -> Explanation:
        """A random choice along the first axis; the same as shap's with the same `random_state`."""
        count = min(max_samples, len(self))
        return self[np.random.RandomState(random_state).choice(len(self), count, replace=replace)]

    def __add__(self, other: Any) -> Explanation:
        return self._combined(operator.add, other)

    def __sub__(self, other: Any) -> Explanation:
        return self._combined(operator.sub, other)

    def __mul__(self, other: Any) -> Explanation:
        return self._combined(operator.mul, other)

    def __truediv__(self, other: Any) -> Explanation:
        return self._combined(operator.truediv, other)

    def __radd__(self, other: Any) -> Explanation:
        return self._combined(lambda own, others: others + own, other)

    def __rsub__(self, other: Any) -> Explanation:
        return self._combined(lambda own, others: others - own, other)

    def __rmul__(self, other: Any) -> Explanation:
        return self._combined(lambda own, others: others * own, other)

    def __rtruediv__(self, other: Any) -> Explanation:
        return self._combined(lambda own, others: others / own, other)

    def __neg__(self) -> Explanation:
        return self * -1

    def _with(self, values: Any) -> Explanation:
        changed = copy.copy(self)
        changed.values = values
        return changed

    def _combined(self, operation: Callable[[Any, Any], Any], other: Any) -> Explanation:
        """Values and base values; what is drawn stays the first one's."""
        is_explanation = isinstance(other, Explanation)
        result = self._with(operation(self.values, other.values if is_explanation else other))
        of_other = other.base_values if is_explanation else other
        is_known = self.base_values is not None and of_other is not None
        result.base_values = operation(self.base_values, of_other) if is_known else None
        return result

    def _reduced(self, operation: Callable[..., Any], axis: Over) -> Explanation:
        """Values and what goes along with the axes; the rest of the parts is left out."""
        count = len(self._axes)
        dropped = sorted(range(count) if axis is None else {a % count for a in np.atleast_1d(axis).tolist()})
        result = Explanation(operation(np.asarray(self.values), axis=tuple(dropped)))
        result._axes = tuple(name for number, name in enumerate(self._axes) if number not in dropped)
        gone = {self._axes[number] for number in dropped}
        if OUTPUTS in gone:
            return result
        result.output_names, result.base_values = self.output_names, self.base_values
        if IMAGES in gone:
            result.output_names = self.output_names if np.ndim(self.output_names) == 1 else None
            result.base_values = None if self.base_values is None else operation(self.base_values, axis=0)
        if gone == {IMAGES} and self.data is not None and not isinstance(self.data, list):
            result.data = operation(np.asarray(self.data), axis=0)
        return result


def _parts_of(explanation: OurExplanation) -> tuple[Array, Array, Array, Any, Array]:
    """Values, base values, images, names and numbers of outputs of one of our own, channels and outputs last."""
    images, outputs = explanation.values.shape[:2]
    names = [[explanation.name_of(image, output) for output in range(outputs)] for image in range(images)]
    is_same = all(row == names[0] for row in names)
    return (
        explanation.values.detach().cpu().permute(0, 3, 4, 2, 1).numpy(),
        explanation.base_values.detach().cpu().numpy(),
        explanation.images.detach().cpu().permute(0, 2, 3, 1).numpy(),
        names[0] if is_same and names else np.array(names),
        explanation.output_index.cpu().numpy(),
    )


def _axes(count: int, data: Any, base_values: Any, output_names: Any) -> Axes:
    """What each axis of the values is, told from the other parts."""
    if not count:
        return ()
    if count == 1:  # the outputs of one image
        return (OUTPUTS,)
    if data is not None and not isinstance(data, list):
        has_outputs = count == np.ndim(data) + 1
    elif output_names is not None:
        has_outputs = np.ndim(output_names) > 0
    else:
        has_outputs = np.ndim(base_values) > 1
    return (IMAGES, *[INPUT] * (count - 1 - has_outputs), *[OUTPUTS] * has_outputs)


def _spread(item: Any, axes: int) -> list[Any]:
    """An index with an entry for every axis."""
    entries = list(item) if isinstance(item, tuple) else [item]
    places = [place for place, entry in enumerate(entries) if entry is Ellipsis]
    if len(entries) - len(places) > axes or len(places) > 1:
        raise ExplainerError(f"an index with {len(entries)} entries for values with {axes} axes")
    if not places:
        return entries + [slice(None)] * (axes - len(entries))
    missing = [slice(None)] * (axes - len(entries) + 1)
    return entries[: places[0]] + missing + entries[places[0] + 1 :]


def _cut(part: Any, entries: Sequence[Any]) -> Any:
    """One axis after another, from the last, so that several lists choose rows and columns."""
    if isinstance(part, list | tuple):
        part = np.asarray(part, dtype=object if part and isinstance(part[0], str) else None)
        return _plain(_cut(part, entries))
    for axis in reversed(range(len(entries))):
        if not (isinstance(entries[axis], slice) and entries[axis] == slice(None)):
            part = part[(slice(None),) * axis + (entries[axis],)]
    return part


def _plain(part: Any) -> Any:
    return part.tolist() if isinstance(part, np.ndarray) and part.ndim == 1 else part
