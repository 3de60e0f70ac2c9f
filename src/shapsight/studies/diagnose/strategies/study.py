"""One strategy or several? The part of a diagnosis that groups images by how the model looks at them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.diagnosis.strategies import CELLS, Strategies, find_strategies, strategy_table
from shapsight.errors import DataError
from shapsight.studies.diagnose.case import Case, Fact, Findings, Report, silent
from shapsight.studies.diagnose.strategies.pictures import Member, strategies_plot, strategy_map

TYPICAL = 4
EXPLAINED = 0.5  # the share of a target's variance above which clusters may be its left and right


def strategies(
    case: Case, report: Report = silent, *, clusters: int | None = None, cells: int = CELLS
) -> Findings:
    """Group images by where their attribution lies, and name groups whose error jumps in unseen environments first.

        strategies(case).tables["strategies"]
        strategies(case, clusters=3)

    The first explained output, or each image's predicted class, is looked at; heatmaps are the absolute SHAP values of
    pixels, summed over channels before. What cannot be done (too few images,
    more clusters than images) is told in `left_out`.

    Tables: `strategies` (`strategy_table`, with `target_mean` for a regression) and `strategy_of_images` (`path,
    environment, split, strategy, error` and the map's `across` and `up`).

    Facts: `count` of strategies; of the first of them `first_share` of the images, `first_images`, `first_error`,
    `first_jump` (error in unseen environments over that in seen ones) and `first_environments`; `eigengap` after the
    last of them, relative, in [0, 1]; `by_target`, the share of the target's variance that strategies explain: near 1
    they may be one strategy that follows the target. None where unknown.
    """
    # A pixel's SHAP value is that of its channels together: what cancels between them is noise here.
    sizes = case.explanation.heatmap()[:, 0].abs().cpu()
    errors = error_per_image(case.rows, case.manifest)
    try:
        found = find_strategies(sizes, clusters=clusters, cells=cells, seed=case.seed)
    except DataError as error:
        report(1, 1)
        return Findings("strategies", {}, {"count": None}, (), {}, (f"Strategies are left out: {error}.",))
    is_seen = case.rows["environment"].isin(case.manifest.train_on).to_numpy(bool)
    table = strategy_table(found, case.rows, errors, is_seen, seed=case.seed)
    found = found.renumbered(table["strategy"].tolist())
    table["strategy"] = np.arange(1, len(table) + 1)
    if case.targets:
        target = case.rows[case.targets[0]].to_numpy(float)
        table["target_mean"] = [target[found.labels == number].mean() for number in table["strategy"]]
    facts = _facts(case, found, table)
    of_images = case.rows[["path", "environment", "split"]].assign(
        strategy=found.labels, error=errors, across=found.embedding[:, 0], up=found.embedding[:, 1]
    )
    report(1, 1)
    return Findings(
        "strategies",
        {"strategies": table, "strategy_of_images": of_images},
        facts,
        _sentences(case, table, facts),
        _pictures(case, found, table, np.asarray(sizes, dtype=float)),
        _left_out(found, is_seen),
    )


def _facts(case: Case, found: Strategies, table: pd.DataFrame) -> dict[str, Fact]:
    first = table.iloc[0]
    values = found.eigenvalues
    gap = None
    if 1 < found.count < len(values) and values[found.count] > 0:
        gap = float(1 - max(values[found.count - 1], 0) / values[found.count])
    return {
        "count": found.count,
        "first_share": float(first["share"]),
        "first_images": int(first["images"]),
        "first_error": float(first["error"]),
        "first_jump": None if np.isnan(first["jump"]) else float(first["jump"]),
        "first_environments": str(first["environments"]),
        "eigengap": gap,
        "by_target": _explained(case, found),
    }


def _explained(case: Case, found: Strategies) -> float | None:
    """The share of the first target's variance that lies between strategies."""
    if not case.targets or found.count < 2:
        return None
    known = found.labels > 0
    values, labels = case.rows[case.targets[0]].to_numpy(float)[known], found.labels[known]
    if values.var() == 0:
        return None
    means = pd.Series(values).groupby(labels).transform("mean").to_numpy()
    return float(means.var() / values.var())


def _sentences(case: Case, table: pd.DataFrame, facts: Mapping[str, Fact]) -> tuple[str, ...]:
    if facts["count"] == 1:
        return ("The heatmaps form one group: no second strategy stands out.",)
    first = table.iloc[0]
    jump = (
        ""
        if np.isnan(first["jump"])
        else f", {first['jump']:.2g} times as high in unseen environments as in seen"
    )
    said = [
        f"The heatmaps form {facts['count']} groups. The first holds {first['images']} images "
        f"({first['share']:.0%}; {first['environments']}); its error is {first['error']:.3g}{jump}."
    ]
    explained = facts["by_target"]
    if isinstance(explained, float) and explained > EXPLAINED:
        said.append(
            f"The groups part low from high {case.targets[0]} (they explain {explained:.0%} of its variance): they may "
            "be one strategy that follows the target."
        )
    return tuple(said)


def _pictures(
    case: Case, found: Strategies, table: pd.DataFrame, sizes: Float[ndarray, "images height width"]
) -> dict[str, Figure]:
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


def _left_out(found: Strategies, is_seen: ndarray) -> tuple[str, ...]:
    said = []
    unknown = int((found.labels == 0).sum())
    if unknown:
        said.append(f"{unknown} images have no attribution and belong to no strategy.")
    if is_seen.all() or not is_seen.any():
        which = "unseen" if is_seen.all() else "seen"
        said.append(f"No image of {which} environments was explained: no jump of the error is known.")
    return tuple(said)
