"""How the page shows where the model looks."""

from __future__ import annotations

from shapsight.report.page import Column
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.diagnose.look.study import look
from shapsight.studies.diagnose.part import Part, Shown
from shapsight.studies.shared.contributions import AGREEMENT

TABLES = (
    Shown(
        "contributions_by_place",
        "What scene and region contribute, at home (held-out images of the environments that were trained on) and "
        "elsewhere",
        (
            Column("environment", "place"),
            Column("output"),
            Column("part"),
            Column("measure"),
            Column("images", format="d"),
            Column("value", "value", ".3g", low="low", high="high"),
        ),
    ),
    Shown(
        "agreement_with_exact",
        "Sums of the attributions beside exact Shapley values of scene and region in the same images",
        AGREEMENT,
    ),
    Shown(
        "places",
        "Where it lies, at home (held-out images of the environments that were trained on) and elsewhere",
        (
            Column("environment", "place"),
            Column("output"),
            Column("measure"),
            Column("images", format="d"),
            Column("value", "value", ".2f", low="low", high="high"),
            Column("chance", "chance", ".2f"),
            Column("randomised", "random weights", ".2f"),
        ),
    ),
    Shown(
        "objects",
        "Attribution on kinds of objects",
        (
            Column("environment"),
            Column("output"),
            Column("category", "object"),
            Column("images", format="d"),
            Column("share", "share", ".1%", low="low", high="high"),
            Column("chance", "chance", ".1%"),
        ),
    ),
)
LOOK = Part("look", "Where does it look?", look, LookFacts, TABLES)
