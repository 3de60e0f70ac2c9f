"""Tables on a phone: each cell is told its column's heading, which site.css shows where rows are stacked."""

from __future__ import annotations

import re
from typing import Any

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
HEADING = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
ROW = re.compile(r"<tr>\n<td.*?</tr>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")


def on_page_content(html: str, **_: Any) -> str:
    """Cells with their headings."""
    return TABLE.sub(_labelled, html)


def _labelled(table: re.Match[str]) -> str:
    headings = [TAG.sub("", heading).replace('"', "&quot;") for heading in HEADING.findall(table[0])]
    return ROW.sub(lambda row: _row(row[0], headings), table[0])


def _row(row: str, headings: list[str]) -> str:
    labels = iter(headings)
    return re.sub("<td", lambda _: f'<td data-label="{next(labels)}"', row)
