"""Pictures of tests of explanations: curves, hidden rectangles, randomised layers, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from shapsight.drawing import style
from shapsight.drawing.curves import curve
from shapsight.drawing.panels import SIGNED, Array, Heat, Look, Row, draw_rows
from shapsight.drawing.tables import checked, sized

CHANCE = "#8a8f98"
MOST_BESIDE = 4  # heatmaps beside the first one
CELLS = 56  # along a heatmap: more would be a haze of red and blue
LONGEST_LAYER = 1.1


@style.in_an_installed_font
def removal_plot(curves: pd.DataFrame, unit: str, note: str = "") -> Figure:
    """Draw how far the prediction moves while blocks are hidden or shown by attribution, and in random order.

    Columns `image, output, order, curve, share, moved`; the mean over images. Images differ more from each other than
    orders do, so how sure the difference is, image by image, belongs into the note over it.
    """
    checked(curves, ("image", "output", "order", "curve", "share", "moved"), "removal_plot")
    by = "size" if "size" in set(curves["order"]) else "value"
    names = {by: "by attribution:", "random": "random order:"}
    drawn = of_first_output(curves)
    parts = [
        drawn[drawn["order"] == order].assign(value=drawn["moved"], name=name)
        for order, name in names.items()
    ]
    said = "fall of the probability" if "probability" in curves else f"distance to the prediction, {unit}"
    figure = curve(_mean_curves(pd.concat(parts)), unit=said)
    figure.axes[0].set_title(note, fontsize=style.LABEL, loc="left", parse_math=False)
    return figure


@style.in_an_installed_font
def flipping_plot(curves: pd.DataFrame, unit: str) -> Figure:
    """Draw the prediction while blocks are hidden, the most relevant first, the least relevant first, and at random.

    Columns `image, output, order, curve, share, prediction`; drawn is the change from the whole image's prediction.
    """
    checked(curves, ("image", "output", "order", "curve", "share", "prediction"), "flipping_plot")
    drawn = of_first_output(curves)
    whole = drawn[(drawn["curve"] == "deletion") & (drawn["share"] == 0) & (drawn["order"] == "value")]
    drawn = drawn.assign(
        value=drawn["prediction"] - drawn["image"].map(whole.set_index("image")["prediction"])
    )
    most = drawn[(drawn["order"] == "value") & (drawn["curve"] == "deletion")]
    least = drawn[(drawn["order"] == "value") & (drawn["curve"] == "insertion")]
    chance = drawn[(drawn["order"] == "random") & (drawn["curve"] == "deletion")]
    kinds = {"most relevant first": most, "least relevant first": least.assign(share=1 - least["share"])}
    parts = [rows.assign(name=name, curve="") for name, rows in {**kinds, "random order": chance}.items()]
    figure = curve(_mean_curves(pd.concat(parts)), unit=f"change of the prediction, {unit}")
    axes = figure.axes[0]
    axes.axhline(0, color=rcParams["text.color"], linewidth=0.8)
    axes.set_xlabel("pixels hidden, in blocks", fontsize=style.LABEL)
    return figure


@style.in_an_installed_font
def hidden_effects_plot(hidden: pd.DataFrame, unit: str) -> Figure:
    """Draw what hidden rectangles were attributed against what hiding them changed; on the diagonal both agree.

    Columns `image, output, attributed, shuffled, changed`. Grey: the same values at random places.
    """
    checked(hidden, ("image", "output", "attributed", "shuffled", "changed"), "hidden_effects_plot")
    drawn = of_first_output(hidden)
    axes = sized(None, 5.4, 3.6).add_subplot()
    values = drawn[["attributed", "shuffled", "changed"]].to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.05 * (high - low) or 0.1
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=rcParams["text.color"], linewidth=0.9, zorder=1)
    looks = {
        "shuffled": (CHANCE, "shuffled blocks", 0.45),
        "attributed": (style.SERIES[0], "attribution", 0.8),
    }
    for column, (colour, name, opacity) in looks.items():
        axes.scatter(
            drawn[column],
            drawn["changed"],
            s=14,
            color=colour,
            alpha=opacity,
            linewidths=0,
            label=name,
            zorder=2,
        )
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_xlabel(f"attribution inside the rectangle, {unit}", fontsize=style.LABEL, parse_math=False)
    axes.set_ylabel(f"prediction lost without it, {unit}", fontsize=style.LABEL, parse_math=False)
    _beside(axes)
    return axes.figure.figure


@style.in_an_installed_font
def similarity_plot(table: pd.DataFrame) -> Figure:
    """Draw how like the original the explanation stays while layers are randomised, from the output on.

    Columns `step, layer, rank_correlation, absolute, ssim`: means over images, with the range of the images.
    """
    checked(table, ("step", "layer", "rank_correlation", "absolute", "ssim"), "similarity_plot")
    axes = sized(None, 6.6, 3.2).add_subplot()
    names = {
        "rank_correlation": "rank correlation",
        "absolute": "… of absolute values",
        "ssim": "structural similarity",
    }
    steps = table.groupby("step", sort=True)
    at = np.arange(len(steps) + 1)
    for (column, name), colour in zip(names.items(), style.SERIES, strict=False):
        mean, low, high = (
            np.concatenate([[1.0], getattr(steps[column], f)()]) for f in ("mean", "min", "max")
        )
        axes.plot(at, mean, color=colour, linewidth=1.7, marker="o", markersize=3.5, label=name)
        axes.fill_between(at, low, high, color=colour, alpha=0.14, linewidth=0)
    layers = ["none", *(_end_of(name) for name in steps["layer"].first())]
    axes.set_xticks(at, layers, rotation=30, ha="right", fontsize=style.NOTE, parse_math=False)
    axes.axhline(0, color=rcParams["text.color"], linewidth=0.8)
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.04)
    axes.set_xlabel("randomised from the output down to", fontsize=style.LABEL)
    axes.set_ylabel("similarity to the trained model's", fontsize=style.LABEL)
    _beside(axes)
    axes.tick_params(axis="x", labelsize=style.NOTE)
    return axes.figure.figure


@style.in_an_installed_font
def side_by_side(
    pictures: Float[ndarray, "images channels height width"],
    captions: Sequence[str],
    heatmaps: Mapping[str, Float[ndarray, "images height width"]],
) -> Figure:
    """Draw several heatmaps of each picture in a row, each on its own scale; of many the first, and some of the others.

    side_by_side(images, ["x = 0.1"], {"DeepSHAP": deep, "GradientSHAP": gradient})
    """
    first, *others = heatmaps.items()
    if len(others) > MOST_BESIDE:
        others = [others[round(at)] for at in np.linspace(0, len(others) - 1, MOST_BESIDE)]
    cell = max(1, round(pictures.shape[-1] / CELLS))
    rows = []
    for number, caption in enumerate(captions):
        heats = tuple(
            Heat(_scaled(values[number], cell), _end_of(name, LONGEST_LAYER + 0.4), float("nan"))
            for name, values in (first, *others)
        )
        rows.append(Row(_picture(pictures[number]), caption, {}, heats))
    look = Look(99.5, None, cell, "each over its 99.5th percentile", limit=1.0, kind=SIGNED)
    return draw_rows(rows, look, None)


def _scaled(heatmap: Array, cell: int) -> Array:
    """A heatmap over the 99.5th percentile of its cells, so that each can be seen whatever its size."""
    rows, columns = (np.arange(0, side, cell) for side in heatmap.shape)
    cells = np.abs(np.add.reduceat(np.add.reduceat(heatmap, rows, 0), columns, 1))
    size = float(np.percentile(cells, 99.5)) or float(cells.max(initial=0.0))
    return np.asarray(heatmap / size if size > 0 else heatmap)


def _picture(image: Array) -> Array:
    low, high = float(image.min()), float(image.max())
    shown = image if low >= 0 and high <= 1.001 else (image - low) / (high - low if high > low else 1.0)
    return shown[0].clip(0, 1) if len(shown) == 1 else np.moveaxis(shown[:3], 0, -1).clip(0, 1)


@style.in_an_installed_font
def agreement_plot(agreement: pd.DataFrame, regions: pd.DataFrame, unit: str) -> Figure:
    """Draw the rank correlation of every two methods, and attribution against exact Shapley values by region.

    Columns `first, second, rank_correlation` of the one, `image, output, attribution, exact` of the other table.
    """
    checked(agreement, ("first", "second", "rank_correlation"), "agreement_plot")
    checked(regions, ("image", "output", "attribution", "exact"), "agreement_plot")
    figure = sized(None, 8.6, 3.2)
    left, right = figure.subplots(1, 2)
    pairs = list(agreement.groupby(["first", "second"], sort=False))
    for height, (_, rows) in enumerate(pairs):
        values = rows["rank_correlation"].dropna().to_numpy(float)
        left.scatter(
            values, np.full(len(values), height), s=26, color=style.SERIES[0], alpha=0.7, linewidths=0
        )
        if len(values):
            left.plot(
                [np.median(values)] * 2, [height - 0.25, height + 0.25], color=style.RAISES, linewidth=2
            )
    names = [f"{one}\n{two}" for (one, two), _ in pairs]
    left.set_yticks(range(len(pairs)), names, fontsize=style.NOTE, parse_math=False)
    left.set(ylim=(len(pairs) - 0.5, -0.5), xlim=(min(-0.1, left.get_xlim()[0]), 1.02))
    left.axvline(0, color=rcParams["text.color"], linewidth=0.8)
    left.set_xlabel("rank correlation of blocks; the line is the median", fontsize=style.LABEL)
    style.tidy(left, grid="x")
    _exact_panel(right, of_first_output(regions), unit)
    return figure


def _exact_panel(axes: Axes, regions: pd.DataFrame, unit: str) -> None:
    for (_, rows), colour in zip(regions.groupby("image"), style.SERIES, strict=False):
        axes.scatter(rows["exact"], rows["attribution"], s=22, color=colour, alpha=0.8, linewidths=0)
    values = regions[["exact", "attribution"]].to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    axes.axline((low, low), slope=1, color=rcParams["text.color"], linewidth=0.8) if high > low else None
    axes.axhline(0, color=CHANCE, linewidth=0.6)
    axes.axvline(0, color=CHANCE, linewidth=0.6)
    axes.set_xlabel(f"exact Shapley value of a region, {unit}", fontsize=style.LABEL, parse_math=False)
    axes.set_ylabel("attribution inside it", fontsize=style.LABEL)
    axes.set_title("one colour for each image", fontsize=style.NOTE)
    style.tidy(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def of_first_output(table: pd.DataFrame) -> pd.DataFrame:
    """The first output's rows; all of them where images explain outputs of their own."""
    outputs = list(dict.fromkeys(table["output"]))
    is_shared = table.groupby("output")["image"].nunique().min() == table["image"].nunique()
    return table[table["output"] == outputs[0]] if is_shared else table


def _mean_curves(drawn: pd.DataFrame) -> pd.DataFrame:
    """Means over images at every step of the curves; an image has each curve once."""
    ordered = drawn.sort_values("share", kind="stable")
    step = ordered.groupby(["name", "curve", "image"], sort=False).cumcount().rename("step")
    keys = ["name", "curve", "step"]
    means = ordered.assign(step=step).groupby(keys, sort=False)[["share", "value"]].mean().reset_index()
    # In the order given, so that colours and dashes mean the same everywhere.
    parts: list[pd.DataFrame] = [means[means["name"] == name] for name in dict.fromkeys(drawn["name"])]
    return pd.concat(parts)


def _end_of(name: str, width: float = LONGEST_LAYER) -> str:
    """A layer's dotted name, its end where it is long: that is what tells layers apart."""
    if style.text_width(name, style.NOTE) <= width:
        return name
    kept = name
    while kept and style.text_width(f"…{kept}", style.NOTE) > width:
        kept = kept[1:]
    return f"…{kept}"


def _beside(axes: Axes) -> None:
    style.tidy(axes)
    legend = axes.legend(
        frameon=False, fontsize=style.LABEL, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0
    )
    style.literal(legend.get_texts())
