"""Rows of panels: an image, and SHAP values laid over pale copies of it, with one scale and colour bar a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from shapsight.drawing import style
from shapsight.drawing.notebook_figure import NotebookFigure

Array = NDArray[Any]
Mark = Literal["target", "prediction"]

# The layout, in inches. Panels are placed by hand: five hundred axes would keep a layout engine busy for minutes.
WIDEST = 11.5
PANEL = (0.95, 2.5)
GAP = 0.1
BAR = 0.09
SHORTEST = 0.95
BAR_NUMBERS = 0.72
# Beyond this many cells an inch, neighbouring reds and blues blend into purple.
CELLS_PER_INCH = 34
# How dark the darkest pixel under a heatmap is.
PALENESS = 0.4


@dataclass(frozen=True)
class Heat:
    """One heatmap: SHAP values `(height, width)`, and what stands over it; a prediction of NaN is not known.

    `heading` stands over the output's name and `note` under it. `about` are the pixels `(height, width)` that the
    output is about, such as a detection's box: their edge is drawn.
    """

    values: Array
    output: str
    prediction: float
    heading: str = ""
    note: str = ""
    about: Array | None = None

    def title(self, width: float) -> list[str]:
        """Heading, output's name and prediction, in lines of at most `width` inches."""
        value = "" if np.isnan(self.prediction) else f"= {style.number(self.prediction)}"
        said = f"{self.output} {value}".strip()
        if style.text_width(said, style.LABEL) <= width:
            lines = [said]
        else:
            lines = [*style.wrap(self.output, width, style.LABEL), *([value] if value else [])]
        unknown = int((~np.isfinite(self.values)).sum())
        heading = style.wrap(self.heading, width, style.LABEL)
        note = style.wrap(self.note, width, style.LABEL) if self.note else []
        return [*heading, *lines, *note, *([f"{unknown} pixel{'s' * (unknown != 1)} NaN"] if unknown else [])]


@dataclass(frozen=True)
class Row:
    """One image `(height, width)` or `(height, width, 3)` in [0, 1], the points marked on it, and its heatmaps.

    `outline` is a region `(height, width)` whose edge is drawn over all of them. `alike` are heatmaps of other rows
    that share a scale with this one's, its own among them.
    """

    picture: Array
    caption: str
    marks: Mapping[Mark, tuple[float, float]]
    heats: tuple[Heat, ...]
    outline: Array | None = None
    alike: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Kind:
    """What the values of all heatmaps are: their colours, whether they have a sign, their name, and the key.

    `said` is what the colours at the lower and the upper end mean, of values without a sign at the upper end.
    """

    colours: Colormap
    has_sign: bool
    name: str
    said: tuple[str, ...]

    @property
    def key(self) -> list[tuple[Artist, str]]:
        """What each colour means, the upper end first."""
        ends = zip((1.0, 0.0), reversed(self.said), strict=False)
        return [(Patch(facecolor=self.colours(end)), said) for end, said in ends]


SIGNED = Kind(
    style.HEAT,
    True,
    "SHAP value",
    ("lowers the output", "raises the output"),
)
SIZES = Kind(style.MASS, False, "mean |SHAP value|", ("attribution, of either sign",))


@dataclass(frozen=True)
class Look:
    """How rows are drawn; None leaves the choice to the layout. `notes` are what the reader is told beside the key."""

    scale_percentile: float
    width: float | None
    cell: int | None
    unit: str
    limit: float | None = None
    kind: Kind = SIGNED
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """The colours of a row run from -limit, or 0, to limit; cut where values lie beyond, flat where all are zero."""

    limit: float
    is_cut: bool
    is_flat: bool
    kind: Kind

    @property
    def lowest(self) -> float:
        """The other end of the scale."""
        return -self.limit if self.kind.has_sign else 0.0


def draw_rows(rows: Sequence[Row], look: Look, figure: Figure | None) -> Figure:
    """Place all panels; every length is in inches, counted from the upper left."""
    height, width = rows[0].heats[0].values.shape
    columns = 1 + len(rows[0].heats)
    around = 2 * GAP + (columns - 1) * GAP + BAR + BAR_NUMBERS + style.text_height(4, style.NOTE)
    panel = float(
        np.clip(((look.width or WIDEST) - around) / columns, PANEL[0], None if look.width else PANEL[1])
    )
    tall = panel * height / width
    cell = look.cell or max(1, round(width / (panel * CELLS_PER_INCH)))
    titles = [_titles(row, panel) for row in rows]
    room = [style.text_height(max(map(len, title)), style.LABEL) + 0.06 for title in titles]

    figure = NotebookFigure() if figure is None else figure
    total = around + columns * panel
    key = _key(rows, look)
    lines = _key_lines(key, total - 2 * GAP)
    top = 2 * GAP + style.text_height(len(lines), style.LABEL)
    figure.set_size_inches(total, top + sum(room) + len(rows) * (max(tall, SHORTEST) + GAP))
    _draw_key(figure, lines)
    for row, title, space in zip(rows, titles, room, strict=True):
        top += space
        _draw_row(figure, row, title, (top, panel, tall), cell, look)
        top += max(tall, SHORTEST) + GAP
    return figure


def _titles(row: Row, width: float) -> list[list[str]]:
    return [style.wrap(row.caption, width, style.LABEL), *(heat.title(width) for heat in row.heats)]


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, 1 - (top + height) / high, width / whole, height / high))


def _draw_row(
    figure: Figure,
    row: Row,
    titles: list[list[str]],
    place: tuple[float, float, float],
    cell: int,
    look: Look,
) -> None:
    top, width, height = place
    cells = [_summed(heat.values, cell) for heat in row.heats]
    scale = scale_of([_summed(values, cell) for values in row.alike] or cells, look)
    left = GAP
    for column, lines in enumerate(titles):
        axes = _place(figure, left, top, width, height)
        if column == 0:
            _draw_picture(axes, row)
        else:
            _draw_heat(axes, row, cells[column - 1], scale, cell)
            outlined(axes, row.heats[column - 1].about, style.TARGET)
        axes.set_title("\n".join(lines), fontsize=style.LABEL, pad=3, linespacing=1.15, parse_math=False)
        left += width + GAP
    what = f"{look.kind.name} of {cell}×{cell} pixels" if cell > 1 else look.kind.name
    height = max(height, SHORTEST)
    bar = _place(figure, left, top, BAR, height)
    _draw_bar(bar, scale)
    beside = (BAR_NUMBERS - 0.02) * style.POINTS_PER_INCH
    bar.annotate(
        "\n".join(_bar_label(what, look.unit, height)), (1, 0.5), (beside, 0), "axes fraction", "offset points",
        rotation=90, ha="left", va="center", multialignment="center", fontsize=style.NOTE, linespacing=1.15,
        parse_math=False,
    )  # fmt: skip


def _draw_picture(axes: Axes, row: Row) -> None:
    height, width = row.picture.shape[:2]
    axes.imshow(row.picture, cmap="gray", vmin=0, vmax=1, aspect="auto")
    _frame(axes, height, width)
    outlined(axes, row.outline)
    for heat in row.heats:
        outlined(axes, _at_size(heat.about, height, width), style.TARGET)
    for kind, (x, y) in row.marks.items():
        inside = (min(max(x, 0), width - 1), min(max(y, 0), height - 1))
        axes.add_line(mark(kind, inside, (x - inside[0], y - inside[1])))


def _draw_heat(axes: Axes, row: Row, cells: Array, scale: Scale, cell: int) -> None:
    height, width = row.heats[0].values.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(paled(row.picture), cmap="gray", vmin=0, vmax=1, aspect="auto", extent=extent)
    # The last cells reach beyond an image whose side is no multiple of the cell.
    extent = (-0.5, cells.shape[1] * cell - 0.5, cells.shape[0] * cell - 0.5, -0.5)
    axes.imshow(
        cells, cmap=scale.kind.colours, vmin=scale.lowest, vmax=scale.limit, aspect="auto", extent=extent,
        interpolation="nearest",
    )  # fmt: skip
    _frame(axes, height, width)
    outlined(axes, row.outline)


def paled(picture: Array) -> Array:
    """A picture without its colours and its darkness, to lie under a heatmap: `(height, width)`, 1 is white."""
    grey = picture if picture.ndim == 2 else picture @ np.array([0.299, 0.587, 0.114])
    return np.asarray(1 - PALENESS * (1 - grey))


def _at_size(region: Array | None, height: int, width: int) -> Array | None:
    """A region of the heatmap in a picture of another size."""
    if region is None or region.shape == (height, width):
        return region
    rows, columns = (
        np.arange(side) * of // side for side, of in zip((height, width), region.shape, strict=True)
    )
    return np.asarray(region[rows[:, None], columns])


def outlined(axes: Axes, region: Array | None, colour: str = style.REGION) -> None:
    """Draw the edge of a region, unless it is nothing or everything."""
    if region is not None and region.any() and not region.all():
        lines = axes.contour(region.astype(float), levels=[0.5], colors=colour, linewidths=1.0)
        lines.set_path_effects([withStroke(linewidth=2.4, foreground="black")])


def _frame(axes: Axes, height: int, width: int) -> None:
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color="#9a9a9a")


def _summed(values: Array, cell: int) -> Array:
    """SHAP values add up: the value of a cell is the sum of its pixels' values; NaN where one of them is."""
    values = np.where(np.isfinite(values), values, np.nan)
    rows, columns = (np.arange(0, side, cell) for side in values.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, 0), columns, 1))


def scale_of(cells: Sequence[Array], look: Look) -> Scale:
    """One scale for some heatmaps."""
    values = np.abs(np.concatenate([c[np.isfinite(c)] for c in cells]))
    largest = float(values.max(initial=0.0))
    # Where nearly all values are zero, the percentile is zero too.
    percentile = float(np.percentile(values, look.scale_percentile)) if len(values) else 0.0
    limit = look.limit or percentile or largest
    return Scale(limit or 1.0, is_cut=largest > limit * 1.001, is_flat=not limit, kind=look.kind)


def _bar_label(what: str, unit: str, height: float) -> list[str]:
    whole = f"{what}, {unit}"
    if style.text_width(whole, style.NOTE) <= height:
        return [whole]
    lines = style.wrap(f"{what},", height, style.NOTE)
    return [*lines, *style.wrap(unit, height, style.NOTE, most=4 - len(lines))]


def _draw_bar(axes: Axes, scale: Scale) -> None:
    end = style.number(scale.limit, 2)
    ends = {-scale.limit: f"≤ −{end}" if scale.is_cut else f"−{end}", 0.0: "0", scale.limit: end}
    if scale.is_cut:
        ends[scale.limit] = f"≥ {end}"
    if scale.is_flat:
        ends = {-scale.limit: "", 0.0: "0", scale.limit: ""}
    ends = {value: said for value, said in ends.items() if value >= scale.lowest}
    axes.set_facecolor("white")
    levels = np.linspace(scale.limit, scale.lowest, 256)[:, None]
    axes.imshow(
        levels, cmap=scale.kind.colours, vmin=scale.lowest, vmax=scale.limit, aspect="auto",
        extent=(0, 1, scale.lowest, scale.limit),
    )  # fmt: skip
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks(list(ends), list(ends.values()), fontsize=style.NOTE)
    axes.tick_params(length=2, pad=2)
    # The end figures stand inside the ends of the bar, so that they clear the rows above and below.
    labels = axes.get_yticklabels()
    labels[0].set_verticalalignment("bottom")
    labels[-1].set_verticalalignment("top")
    axes.spines[:].set(linewidth=0.5, color="#9a9a9a")


def mark(kind: Mark, at: tuple[float, float], beyond: tuple[float, float] = (0, 0)) -> Line2D:
    """A ring or a cross with a dark rim, seen on any image; an arrowhead where the point lies beyond the border."""
    shape, colour = {"target": ("o", style.TARGET), "prediction": ("x", style.PREDICTION)}[kind]
    if any(beyond):
        across, down = beyond
        sideways = abs(across) >= abs(down)
        shape = (">" if across > 0 else "<") if sideways else ("v" if down > 0 else "^")
    rim = [withStroke(linewidth=3.6, foreground="#202020")]
    return Line2D(
        [at[0]], [at[1]], marker=shape, markersize=8, linestyle="", markerfacecolor="none",
        markeredgecolor=colour, markeredgewidth=1.7, path_effects=rim, label=kind, clip_on=False,
    )  # fmt: skip


def _key(rows: Sequence[Row], look: Look) -> list[tuple[Artist, str]]:
    """What the colours and marks mean, for those that occur, and the notes."""
    key = look.kind.key
    if any(not np.isfinite(heat.values).all() for row in rows for heat in row.heats):
        key.append((Patch(facecolor=style.NOT_A_NUMBER), "not a number"))
    kinds: tuple[Mark, ...] = ("target", "prediction")
    key += [(mark(kind, (0, 0)), kind) for kind in kinds if any(kind in row.marks for row in rows)]
    return [*key, *((Patch(alpha=0), note) for note in look.notes)]


def _key_lines(key: list[tuple[Artist, str]], width: float) -> list[list[tuple[Artist, str]]]:
    """The key broken into lines that fit the figure's width."""
    lines: list[list[tuple[Artist, str]]] = [[]]
    left = 0.0
    for entry in key:
        needed = style.text_width(entry[1], style.LABEL) + 0.4
        if lines[-1] and left + needed > width:
            lines.append([])
            left = 0.0
        lines[-1].append(entry)
        left += needed
    return lines


def _draw_key(figure: Figure, lines: list[list[tuple[Artist, str]]]) -> None:
    width, height = figure.get_size_inches()
    for number, line in enumerate(lines):
        top = GAP + style.text_height(number, style.LABEL)
        handles, labels = zip(*line, strict=True)
        legend = figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(GAP / width, 1 - top / height), ncols=len(line),
            frameon=False, fontsize=style.LABEL, borderpad=0, borderaxespad=0, handlelength=1, handleheight=0.9,
            handletextpad=0.5, columnspacing=1.4,
        )  # fmt: skip
        style.literal(legend.get_texts())
