"""Charts of tests of explanations: what hiding changes, and how far methods and exact values agree."""

from __future__ import annotations

import altair as alt
import pandas as pd
from altair.typing import ChartType

from shapsight.drawing.charts.curves import curves
from shapsight.drawing.charts.intervals import LINE
from shapsight.drawing.charts.scatter import agreeing
from shapsight.drawing.charts.theme import (
    NAMES,
    PLOT,
    QUIET,
    by_name,
    colours_of,
    finished,
    in_lines,
    records,
    words,
)
from shapsight.drawing.style import RAISES, SERIES
from shapsight.drawing.tables import checked

SIDE = 200


def removal_plot(curves_of_images: pd.DataFrame, unit: str, note: str = "") -> ChartType:
    """Draw how far the prediction moves while blocks are hidden or shown by attribution, and in random order.

    Columns `image, output, order, curve, share, moved`; the mean over images. Images differ more from each other than
    orders do, so how sure the difference is, image by image, belongs into the note.
    """
    checked(curves_of_images, ("image", "output", "order", "curve", "share", "moved"), "removal_plot")
    by = "size" if "size" in set(curves_of_images["order"]) else "value"
    names = {by: "by attribution:", "random": "random order:"}
    drawn = of_first_output(curves_of_images)
    parts = [
        drawn[drawn["order"] == order].assign(value=drawn["moved"], name=name)
        for order, name in names.items()
    ]
    said = "fall of the probability" if "probability" in drawn else f"distance to the prediction, {unit}"
    whole = f"Insertion and deletion by attribution and in random order{note and f': {note}'}"
    return finished(curves(_mean_curves(pd.concat(parts)), said), whole)


def flipping_plot(curves_of_images: pd.DataFrame, unit: str) -> ChartType:
    """Draw the prediction while blocks are hidden, the most relevant first, the least relevant first, and at random.

    Columns `image, output, order, curve, share, prediction`; drawn is the change from the whole image's prediction.
    """
    checked(curves_of_images, ("image", "output", "order", "curve", "share", "prediction"), "flipping_plot")
    drawn = of_first_output(curves_of_images)
    whole = drawn[(drawn["curve"] == "deletion") & (drawn["share"] == 0) & (drawn["order"] == "value")]
    before = drawn["image"].map(whole.set_index("image")["prediction"])
    drawn = drawn.assign(value=drawn["prediction"] - before)
    most = drawn[(drawn["order"] == "value") & (drawn["curve"] == "deletion")]
    least = drawn[(drawn["order"] == "value") & (drawn["curve"] == "insertion")]
    chance = drawn[(drawn["order"] == "random") & (drawn["curve"] == "deletion")]
    kinds = {"most relevant first": most, "least relevant first": least.assign(share=1 - least["share"])}
    parts = [rows.assign(name=name, curve="") for name, rows in {**kinds, "random order": chance}.items()]
    means = _mean_curves(pd.concat(parts))
    return finished(
        curves(means, f"change of the prediction, {unit}", "pixels hidden, in blocks"),
        "Change of the prediction while blocks are hidden, the most or least relevant first, or at random",
    )


def hidden_effects_plot(hidden: pd.DataFrame, unit: str) -> ChartType:
    """Draw what hidden rectangles were attributed against what hiding them changed; on the diagonal both agree.

    Columns `image, output, attributed, shuffled, changed`. Grey: the same values at random places.
    """
    checked(hidden, ("image", "output", "attributed", "shuffled", "changed"), "hidden_effects_plot")
    drawn = of_first_output(hidden)
    names = {"shuffled": "shuffled blocks", "attributed": "attribution"}
    rows = drawn.melt("changed", list(names), "name", "attribution").replace({"name": names})
    titles = (f"attribution inside the rectangle, {unit}", f"prediction lost without it, {unit}")
    said = words("{}: {}, {}", rows["name"], rows["attribution"], rows["changed"])
    colour = by_name("name", {"shuffled blocks": QUIET, "attribution": SERIES[0]})
    points = agreeing(
        rows["attribution"], rows["changed"], titles, said, colour, side=SIDE, name=rows["name"]
    )
    return finished(points, "Attribution inside hidden rectangles against what hiding them changed")


def agreement_plot(agreement: pd.DataFrame, regions: pd.DataFrame, unit: str) -> ChartType:
    """Draw the rank correlation of every two methods, and attribution against exact Shapley values by region.

    Columns `first, second, rank_correlation` of the one, `image, output, attribution, exact` of the other table.
    """
    checked(agreement, ("first", "second", "rank_correlation"), "agreement_plot")
    checked(regions, ("image", "output", "attribution", "exact"), "agreement_plot")
    pairs = agreement["first"].astype(str) + " and " + agreement["second"].astype(str)
    names, values = list(dict.fromkeys(pairs)), agreement["rank_correlation"]
    said = words("{}: {}", pairs, values)
    x = alt.X("value:Q", title=in_lines("rank correlation of blocks; the line is the median"))
    axis = alt.Axis(labelLimit=NAMES, labelExpr="split(datum.label, ' and ')")
    base = alt.Chart(records(agreement, pair=pairs, value=values, said=said)).encode(
        x, alt.Y("pair:N", sort=names, title=None, axis=axis)
    )
    points = base.mark_point(size=50, color=SERIES[0], fillOpacity=0.7).encode(description="said:N")
    median = base.mark_tick(color=RAISES, thickness=2, size=20, aria=False).encode(x=alt.X("median(value):Q"))
    pairs_chart = alt.layer(points, median).properties(width=PLOT, height=(LINE + 10) * len(names))
    shown = of_first_output(regions)
    images = shown["image"].astype(str)
    colour = by_name("name", colours_of(images), legend=None)
    titles = (f"exact Shapley value of a region, {unit}", "attribution inside it")
    said = words("image {}: {}, {}", images, shown["exact"], shown["attribution"])
    exact = agreeing(shown["exact"], shown["attribution"], titles, said, colour, side=SIDE, name=images)
    both = alt.vconcat(pairs_chart, exact).resolve_scale(color="independent")
    return finished(
        both, "Rank correlation of every two methods; regions' attribution against their exact values"
    )


def _mean_curves(drawn: pd.DataFrame) -> pd.DataFrame:
    """Means over images at every step of the curves; an image has each curve once."""
    ordered = drawn.sort_values("share", kind="stable")
    step = ordered.groupby(["name", "curve", "image"], sort=False).cumcount().rename("step")
    keys = ["name", "curve", "step"]
    means = ordered.assign(step=step).groupby(keys, sort=False)[["share", "value"]].mean().reset_index()
    # In the order given, so that colours and dashes mean the same everywhere.
    return means.sort_values(
        "name", key=lambda names: names.map(list(dict.fromkeys(drawn["name"])).index), kind="stable"
    )


def of_first_output(table: pd.DataFrame) -> pd.DataFrame:
    """The first output's rows; all of them where images explain outputs of their own."""
    outputs = list(dict.fromkeys(table["output"]))
    is_shared = table.groupby("output")["image"].nunique().min() == table["image"].nunique()
    return table[table["output"] == outputs[0]] if is_shared else table
