"""`shapsight.toml`: what the commands of a project have in common, so that nobody types it twice."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shapsight.errors import SettingError

FILE = "shapsight.toml"
Options = Mapping[str, Any]  # of a command: its parameters as Typer has them, by every name they go by


def defaults_of(file: Path, commands: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a project file says of each command's options, by the names of its parameters.

        defaults_of(Path("shapsight.toml"), {"train": train_command})      # {"train": {"roi": "below:112"}}

    Keys at the top go to every command that has such an option; those in a table `[train]` to that command, first.
    Beside `model` the file's `data` take the place of the run, as on the command line; without it they are not given
    to commands that take a run, which has a dataset of its own.
    Raises `SettingError` for a file that cannot be read, and for commands, options and values that there are not.
    """
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{file} cannot be read: {error}") from error
    options = {name: dict(_by_name(command)) for name, command in commands.items()}
    shared = {key: value for key, value in written.items() if not isinstance(value, dict)}
    _refuse_unknown(
        file, shared, {name for each in options.values() for name in each}, "no command has an option"
    )
    _refuse_unknown(file, set(written) - set(shared), options, "there is no command")
    found = {}
    for command, mine in options.items():
        own = written.get(command, {})
        _refuse_unknown(file, own, mine, f"[{command}] has no option")
        given = {key: value for key, value in shared.items() if _plain(key) in mine} | own
        named = {
            mine[_plain(key)].name: _value(file, key, value, mine[_plain(key)])
            for key, value in given.items()
        }
        if "run" in mine and "data" in named:
            data = named.pop("data")
            named |= {"run": data} if {"model", "train"} & set(named) else {}
        found[command] = named
    return found


def typed(command: Any, values: Mapping[str, Any]) -> list[str]:
    """The words that would have given a command these values: `["--roi", "below:112"]`."""
    words = []
    for parameter in command.params:
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if not parameter.opts[0].startswith("-"):
            words.append(str(value))
        elif isinstance(value, bool):
            words += parameter.opts[:1] if value else parameter.secondary_opts[:1]
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [parameter.opts[0], str(each)]
    return words


def _by_name(command: Any) -> Iterator[tuple[str, Any]]:
    for parameter in command.params:
        if parameter.name not in ("help", "json", "overwrite", "resume"):
            yield from ((_plain(name), parameter) for name in (parameter.name, *parameter.opts))


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _refuse_unknown(file: Path, keys: Any, known: Any, what: str) -> None:
    for key in keys:
        if _plain(key) not in known:
            near = difflib.get_close_matches(_plain(key), known, n=2)
            said = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
            raise SettingError(f"{file}: {what} {key!r}: {said}")


def _value(file: Path, key: str, value: Any, parameter: Any) -> Any:
    """A list as a parameter takes it: repeated, or a text with commas."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str | int | float) for each in values):
        raise SettingError(
            f"{file}: {key} is {value!r}; it takes a text, a number, true, false or a list of those"
        )
    is_repeated = parameter.multiple if hasattr(parameter, "multiple") else parameter.nargs != 1
    if is_repeated:
        return [str(each) for each in values]
    return ",".join(map(str, values)) if isinstance(value, list) else value
