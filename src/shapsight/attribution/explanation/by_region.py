"""The regions of an image by what they contribute, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shapsight.attribution.explanation.detail import regions_of

if TYPE_CHECKING:
    import pandas as pd

    from shapsight.attribution.explanation.explanation import Explanation


def regions_table(explanation: Explanation, image: int, output: int | str) -> pd.DataFrame:
    """See `Explanation.regions_table`."""
    import pandas as pd

    one = explanation.select(image, output)
    labels = regions_of(one)[0].cpu().numpy()
    heatmap = one.heatmap()[0, 0].detach().double().cpu().numpy()
    heatmap = np.where(np.isfinite(heatmap), heatmap, np.nan)
    *slices, rows, columns = np.indices(labels.shape)
    cells = pd.DataFrame(
        {"region": labels.ravel(), "value": heatmap.ravel(), "row": rows.ravel(), "column": columns.ravel()}
    )
    deep = {}
    if slices:
        cells["slice"] = slices[0].ravel()
        deep = {"front": ("slice", "min"), "back": ("slice", "max"), "z": ("slice", "mean")}
    table = cells.groupby("region").agg(
        value=("value", lambda values: values.sum(min_count=1)),
        pixels=("value", "size"),
        left=("column", "min"),
        top=("row", "min"),
        right=("column", "max"),
        bottom=("row", "max"),
        x=("column", "mean"),
        y=("row", "mean"),
        **deep,
    )
    sizes = table["value"].abs()
    table.insert(1, "share", sizes / (sizes.sum() or 1.0))
    return table.reset_index().sort_values(
        "value", key=lambda values: values.abs(), ascending=False, ignore_index=True, kind="stable"
    )
