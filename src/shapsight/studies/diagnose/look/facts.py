"""Where a model looks, as numbers: at home, where it was trained, and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from shapsight.diagnosis.contributions import PARTS
from shapsight.diagnosis.estimate import NOT_MEASURED, UNKNOWN, Estimate
from shapsight.studies.diagnose.look.tables import ELSEWHERE, HOME, LookTables, is_home
from shapsight.studies.shared.contributions import estimate_of
from shapsight.studies.shared.facts import Fact, Facts

# fact -> measure, of `diagnosis.contributions` for each part, and of `diagnosis.relevance_measures`.
CONTRIBUTED = {name: name for name in ("size", "share", "knows", "pull")} | {"variance": "variance_share"}
RELEVANCE = {name: name for name in ("rank_accuracy", "entropy", "area")}
RELEVANCE |= {"inside": "mass_accuracy", "pointing": "pointing_game"}
PLACED = re.compile(rf"(.+)_({HOME}|{ELSEWHERE})(_low|_high|_reason|_chance|_randomised|_shuffled|)")
ENDING = re.compile(r"(_low|_high|_reason|_chance|_randomised|_shuffled|)$")


@dataclass(frozen=True)
class PlaceFacts(Facts):
    """Of the first explained target or the predicted class, in one kind of place; shares in [0, 1].

    Attributes
        images: how many there are.
        scene_size, scene_share, scene_variance, scene_knows, scene_pull, and of the region: the measures of
            `diagnosis.contributions`.
        inside: relevance mass accuracy; rank_accuracy; pointing; entropy; area: the share of pixels that carry 90 %.
            Each with `_chance`, of an even heatmap, and `_randomised`, of random copies of the model.
        same_place: how far the attribution of low, middle and high targets overlaps (1: it does not move);
            same_place_shuffled: with shuffled targets; does_move: whether it is lower than 95 % of those.
        still, still_chance: the share of attribution on the quarter of pixels that vary least.
    """

    images: int = 0
    scene_size: Estimate = NOT_MEASURED
    scene_share: Estimate = NOT_MEASURED
    scene_variance: Estimate = NOT_MEASURED
    scene_knows: Estimate = NOT_MEASURED
    scene_pull: Estimate = NOT_MEASURED
    region_size: Estimate = NOT_MEASURED
    region_share: Estimate = NOT_MEASURED
    region_variance: Estimate = NOT_MEASURED
    region_knows: Estimate = NOT_MEASURED
    region_pull: Estimate = NOT_MEASURED
    inside: Estimate = NOT_MEASURED
    inside_chance: float = UNKNOWN
    inside_randomised: float = UNKNOWN
    rank_accuracy: Estimate = NOT_MEASURED
    rank_accuracy_chance: float = UNKNOWN
    rank_accuracy_randomised: float = UNKNOWN
    pointing: Estimate = NOT_MEASURED
    pointing_chance: float = UNKNOWN
    pointing_randomised: float = UNKNOWN
    entropy: Estimate = NOT_MEASURED
    entropy_chance: float = UNKNOWN
    entropy_randomised: float = UNKNOWN
    area: Estimate = NOT_MEASURED
    area_chance: float = UNKNOWN
    area_randomised: float = UNKNOWN
    same_place: float = UNKNOWN
    same_place_shuffled: float = UNKNOWN
    does_move: bool | None = None
    still: float = UNKNOWN
    still_chance: float = UNKNOWN


@dataclass(frozen=True)
class LookFacts(Facts):
    """What a model looks at; in JSON a fact of a place has the place in its name, such as `scene_share_home_low`.

    Attributes
        output: what is explained; has_region, is_classes: what is known of it.
        home, elsewhere: held-out images of environments that were trained on, and images of all others.
        contributions_from: "DeepSHAP" or "exact Shapley values": what is quoted. exact_correlation_scene,
            exact_correlation_region, exact_difference (in the output's unit), exact_relative: how the two agree.
        object, object_share, object_chance: the category with most attribution, its share and its area.
    """

    output: str = ""
    has_region: bool = False
    is_classes: bool = False
    home: PlaceFacts = field(default_factory=PlaceFacts)
    elsewhere: PlaceFacts = field(default_factory=PlaceFacts)
    contributions_from: str | None = None
    exact_correlation_scene: float = UNKNOWN
    exact_correlation_region: float = UNKNOWN
    exact_difference: float = UNKNOWN
    exact_relative: float = UNKNOWN
    object: str | None = None
    object_share: float = UNKNOWN
    object_chance: float = UNKNOWN

    def to_json(self) -> dict[str, Fact]:
        """With the facts of both places among the others."""
        flat = {name: fact for name, fact in super().to_json().items() if name not in (HOME, ELSEWHERE)}
        for place, facts in ((HOME, self.home), (ELSEWHERE, self.elsewhere)):
            flat |= {ENDING.sub(rf"_{place}\1", name, 1): fact for name, fact in facts.to_json().items()}
        return flat

    @classmethod
    def from_json(cls, flat: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        placed: dict[str, dict[str, Any]] = {HOME: {}, ELSEWHERE: {}}
        others: dict[str, Any] = {}
        for name, fact in flat.items():
            if found := PLACED.fullmatch(name):
                placed[found[2]][found[1] + found[3]] = fact
            else:
                others[name] = fact
        return super().from_json(others | {place: PlaceFacts.from_json(of) for place, of in placed.items()})


def facts_of(tables: LookTables, *, has_region: bool, is_classes: bool) -> LookFacts:
    """The facts of the first explained target, or of the predicted class."""
    facts: dict[str, Any] = {}
    if tables.contributions is not None:
        agreement = tables.contributions.agreement
        row = agreement[agreement["output"] == tables.output].iloc[0]
        facts["contributions_from"] = str(row["quoted"])
        names = ("correlation_scene", "correlation_region", "difference", "relative")
        facts |= {f"exact_{name}": float(row[name]) for name in names}
    if tables.objects is not None and not tables.objects.empty:
        table = tables.objects[tables.objects["output"] == tables.output]
        unseen = table[table["split"] == "unseen"]
        means = (unseen if len(unseen) else table).groupby("category")[["share", "chance"]].mean()
        most = means.sort_values("share").iloc[-1]
        facts |= {"object": str(most.name), "object_share": most["share"], "object_chance": most["chance"]}
    return LookFacts(
        tables.output,
        has_region,
        is_classes,
        _of_place(tables, HOME),
        _of_place(tables, ELSEWHERE),
        **facts,
    )


def _of_place(tables: LookTables, place: str) -> PlaceFacts:
    at_home = is_home(tables.rows, tables.trained_on)
    facts: dict[str, Any] = {"images": int((at_home == (place == HOME)).sum())}
    mine = tables.places[(tables.places["output"] == tables.output) & (tables.places["environment"] == place)]
    rows = {row["measure"]: row for row in mine.to_dict("records")}
    for name, measure in RELEVANCE.items():
        if row := rows.get(measure):
            facts[name] = Estimate(row["value"], row["low"], row["high"])
            facts |= {f"{name}_{beside}": row[beside] for beside in ("chance", "randomised")}
    if tables.contributed is not None:
        for part in PARTS:
            for name, measure in CONTRIBUTED.items():
                facts[f"{part}_{name}"] = estimate_of(
                    tables.contributed, tables.output, measure, part=part, environment=place
                )
    return PlaceFacts(**facts, **_of_fixed_places(tables, place))


def _of_fixed_places(tables: LookTables, place: str) -> dict[str, Any]:
    """Means over the environments of a place, weighted by their images."""
    fixed = tables.fixed
    rows = fixed[(fixed["environment"] != "all") & (is_home(fixed, tables.trained_on) == (place == HOME))]
    moves = rows["does_move"].dropna()
    return {
        "same_place": _weighted(rows, "same_place"),
        "same_place_shuffled": _weighted(rows, "shuffled"),
        "does_move": bool(moves.astype(bool).any()) if len(moves) else None,
        "still": _weighted(rows, "still"),
        "still_chance": _weighted(rows, "still_chance"),
    }


def _weighted(rows: pd.DataFrame, column: str) -> float:
    known = rows.dropna(subset=column)
    if known.empty:
        return UNKNOWN
    return float(np.average(known[column].to_numpy(float), weights=known["images"].to_numpy(float)))
