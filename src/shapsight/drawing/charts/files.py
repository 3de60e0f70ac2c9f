"""A chart as what pages and papers take: SVG inside HTML, SVG and PNG files, and the specification to draw it again."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import altair as alt
import matplotlib
import vl_convert
from altair.typing import ChartType

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
MOST_SAID = 300  # marks of one kind with a text of their own; more would only be weight
PIXELS = 2.0  # of a PNG for each of the page
FONT = "system-ui, sans-serif"
INHERITED = ("fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "font-size", "text-anchor")
IDLE = {"class", "aria-roledescription", "pointer-events", "font-family", "aria-hidden"}
Tree.register_namespace("", SVG[1:-1])
UNDRAWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_CIRCLE = re.compile(r"M([\d.]+),0A[^MZ]*\Z")


def svg(chart: ChartType, prefix: str) -> str:
    """The chart as static SVG to stand in HTML, as wide as there is room up to its own width.

        svg(error_bars(table), "errors")      # '<svg xmlns=... role="img" aria-label=...>'

    Texts and lines take the page's `color`; ids begin with `prefix`, which must be a chart's own on its page. Every
    mark's own text is its `aria-label`, where there are at most 300 of a kind. Links stay links.
    """
    root = Tree.fromstring(vl_convert.vegalite_to_svg(_specification(chart)))
    _clear(root)
    _name_apart(root, prefix)
    for group in root.iter(f"{SVG}g"):
        _lighten(group)
    is_linked = root.find(f".//{SVG}a") is not None
    width = float(root.attrib.pop("width"))
    del root.attrib["height"]
    # Inside of an image nothing could be clicked.
    root.attrib |= {
        "role": "group" if is_linked else "img",
        "aria-label": str(chart.description),
        "width": "100%",
    }
    root.attrib |= {"style": f"max-width:{width:g}px;overflow:visible", "font-family": FONT}
    return Tree.tostring(root, encoding="unicode")


def png(chart: ChartType, path: str | os.PathLike[str]) -> None:
    """Write the chart as a PNG on white paper, two pixels for each of the page's."""
    specification = _specification(chart)
    specification["config"]["background"] = "white"
    Path(path).write_bytes(vl_convert.vegalite_to_png(specification, scale=PIXELS))


def save(chart: ChartType, stem: str | os.PathLike[str]) -> None:
    """Write the chart as `STEM.svg` and `STEM.png`."""
    Path(f"{stem}.svg").write_text(svg(chart, "chart"), encoding="utf-8")
    png(chart, f"{stem}.png")


def chart_of(specification: Mapping[str, Any]) -> ChartType:
    """The chart of a specification, such as `chart.to_dict()` gives."""
    found: ChartType = alt.Chart.from_dict(dict(specification), validate=False)
    return found


def _specification(chart: ChartType) -> dict[str, Any]:
    _know_the_font()
    found: dict[str, Any] = _drawable(json.loads(chart.to_json(validate=False)))
    return found


def _drawable(part: Any) -> Any:
    """A specification whose texts XML and Vega's expressions can hold: names of files may have any letter."""
    if isinstance(part, Mapping):
        return {_drawable(name): _drawable(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_drawable(each) for each in part]
    return UNDRAWABLE.sub(" ", part) if isinstance(part, str) else part


@functools.cache
def _know_the_font() -> None:
    """Texts are measured in a font that matplotlib brings, as on every machine."""
    vl_convert.register_font_directory(str(Path(matplotlib.get_data_path(), "fonts", "ttf")))


def _clear(root: Tree.Element) -> None:
    """Without what is not seen: empty paths, Vega's classes and roles, defaults, and digits nobody sees."""
    for parent in root.iter():
        for child in list(parent):
            is_seen = child.get("fill", "none") != "none" or child.get("stroke") is not None
            if child.get("display") == "none" or (
                child.get("class") in ("background", "foreground") and not is_seen
            ):
                parent.remove(child)
    for element in root.iter():
        for name in list(element.attrib):
            if name in IDLE or (name == "opacity" and element.get(name) == "1"):
                del element.attrib[name]
        if element.get("role") == "graphics-object":
            del element.attrib["role"]
        target = element.attrib.pop(LINK, None)
        if target is not None:
            element.set("href", target[target.index("#") :])
        for name, value in element.items():
            if name not in ("aria-label", "href"):
                element.set(
                    name, _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
                )
        circle = _CIRCLE.match(element.get("d", ""))
        if circle:
            del element.attrib["d"]
            element.tag = f"{SVG}circle"
            element.set("r", circle[1])
            place = re.fullmatch(r"translate\((.*),(.*)\)", element.attrib.pop("transform"))
            assert place is not None
            element.attrib |= {"cx": place[1], "cy": place[2]}


def _name_apart(root: Tree.Element, prefix: str) -> None:
    """Several charts stand in one page, whose ids must not meet; Vega's own count on from chart to chart."""
    own = {
        old: f"{prefix}-{n}"
        for n, old in enumerate(each.get("id") for each in root.iter() if "id" in each.attrib)
    }
    for element in root.iter():
        for name, value in element.items():
            if name == "id":
                element.set(name, own[value])
            elif value.startswith("url(#") and value[5:-1] in own:
                element.set(name, f"url(#{own[value[5:-1]]})")


def _lighten(group: Tree.Element) -> None:
    """What all marks of a group share is said once, and nothing is said of each where there are very many."""
    marks = [child[0] if child.tag == f"{SVG}a" and len(child) else child for child in group]
    if len(marks) < 2 or any(mark.tag == f"{SVG}g" for mark in marks):
        return
    for name in INHERITED:
        if len(values := {mark.get(name) for mark in marks}) == 1 and (value := values.pop()) is not None:
            group.set(name, value)
            for mark in marks:
                del mark.attrib[name]
    if len(marks) > MOST_SAID:
        group.set("aria-hidden", "true")
        for child, mark in zip(group, marks, strict=True):
            mark.attrib.pop("aria-label", None)
            mark.attrib.pop("role", None)
            if child is not mark:
                child.set("tabindex", "-1")  # nobody steps through hundreds of nameless links
    else:
        for child, mark in zip(group, marks, strict=True):
            if child is not mark and "aria-label" in mark.attrib:
                child.set("aria-label", mark.attrib["aria-label"])
