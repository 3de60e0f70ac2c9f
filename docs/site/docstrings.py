"""Our docstrings as Markdown: lists of names become lists, and studies show the keywords of their settings."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

import griffe

HEADINGS = ("Arguments", "Args", "Attributes", "Options", "Raises", "Returns")
NAMED = re.compile(r"([\w`]+(?:, [\w`]+)*): (?=\S)")


class Docstrings(griffe.Extension):
    """What mkdocstrings is given in place of what stands in the source."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """A study's own parameters are joined by a keyword for each of its settings when it is imported."""
        if _is_study(func):
            public = griffe.dynamic_import(func.path)
            func.parameters = griffe.Parameters(
                *map(_parameter, inspect.signature(public).parameters.values())
            )
            func.docstring = griffe.Docstring(as_markdown(inspect.getdoc(public) or ""), parent=func)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Every other docstring."""
        if obj.docstring and not _is_study(obj):
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Indented examples as code of Python, paragraphs of `name: what it is` as lists; sentences stay."""
    shown = "\n\n".join(_listed(each) for each in re.split(r"\n[ \t]*\n", inspect.cleandoc(text)))
    return shown.replace("\n```\n\n```python\n", "\n\n")  # an example with an empty line in it


def _listed(paragraph: str) -> str:
    if paragraph.startswith("    "):
        return f"```python\n{textwrap.dedent(paragraph)}\n```"
    first, *rest = paragraph.splitlines()
    if first.rstrip(":") in HEADINGS and rest:
        items = textwrap.dedent("\n".join(rest)).splitlines()
        if first == "Options":  # sentences of --help, no Markdown
            items = [re.sub(r"_(?=[^:]*\{)", r"\\_", item) for item in items]
        return f"**{first.rstrip(':')}**\n\n{_items(items)}"
    if not first.startswith(" ") and NAMED.match(first):
        return _items(paragraph.splitlines())
    return paragraph


def _items(lines: list[str]) -> str:
    """Each `name: text` a point, with the indented lines that follow; what is not indented goes on below."""
    shown, is_inside = [], True
    for line in lines:
        if NAMED.match(line):
            shown.append("- " + NAMED.sub(_in_code, line, count=1))
        elif line.startswith(" ") and is_inside:
            shown.append(f"    {line.strip()}")
        else:
            shown.extend([""] * is_inside + [line])
            is_inside = False
    return "\n".join(shown)


def _in_code(found: re.Match[str]) -> str:
    return ", ".join(f"`{name.strip('`')}`" for name in found[1].split(", ")) + ": "


def _is_study(obj: griffe.Object) -> bool:
    return isinstance(obj, griffe.Function) and any(
        str(each.value).startswith("study(") for each in obj.decorators
    )


def _parameter(given: inspect.Parameter) -> griffe.Parameter:
    """What `inspect` knows of a parameter, for griffe."""
    kind = griffe.ParameterKind[given.kind.name.lower()]
    empty = inspect.Parameter.empty
    annotation = (
        None
        if given.annotation is empty
        else given.annotation
        if isinstance(given.annotation, str)
        else inspect.formatannotation(given.annotation)
    )
    return griffe.Parameter(
        given.name,
        annotation=annotation,
        kind=kind,
        default=None if given.default is empty else repr(given.default),
    )
