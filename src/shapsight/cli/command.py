"""What makes a function a command: options from its settings' dataclass, lines shown, mistakes as exit codes."""

from __future__ import annotations

import inspect
import json
import math
import shlex
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from shapsight.cli.project_file import FILE, typed
from shapsight.errors import ShapsightError
from shapsight.studies.shared.asked import LIST, described, settings_of

Data = Annotated[
    Path,
    typer.Argument(
        help="A folder of environments or classes, a CSV, Parquet or JSON-lines table, idx:FOLDER, or a folder that "
        "Hugging Face datasets saved."
    ),
]
OtherData = Annotated[
    Path | None,
    typer.Argument(
        help="Another dataset than the run's own: as for train, or a run whose dataset it is.",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Argument(
        help="A run of debug or train, or a folder with a model; not with --model.", show_default=False
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Your own in place of a run: module:name of a shapsight.Bundle, or a function that makes one."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, the numbers and report.html.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in --out.")]
OWN_OUT = Path("runs")  # where results go that belong to no run
MOST_ROWS = 200  # of a table that --json prints
AS_JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--json", help="Print the answer as JSON; what is being done goes to standard error."),
    ],
)
CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
_from_project: ContextVar[Sequence[str]] = ContextVar(
    "what the project file adds to what was typed", default=()
)

app = typer.Typer(
    help="Find out which pixels an image model uses, prove it, and cure a model that looks at the wrong ones.",
    epilog="Start with: shapsight demo --out runs/demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command(*examples: str, without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], None]:
    """Put a function into the command line; what it returns is shown, or with --json printed as data.

        @command("shapsight check photos")
        def check(data: Data, *, settings: CheckSettings) -> object: ...

    In place of its parameter `settings` people have an option for each field of that dataclass and of those in it,
    but for the fields `without`; see `Option`.
    """

    def put(function: Callable[..., Any]) -> None:
        hints = typing.get_type_hints(function, include_extras=True)
        settings, own = hints["settings"], inspect.signature(function).parameters
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            kept = parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name])
            parameters += _options(settings, without) if name == "settings" else [kept]
        parameters += [AS_JSON, CONTEXT]

        def run(*, json: bool, context: typer.Context, **given: Any) -> None:
            with exit_codes(), _of_project(context):
                arguments = {name: given[name] for name in own if name != "settings"}
                asked = {
                    name: value for name, value in given.items() if name not in own and value is not None
                }
                found = function(**arguments, settings=settings_of(settings, asked))
                typer.echo(as_json(found)) if json else show(found)

        run.__doc__ = function.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        heading = "Examples" if len(examples) > 1 else "Example"
        app.command(function.__name__, epilog=f"{heading}: {'   |   '.join(examples)}")(run)

    return put


def subject(
    run: Path | None, data: Path | None, own: str | None, flag: str, out: Path | None, name: str
) -> tuple[Path | str, Path | None, Path | None]:
    """The model, the dataset and the folder that a command is about; beside an own model the first path is the data."""
    if own is None:
        if run is None:
            raise typer.BadParameter(f"Missing argument 'RUN', or {flag} module:name with a dataset.")
        return run, data, out
    if run is None or data is not None:
        raise typer.BadParameter(f"{flag} takes the place of the run: name the dataset, and nothing else.")
    return own, run, out if out is not None else OWN_OUT / name


def _options(settings: type, without: Sequence[str], panel: str | None = None) -> Iterator[inspect.Parameter]:
    """A parameter for Typer for each field; lists are texts with commas, or options that can be repeated.

    Those of a dataclass inside stand in a panel of their own, under the first words of its docstring.
    """
    for field, kind, option in described(settings):
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


def told() -> dict[str, Any]:
    """How a study tells what it does, and what was typed to start it."""
    from shapsight.studies.shared.narrator import Narrator

    return {
        "progress": Narrator(),
        "command": shlex.join(["shapsight", *sys.argv[1:], *_from_project.get()]),
    }


@contextmanager
def _of_project(context: typer.Context) -> Iterator[None]:
    """Say which options come from the project's file, and count them to what was typed."""
    options = (context.parent and context.parent.default_map) or {}
    written = options.get(context.info_name or "", {})
    # Typer has click of its own, so the sources are told apart by their names
    sources = {name: context.get_parameter_source(name) for name in written}
    used = {
        name: written[name] for name, source in sources.items() if source and source.name == "DEFAULT_MAP"
    }
    words = typed(context.command, used)
    if words:
        Console(stderr=True).print(
            f"From {FILE}: {shlex.join(words)}", highlight=False, markup=False, soft_wrap=True
        )
    before = _from_project.set(words)
    try:
        yield
    finally:
        _from_project.reset(before)


def show(found: Any) -> None:
    """Print what a command came to: as it draws itself in a terminal, or its lines, or lines as they are."""
    console = Console()
    for line in [found] if hasattr(found, "__rich_console__") else getattr(found, "lines", found):
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))


def as_json(found: Any) -> str:
    """What a command came to, as one JSON object.

    `headline`, `sentences`, `lines`, `folder`, `report`, `tables` (lists of rows), of a diagnosis also `verdict` and
    `facts`. Tables of more than `MOST_ROWS` rows are left out and named in `left_out`: they lie in the folder. What is
    not a finite number is null.
    """
    said = {name: getattr(found, name, None) for name in ("headline", "sentences", "lines", "folder")}
    report = found.report() if said["folder"] else None
    said["report"] = report if report and report.exists() else None
    said |= {name: asdict(getattr(found, name)) for name in ("verdict", "facts") if hasattr(found, name)}
    tables = dict(found.tables)
    short = {name: table for name, table in tables.items() if len(table) <= MOST_ROWS}
    said["left_out"] = sorted(set(tables) - set(short))
    said["tables"] = {name: rows_of(table) for name, table in short.items()}
    return written_json(said)


def written_json(said: Mapping[str, Any]) -> str:
    """Plain content as JSON; what is not a finite number is null."""
    return json.dumps(_plain(said), indent=2, ensure_ascii=False, default=str)


def rows_of(table: Any) -> list[dict[str, Any]]:
    """A table's rows; pandas writes numbers of numpy, times and NaN as JSON has them."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning, without where in our code it came from."""
    Console(stderr=True).print(f"  {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def exit_codes() -> Iterator[None]:
    """A user's mistake gets one clear message and exit code 1; Ctrl-C gets exit code 130."""
    try:
        yield
    except ShapsightError as error:
        console = Console(stderr=True)
        console.print("error", style="bold red", end=" ")
        console.print(str(error), highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
