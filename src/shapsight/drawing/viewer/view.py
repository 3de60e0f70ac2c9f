"""The viewer in a notebook, and in a file of its own that needs nothing else."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from shapsight.data.written_files import write_text

POLICY = "default-src 'none'; img-src data: blob:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"

PAPER = ":root{color-scheme:light dark}body{margin:1rem;background:light-dark(#fff,#14181d)}"
WITHOUT = "With JavaScript this page shows values under the cursor; without it, there is this picture only."


@dataclass(frozen=True, eq=False)
class View:
    """Pictures to look at: images, heatmaps over them, values under the cursor.

        view = explanation.view()       # in a notebook the last line of a cell shows it
        view.save("why.html")           # one file that opens anywhere, without a network

    In notebooks it is shown through anywidget where that is installed (`pip install anywidget`), otherwise in a frame.
    `still` is the picture that stays where there is no JavaScript.
    """

    content: Mapping[str, Any]
    still: str = ""

    @property
    def html(self) -> str:
        """A whole page."""
        title = escape(str(self.content.get("title") or "shapsight"))
        return (
            "<!doctype html>\n"
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f"<style>{asset('viewer.css')}\n{PAPER}</style></head>\n"
            f'<body><main><div id="viewer"></div><noscript>{self.still}<p>{WITHOUT}</p></noscript></main>\n'
            f'<script type="application/json" id="content">{inlined(self.content)}</script>\n'
            f'<script type="module">{asset("viewer.js")}\n'
            'mount(document.getElementById("viewer"), JSON.parse(document.getElementById("content").textContent));\n'
            "</script></body></html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page; complete or not at all."""
        write_text(Path(path), self.html)
        return Path(path)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        widget = self.widget()
        if widget is None:
            return {"text/html": self._repr_html_(), "text/plain": repr(self)}
        bundle = widget._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**(data or {}), "text/html": self.still or self._repr_html_()}

    def _repr_html_(self) -> str:
        style = "width:100%;height:54rem;border:0"
        return f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" style="{style}"></iframe>'

    def widget(self) -> Any:
        """The viewer as a widget of anywidget; None where that is not installed."""
        kind = _widget_kind()
        return None if kind is None else kind(content=json.dumps(self.content))

    def __repr__(self) -> str:
        images = self.content["images"]
        maps = sum(len(image["maps"]) for image in images)
        return f"View({len(images)} images, {maps} heatmaps; .save('why.html') writes a page)"


@functools.cache
def _widget_kind() -> Any:
    try:
        import anywidget
        import traitlets
    except ModuleNotFoundError:
        return None
    script = asset("viewer.js") + (
        "\nexport default { render({ model, el }) { return mount(el, JSON.parse(model.get('content'))).destroy; } };\n"
    )
    content = traitlets.Unicode("{}").tag(sync=True)
    return type(
        "Viewer", (anywidget.AnyWidget,), {"_esm": script, "_css": asset("viewer.css"), "content": content}
    )


@functools.cache
def asset(name: str) -> str:
    """A file of the viewer's own."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def inlined(content: Any) -> str:
    """JSON that can stand inside a page: nothing in it ends the script or begins a tag."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
