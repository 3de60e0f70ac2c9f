"""Lists and tables that follow a paragraph at once, as GitHub reads them, for Python-Markdown, which does not."""

from __future__ import annotations

import re
from typing import Any

FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
RUN_ON = re.compile(r"^((?![-*] |[|>#\s]|\d+\. ).+)\n(?=- |\* |\d+\. |\|)", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """An empty line before a list or table, outside of code, and after code."""
    pieces = FENCED.split(markdown)
    pieces[::2] = [RUN_ON.sub(r"\1\n\n", piece) for piece in pieces[::2]]
    pieces[2::2] = [piece if piece.startswith("\n\n") else "\n" + piece for piece in pieces[2::2]]
    return "".join(pieces)
