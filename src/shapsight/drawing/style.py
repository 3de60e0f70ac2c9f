"""What all pictures share: colours that colour-blind eyes can tell apart, text sizes, text cut to its room.

Text, frames and paper keep matplotlib's own settings, so that a picture follows a dark style sheet.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

import numpy as np
from matplotlib import colormaps, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from shapsight.errors import ExplainerError

# Two hues of equal lightness that stay apart for protan, deutan and tritan eyes.
RAISES = "#c4122f"
LOWERS = "#1a64b7"
SIZE = "#7b2d8e"
NOT_A_NUMBER = "#7d7d7d"
SERIES = ("#3f76b5", "#e29a2d", "#3c9474", "#9a62a8", "#8a8f98")
TARGET = "#ffd23f"
PREDICTION = "#5ce1ff"
REGION = "#7dff5a"

HEADING = 9.5
LABEL = 8.5
NOTE = 7.5
POINTS_PER_INCH = 72.0
LINE_HEIGHT = 1.35


def _diverging(colours: int = 511, power: float = 0.8) -> Colormap:
    """Blue, nothing, red: opacity grows with the distance from zero, so the image shows where little happens."""
    position = np.linspace(-1, 1, colours)
    hue = np.where(position[:, None] < 0, to_rgb(LOWERS), to_rgb(RAISES))
    opacity = np.abs(position)[:, None] ** power
    return ListedColormap(np.hstack([hue, opacity]), name="shapsight").with_extremes(bad=NOT_A_NUMBER)


HEAT = _diverging()


def _growing(colours: int = 256, power: float = 0.8) -> Colormap:
    """Nothing to violet, for sizes without a sign."""
    opacity = np.linspace(0, 1, colours)[:, None] ** power
    return ListedColormap(
        np.hstack([np.tile(to_rgb(SIZE), (colours, 1)), opacity]), name="shapsight_size"
    ).with_extremes(bad=NOT_A_NUMBER)


MASS = _growing()


def see_through(cmap: str | Colormap | None, usual: Colormap) -> Colormap:
    """The usual colours, or those of a colour map of matplotlib with the usual opacity, so that the image shows.

    A map with an opacity of its own keeps it. Raises `ExplainerError` for a name that matplotlib does not know.
    """
    if cmap is None:
        return usual
    if isinstance(cmap, str) and cmap not in colormaps:
        raise ExplainerError(
            f"cmap={cmap!r} is no colour map of matplotlib: 'coolwarm', 'PiYG' and 'RdBu_r' are"
        )
    found = colormaps[cmap] if isinstance(cmap, str) else cmap
    position = np.linspace(0, 1, usual.N)
    colours = found(position)
    if (colours[:, 3] == 1).all():
        colours[:, 3] = usual(position)[:, 3]
    return ListedColormap(colours, name=found.name).with_extremes(bad=NOT_A_NUMBER)


ALWAYS_THERE = "DejaVu Sans"  # matplotlib brings it
GENERIC = frozenset({"serif", "sans-serif", "cursive", "fantasy", "monospace"})
Given = ParamSpec("Given")


def in_an_installed_font(draw: Callable[Given, Figure]) -> Callable[Given, Figure]:
    """Draw with the fonts of the settings that are installed, or else with matplotlib's own.

    matplotlib would fall back too, and complain of the missing font once for every text.
    """

    @functools.wraps(draw)
    def drawn(*args: Given.args, **options: Given.kwargs) -> Figure:
        installed = {font.name for font in fontManager.ttflist}
        wanted = rcParams["font.family"]
        settings: Any = rcParams
        usable = [
            name
            for name in wanted
            if name in installed or (name in GENERIC and installed & set(settings[f"font.{name}"]))
        ]
        with rc_context({} if usable == wanted else {"font.family": usable or [ALWAYS_THERE]}):
            return draw(*args, **options)

    return drawn


def text_width(text: str, size: float) -> float:
    """Width of a line of text in inches, at a font size in points."""
    font = FontProperties(size=size)
    with warnings.catch_warnings():
        # A letter that the font lacks is told of once, when it is drawn.
        warnings.simplefilter("ignore", UserWarning)
        width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / POINTS_PER_INCH


def text_height(lines: int, size: float) -> float:
    """Height of some lines of text in inches, at a font size in points."""
    return lines * size * LINE_HEIGHT / POINTS_PER_INCH


def shorten(text: str, width: float, size: float) -> str:
    """The text itself, or its beginning and an ellipsis, so that it is at most `width` inches wide."""
    if text_width(text, size) <= width:
        return text
    kept = text
    while kept and text_width(f"{kept}…", size) > width:
        kept = kept[:-1]
    return f"{kept.rstrip(' ,')}…"


def wrap(text: str, width: float, size: float, most: int = 2) -> list[str]:
    """The text in at most `most` lines of at most `width` inches; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most - 1:
        taken = 1
        while taken < len(words) and text_width(" ".join(words[: taken + 1]), size) <= width:
            taken += 1
        lines.append(shorten(" ".join(words[:taken]), width, size))
        words = words[taken:]
    return [*lines, shorten(" ".join(words), width, size)] if words else lines


def number(value: float, digits: int = 3) -> str:
    """A number as people write it: three significant digits, a true minus sign, `1.9e−4` when it is small."""
    if not np.isfinite(value):
        return "NaN"
    said = f"{value:.{digits}g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.{digits - 1}e}"
    figures, _, power = said.partition("e")
    return (f"{figures}e{int(power)}" if power else figures).replace("-", "−")


def literal(texts: Iterable[Text]) -> None:
    """Names come from users: a dollar sign in them is a dollar sign, not the start of a formula."""
    for text in texts:
        text.set_parse_math(False)


def tidy(axes: Axes, grid: str = "both") -> None:
    """Axes without a box: light grid lines, small figures, two spines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=rcParams["grid.color"], alpha=0.35, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=NOTE, length=0)
