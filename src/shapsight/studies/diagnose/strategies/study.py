"""One strategy or several? The part of a diagnosis that groups images by how the model looks at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.diagnosis.strategies import CELLS, Strategies, find_strategies, strategy_table
from shapsight.drawing.charts.strategies import strategy_map
from shapsight.drawing.viewer import Map, Shown, channels_last
from shapsight.errors import DataError
from shapsight.report.page import Column, Picture
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Findings, Part, ShownTable
from shapsight.studies.diagnose.strategies.facts import StrategyFacts, facts_of
from shapsight.studies.shared.words import times

EXPLAINED = 0.5  # the share of a target's variance above which clusters may be its left and right
TYPICAL = 4


def strategies(
    case: Case, report: Report = silent, *, clusters: int | None = None, cells: int = CELLS
) -> Findings:
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
        sentences(facts, case.targets[0] if case.targets else "label"),
        pictures(case, found, table, np.asarray(sizes, dtype=float)),
        _left_out(int((found.labels == 0).sum()), int(is_seen.sum()), int((~is_seen).sum())),
    )


def sentences(facts: StrategyFacts, target: str) -> tuple[str, ...]:
    """How many groups there are, the one to look at first, and whether they are only low and high targets."""
    if facts.count == 1:
        return ("The heatmaps form one group: no second strategy stands out.",)
    jump = ""
    if facts.first_jump is not None:
        jump = f", {times(facts.first_jump)} in unseen environments as in seen"
    said = [
        f"The heatmaps form {facts.count} groups. The first holds {facts.first_images} images "
        f"({facts.first_share:.0%}; {facts.first_environments}); its error is {facts.first_error:.3g}{jump}."
    ]
    if facts.by_target is not None and facts.by_target > EXPLAINED:
        said.append(
            f"The groups part low from high {target} (they explain {facts.by_target:.0%} of its variance): they may be "
            "one strategy that follows the target."
        )
    return tuple(said)


def lead(facts: StrategyFacts) -> str:
    """How many ways of looking there are."""
    if facts.count is None:
        return "This could not be told."
    if facts.count < 2 or facts.first_share is None:
        return "The model looks at all images in much the same way."
    return (
        f"It looks at its images in {facts.count} ways; the first is that of {facts.first_share:.0%} of them."
    )


def _left_out(without_attribution: int, seen: int, unseen: int) -> tuple[str, ...]:
    """What could not be told, from how many images have no attribution and how many are of either kind of place."""
    said = []
    if without_attribution:
        said.append(f"{without_attribution} images have no attribution and belong to no strategy.")
    if not seen or not unseen:
        which = "seen" if unseen else "unseen"
        said.append(f"No image of {which} environments was explained: no jump of the error is known.")
    return tuple(said)


def pictures(
    case: Case, found: Strategies, table: pd.DataFrame, sizes: Float[ndarray, "images height width"]
) -> tuple[Picture, ...]:
    """Strategies with typical images, and the map of heatmaps."""
    title, images = "Strategies, with typical images", []
    for entry in table.to_dict("records"):
        members = np.flatnonzero(found.labels == entry["strategy"])
        share = sizes[members] / sizes[members].sum((1, 2), keepdims=True)
        jump = "" if np.isnan(entry["jump"]) else f", unseen over seen {entry['jump']:.2g}"
        said = f"{entry['images']} images ({entry['environments']}), error {entry['error']:.2g}{jump}"
        mean = case.images[members].float().mean(0) / 255
        images.append(_shown(entry["strategy"], "mean", said, mean, share.mean(0)))
        for image in found.typical(entry["strategy"], TYPICAL):
            images.append(
                _shown(
                    entry["strategy"], f"image {image}", _said(case, image), case.images[image], sizes[image]
                )
            )
    environments = case.rows["environment"].tolist()
    drawn = strategy_map(
        found.embedding,
        found.labels,
        environments,
        found.eigenvalues,
        case.rows["path"],
        list(case.rows["path"]),
    )
    return (
        Picture(images, title, f"{title}; the first of each row is the mean."),
        Picture(drawn, "Which heatmaps are alike", "Points that lie together have heatmaps that are alike."),
    )


def _shown(strategy: int, name: str, said: str, picture: Any, sizes: Float[ndarray, "height width"]) -> Shown:
    return Shown(
        f"strategy {strategy}, {name}: {said}",
        channels_last(picture),
        [Map("size of the attribution", sizes)],
        details=("smooth", "pixels"),
        caption=f"strategy {strategy}{', mean' if name == 'mean' else ''}: {said}",
        group=f"strategy {strategy}",
        key=f"strategy {strategy}|{name}",
    )


def _said(case: Case, image: int) -> str:
    row = case.rows.iloc[image]
    name = case.targets[0] if case.targets else "label"
    value = f"{row[name]:.2f}".replace("-", "−") if case.targets else str(row[name])
    return f"{row['environment']}, {name} {value}"


TABLES = (
    ShownTable(
        "strategies",
        "Groups of heatmaps, the one whose error jumps most in unseen environments first",
        (
            Column("strategy", format="d"),
            Column("images", format="d"),
            Column("share", "of all", ".0%"),
            Column("environments"),
            Column("error", "error", ".3g", low="error_low", high="error_high"),
            Column("seen_error", "seen", ".3g"),
            Column("unseen_error", "unseen", ".3g"),
            Column("jump", "jump", ".2g"),
        ),
    ),
)
STRATEGIES = Part("strategies", "One strategy or several?", strategies, StrategyFacts, lead, TABLES)
