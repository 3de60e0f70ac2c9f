"""What a study is asked: one keyword for each field of its settings, in Python and on the command line."""

from __future__ import annotations

import difflib
import inspect
import os
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from shapsight.errors import SettingError
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.option import Option, roi_text

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
LIST = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Asked(Generic[S]):
    """What a study is asked to do, whom it tells how far it is, and what was written to start it."""

    settings: S
    narrator: Narrator
    command: str
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.started

    @property
    def written(self) -> dict[str, Any]:
        """The settings for run.json."""
        return written(self.settings)


def study(
    settings: type[S], *, without: Sequence[str] = ()
) -> Callable[[Callable[Concatenate[Asked[S], P], R]], Callable[..., R]]:
    """Give a study its public face: its own parameters, then a keyword for each field of its settings.

        @study(DiagnoseSettings)
        def diagnose(asked: Asked[DiagnoseSettings], model, data=None, out=None, *, overwrite=False) -> Diagnosis: ...

        diagnose(bundle, photos, images=300, only=["why"], overwrite=True)
        diagnose(bundle, photos, settings=DiagnoseSettings(images=300), progress=False)

    `without` names fields that it has no keyword for. `progress` is False for silence, or a `Narrator`; `command` is
    what the page says that it was made with. Raises `SettingError` for a keyword that there is not, naming near ones,
    and for a value that a setting cannot have.
    """

    def put(function: Callable[Concatenate[Asked[S], P], R]) -> Callable[..., R]:
        own = list(inspect.signature(function).parameters.values())[1:]
        name, parameters = function.__name__, [each.name for each in own]

        @wraps(function)
        def asking(
            *arguments: Any,
            settings: S | None = None,
            progress: bool | Narrator = True,
            command: str | None = None,
            **given: Any,
        ) -> R:
            mine = {each: given.pop(each) for each in parameters if each in given}
            how = settings_of(kind, given, settings, of=name, without=without, own=parameters)
            narrator = progress if isinstance(progress, Narrator) else Narrator(quiet=not progress)
            said = ", ".join(f"{word}={value!r:.60}" for word, value in given.items())
            asked = Asked(how, narrator, command or f"shapsight.{name}({said})")
            return function(asked, *arguments, **mine)

        kind = settings
        asking.__signature__ = _signature(kind, without, own, function)  # type: ignore[attr-defined]
        asking.__doc__ = f"{inspect.getdoc(function)}\n\nOptions\n{_told(kind, without)}\n"
        return asking

    return put


def settings_of(
    kind: type[S],
    given: Mapping[str, Any],
    base: S | None = None,
    *,
    of: str = "",
    without: Sequence[str] = (),
    own: Sequence[str] = (),
) -> S:
    """Settings with what was given by name, also for the fields of those inside of them.

    Lists may be lists or texts with commas. Raises `SettingError` for a name or a value that cannot be.
    """
    if base is not None and not isinstance(base, kind):
        raise SettingError(f"settings= takes {kind.__name__}, not {type(base).__name__}")
    names = [each.name for each, _, _ in options(kind, without)]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, [*own, *names], n=3, cutoff=0.5)
            said = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join([*own, *names])}"
            raise SettingError(f"{of or kind.__name__} has no option {name!r}: {said}")
    return _changed(kind() if base is None else base, given)


def described(settings: Any) -> Iterator[tuple[Field[Any], Any, Option | None]]:
    """Each field with its type and its option; without an option its type is a dataclass of more options."""
    hints = typing.get_type_hints(settings, include_extras=True)
    for each in fields(settings):
        hint = hints[each.name]
        kind, *notes = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        yield each, kind, next((note for note in reversed(notes) if isinstance(note, Option)), None)


def options(settings: type, without: Sequence[str] = ()) -> Iterator[tuple[Field[Any], Any, Option]]:
    """The same, with the options of the dataclasses inside in place of these, and `without` some fields."""
    for each, kind, option in described(settings):
        if each.name in without:
            continue
        if option is None:
            yield from options(kind)
        else:
            yield each, kind, option


def written(settings: Any) -> dict[str, Any]:
    """Settings as they are written into a run.json."""
    return asdict(replace(settings, roi=roi_text(settings.roi)) if hasattr(settings, "roi") else settings)


def _changed(base: S, given: Mapping[str, Any]) -> S:
    changes: dict[str, Any] = {}
    for each, kind, option in described(type(base)):
        if option is None:
            changes[each.name] = _changed(getattr(base, each.name), given)
        elif each.name in given:
            changes[each.name] = _checked(each.name, kind, option, given[each.name])
    return replace(base, **changes)  # type: ignore[type-var]


def _checked(name: str, kind: Any, option: Option, value: Any) -> Any:
    """A value as its setting holds it. Raises `SettingError` for another type, or one out of bounds."""
    kinds = (kind,) if kind == LIST else typing.get_args(kind) or (kind,)
    if value is None and NoneType in kinds:
        return None
    found = _as_kind(kinds, option, value)
    if found is None:
        said = "a list of texts" if kind == LIST else " or ".join(_name(each) for each in kinds)
        raise SettingError(f"{name}={value!r:.60} is not {said}. {option.help}")
    low, high = option.at_least, option.at_most
    is_number = isinstance(found, int | float)
    if is_number and ((low is not None and found < low) or (high is not None and found > high)):
        ends = {"or more": low, "or less": high}
        bounds = " and ".join(f"{end:g} {word}" for word, end in ends.items() if end is not None)
        raise SettingError(f"{name}={value!r} must be {bounds}")
    return found


def _as_kind(kinds: tuple[Any, ...], option: Option, value: Any) -> Any:
    """The value as one of the kinds; None where it is none of them."""
    is_list = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
    if LIST in kinds:
        texts = value.split(",") if isinstance(value, str) and not option.is_repeatable else value
        wanted = texts if is_list or isinstance(value, str) else None
        return None if wanted is None else tuple(text.strip() for text in wanted if text.strip())
    if option.by_comma and is_list:
        return None if any("," in each for each in value) else ",".join(value)
    if Path in kinds and isinstance(value, str | os.PathLike):
        return Path(value)
    if str in kinds:
        if isinstance(value, str | os.PathLike):
            return os.fspath(value)
        return value if option.is_any and (callable(value) or hasattr(value, "spec")) else None
    if isinstance(value, bool):
        return value if bool in kinds else None
    if int in kinds and isinstance(value, Integral):
        return int(value)
    return float(value) if float in kinds and isinstance(value, Real) else None


def _name(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}
    return words.get(kind, str(kind)) if kind is not NoneType else "None"


def _signature(
    settings: type, without: Sequence[str], own: list[inspect.Parameter], function: Callable[..., Any]
) -> inspect.Signature:
    """What `help` and notebooks show."""
    of_all = {"settings": (None, settings), "progress": (True, bool), "command": (None, str)}
    given = {each.name: (each.default, kind) for each, kind, _ in options(settings, without)} | of_all
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (default, kind) in given.items()
    ]
    return inspect.Signature([*own, *more], return_annotation=inspect.signature(function).return_annotation)


def _told(settings: type, without: Sequence[str]) -> str:
    return "\n".join(f"    {each.name}: {option.help}" for each, _, option in options(settings, without))
