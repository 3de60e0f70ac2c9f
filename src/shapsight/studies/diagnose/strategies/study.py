"""One strategy or several? The part of a diagnosis that groups images by how the model looks at them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.diagnosis.strategies import CELLS, find_strategies, strategy_table
from shapsight.errors import DataError
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.strategies import words
from shapsight.studies.diagnose.strategies.facts import StrategyFacts, facts_of
from shapsight.studies.diagnose.strategies.pictures import pictures


def strategies(
    case: Case, report: Report = silent, *, clusters: int | None = None, cells: int = CELLS
) -> Findings[Figure]:
    """Group images by where their attribution lies, and name groups whose error jumps in unseen environments first.

        strategies(case).tables["strategies"]
        strategies(case, clusters=3)

    The first explained output, or each image's predicted class, is looked at; heatmaps are the absolute SHAP values of
    pixels, summed over channels before. What cannot be done (too few images, more clusters than images) is told in
    `left_out`.

    Tables: `strategies` (`strategy_table`, with `target_mean` for a regression) and `strategy_of_images` (`path,
    environment, split, strategy, error` and the map's `across` and `up`). Facts: `StrategyFacts`.
    """
    # A pixel's SHAP value is that of its channels together: what cancels between them is noise here.
    sizes = case.explanation.heatmap()[:, 0].abs().cpu()
    errors = error_per_image(case.rows, case.manifest)
    try:
        found = find_strategies(sizes, clusters=clusters, cells=cells, seed=case.seed)
    except DataError as error:
        report(1, 1)
        left_out = (f"Strategies are left out: {error}.",)
        return Findings("strategies", {}, StrategyFacts(), left_out=left_out)
    is_seen = case.rows["environment"].isin(case.manifest.train_on).to_numpy(bool)
    table = strategy_table(found, case.rows, errors, is_seen, seed=case.seed)
    found = found.renumbered(table["strategy"].tolist())
    table["strategy"] = np.arange(1, len(table) + 1)
    target = case.rows[case.targets[0]].to_numpy(float) if case.targets else None
    if target is not None:
        table["target_mean"] = [target[found.labels == number].mean() for number in table["strategy"]]
    of_images = case.rows[["path", "environment", "split"]].assign(
        strategy=found.labels, error=errors, across=found.embedding[:, 0], up=found.embedding[:, 1]
    )
    facts = facts_of(found, table, target)
    report(1, 1)
    return Findings(
        "strategies",
        {"strategies": table, "strategy_of_images": of_images},
        facts,
        words.sentences(facts, case.targets[0] if case.targets else "label"),
        pictures(case, found, table, np.asarray(sizes, dtype=float)),
        words.left_out(int((found.labels == 0).sum()), int(is_seen.sum()), int((~is_seen).sum())),
    )
