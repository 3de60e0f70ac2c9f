"""Which pictures show the strategies."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.diagnosis.strategies import Strategies
from shapsight.drawing.strategies import Member, strategies_plot, strategy_map
from shapsight.studies.diagnose.case import Case

TYPICAL = 4


def pictures(
    case: Case, found: Strategies, table: pd.DataFrame, sizes: Float[ndarray, "images height width"]
) -> dict[str, Figure]:
    """The part's pictures by title: strategies with typical images, and the map of heatmaps."""
    rows = []
    for entry in table.to_dict("records"):
        members = np.flatnonzero(found.labels == entry["strategy"])
        total = sizes[members].sum((1, 2), keepdims=True)
        middle = Member(
            np.asarray(case.images[members].float().mean(0) / 255, dtype=float),
            (sizes[members] / total).mean(0),
            "mean",
        )
        typical = [_member(case, sizes, image) for image in found.typical(entry["strategy"], TYPICAL)]
        jump = "" if np.isnan(entry["jump"]) else f", unseen over seen {entry['jump']:.2g}"
        said = (
            f"strategy {entry['strategy']}: {entry['images']} images ({entry['environments']}), error "
            f"{entry['error']:.2g}{jump}"
        )
        rows.append((said, [middle, *typical]))
    environments = case.rows["environment"].tolist()
    drawn = strategy_map(found.embedding, found.labels, environments, found.eigenvalues)
    return {"Strategies, with typical images": strategies_plot(rows), "Which heatmaps are alike": drawn}


def _member(case: Case, sizes: Float[ndarray, "images height width"], image: int) -> Member:
    row = case.rows.iloc[image]
    name = case.targets[0] if case.targets else "label"
    value = row[name]
    said = f"{value:.2f}".replace("-", "−") if case.targets else str(value)
    said = f"{row['environment']}, {name} {said}"
    return Member(np.asarray(case.images[image].float() / 255, dtype=float), sizes[image], said)
