"""How the page shows the strategies."""

from __future__ import annotations

from shapsight.report.page import Column
from shapsight.studies.diagnose.part import Part, Shown
from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.strategies.study import strategies

TABLES = (
    Shown(
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
STRATEGIES = Part("strategies", "One strategy or several?", strategies, StrategyFacts, TABLES)
