"""What makes a function a command: options from its settings' dataclass, lines shown, mistakes as exit codes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from shapsight.cli.screen import exit_codes, show
from shapsight.studies.shared.option import Option

Data = Annotated[
    Path,
    typer.Argument(
        help="A folder of environments or classes, a CSV, Parquet or JSON-lines table, idx:FOLDER, or a folder that "
        "Hugging Face datasets saved."
    ),
]
OtherData = Annotated[
    Path | None, typer.Argument(help="Another dataset than the run's own.", show_default=False)
]
Run = Annotated[Path, typer.Argument(help="A run of debug or train.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, the numbers and report.html.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]
LIST = tuple[str, ...]

app = typer.Typer(
    help="Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones.",
    epilog="Start with: shapsight demo --out runs/demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(*examples: str, without: Sequence[str] = ()) -> Callable[[Callable[..., Sequence[Any]]], None]:
    """Put a function into the command line; what it returns is shown.

        @command("shapsight check photos")
        def check(data: Data, *, settings: CheckSettings) -> list[str]: ...

    In place of its parameter `settings` people have an option for each field of that dataclass and of those in it,
    but for the fields `without`; see `Option`.
    """

    def put(function: Callable[..., Sequence[Any]]) -> None:
        hints = typing.get_type_hints(function, include_extras=True)
        settings, own = hints["settings"], inspect.signature(function).parameters
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            kept = parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])
            parameters += _options(settings, without) if name == "settings" else [kept]

        def run(**given: Any) -> None:
            with exit_codes():
                arguments = {name: given[name] for name in own if name != "settings"}
                show(function(**arguments, settings=_made(settings, given)))

        run.__doc__ = function.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        heading = "Examples" if len(examples) > 1 else "Example"
        app.command(function.__name__, epilog=f"{heading}: {'   |   '.join(examples)}")(run)

    return put


def _options(settings: type, without: Sequence[str], panel: str | None = None) -> Iterator[inspect.Parameter]:
    """A parameter for Typer for each field; lists are texts with commas, or options that can be repeated.

    Those of a dataclass inside stand in a panel of their own, under the first words of its docstring.
    """
    for field, kind, option in _described(settings):
        if field.name in without:
            continue
        if option is None:
            yield from _options(kind, without, str(kind.__doc__).split(".")[0])
            continue
        typed: Any = (kind, field.default)
        if kind == LIST:
            typed = (list[str] | None, None) if option.is_repeatable else (str, ",".join(typed[1]))
        flags = option.flags or ([f"--{field.name.replace('_', '-')}"] if kind is bool else [])
        how = typer.Option(
            *flags, help=option.help, min=option.at_least, max=option.at_most, rich_help_panel=panel
        )
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=typed[1], annotation=Annotated[typed[0], how]
        )


def _made(settings: type, given: Mapping[str, Any]) -> Any:
    """The settings with what was given, and those inside them."""
    values = {}
    for field, kind, option in _described(settings):
        if option is None:
            values[field.name] = _made(kind, given)
        elif field.name in given:
            value = given[field.name]
            values[field.name] = _list(value) if kind == LIST else value
    return settings(**values)


def _described(settings: Any) -> Iterator[tuple[Field[Any], Any, Option | None]]:
    """Each field with its type and its option; without an option its type is a dataclass of more options."""
    hints = typing.get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        hint = hints[field.name]
        kind, *notes = typing.get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
        yield field, kind, next((note for note in reversed(notes) if isinstance(note, Option)), None)


def _list(value: str | list[str] | None) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value or ())
