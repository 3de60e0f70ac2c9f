"""The images of a page as a figure for papers: what the viewer shows of them, in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from shapsight.drawing import style
from shapsight.drawing.detail import evened, smoothed
from shapsight.drawing.panels import SIGNED, SIZES, Array, Heat, Look, Mark, Row, draw_rows, mark, outlined
from shapsight.drawing.viewer.content import Map, Shown
from shapsight.errors import DataError

PANEL = 1.6  # inches
ACROSS = 7
MARKS: tuple[Mark, ...] = ("target", "prediction")


@style.in_an_installed_font
def stills_plot(images: Sequence[Shown], maps: Sequence[int] = (0,)) -> Figure:
    """Draw images with their marks and outlines: seven in a row, or each beside some of its heatmaps.

        stills_plot([Shown("a.jpg", picture, [Map("x", values)], marks=[Mark("target", 112, 140)])])

    Heatmaps are drawn at the first of their details, those of a row on one scale. Raises `DataError` for no images.
    """
    if not images:
        raise DataError("stills_plot was given no image")
    rows = [_row(image, [image.maps[at] for at in maps if at < len(image.maps)]) for image in images]
    if not all(row.heats for row in rows):
        return _grid(rows)
    values = [heat.values for row in rows for heat in row.heats]
    kind = SIZES if all(np.nanmin(each) >= 0 for each in values) else SIGNED
    return draw_rows(rows, Look(99.5, None, 1, images[0].maps[maps[0]].unit, kind=kind), None)


def _row(image: Shown, maps: Sequence[Map]) -> Row:
    points = {each.kind: (each.x, each.y) for each in image.marks}
    heats = [
        Heat(
            _at_detail(each, image),
            each.output,
            each.prediction,
            " ".join(filter(None, (each.method, each.model))),
            about=each.about,
        )
        for each in maps
    ]
    marks: dict[Mark, tuple[float, float]] = {kind: points[kind] for kind in MARKS if kind in points}
    row = Row(image.picture / 255, image.caption or image.name, marks, tuple(heats), image.outline)
    return row if image.picture.ndim == 3 else _slice_of(row)


def _slice_of(row: Row) -> Row:
    """Of a volume, the slice with the most absolute attribution, or the middle one."""
    sizes = [np.nan_to_num(np.abs(heat.values)).sum((1, 2)) for heat in row.heats]
    at = int(sum(sizes).argmax()) if sizes else len(row.picture) // 2
    return replace(
        row,
        picture=row.picture[at],
        caption=f"{row.caption}, slice {at}",
        heats=tuple(replace(heat, values=heat.values[at]) for heat in row.heats),
        outline=None if row.outline is None else row.outline[at],
    )


def _at_detail(each: Map, image: Shown) -> Array:
    if image.details and image.details[0] == "regions" and image.regions is not None:
        return evened(each.values, image.regions)
    return smoothed(each.values) if image.details and image.details[0] == "smooth" else each.values


def _grid(rows: Sequence[Row]) -> Figure:
    across = min(ACROSS, len(rows))
    down = -(-len(rows) // across)
    captions = [style.wrap(row.caption, PANEL, style.NOTE, most=3) for row in rows]
    above = style.text_height(max(map(len, captions)), style.NOTE) + 0.06
    figure = Figure(
        figsize=(across * PANEL, down * (PANEL + above)),
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02),
    )
    for axes in (grid := figure.subplots(down, across, squeeze=False).ravel()):
        axes.set_axis_off()
    for axes, row, caption in zip(grid, rows, captions, strict=False):
        height, width = row.picture.shape[:2]
        axes.imshow(row.picture, interpolation="nearest")
        outlined(axes, row.outline)
        for kind, (x, y) in row.marks.items():
            inside = (min(max(x, 0), width - 1), min(max(y, 0), height - 1))
            axes.add_line(mark(kind, inside, (x - inside[0], y - inside[1])))
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title("\n".join(caption), fontsize=style.NOTE, pad=2, parse_math=False)
    return figure
