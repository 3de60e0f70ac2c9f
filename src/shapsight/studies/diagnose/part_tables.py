"""Which tables of each part are shown on the page, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from shapsight.report.page import Column
from shapsight.studies.shared.contributions import AGREEMENT

MOST = 24  # rows: more are read in the file


@dataclass(frozen=True)
class Shown:
    """A table of a part: its name, what stands over it, its columns, and which rows are shown.

    Attributes
        only: column -> the values that are shown, where not all are.
    """

    name: str
    caption: str
    columns: Sequence[Column] = ()
    only: Mapping[str, Sequence[object]] | None = None

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows that are shown."""
        for column, values in (self.only or {}).items():
            if column in table:
                table = table[table[column].isin(list(values))]
        shown = table.head(MOST)
        return shown.assign(measure=shown["measure"].str.replace("_", " ")) if "measure" in shown else shown

    def present(self, table: pd.DataFrame) -> Sequence[Column]:
        """The columns that the table has."""
        return [
            column
            for column in self.columns
            if column.name in table and (not column.low or column.low in table)
        ]


COLUMNS: Mapping[str, Sequence[Shown]] = {
    "look": (
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
    ),
    "why": (
        Shown(
            "variants",
            "What each change of the picture did, over all images that were changed",
            (
                Column("variant"),
                Column("target"),
                Column("images", format="d"),
                Column("change", "moves by", ".3f", low="change_low", high="change_high"),
                Column("flips", "turns", ".0%", low="flips_low", high="flips_high"),
                Column("error", "error", ".3g", low="error_low", high="error_high"),
            ),
            {"environment": ("all",)},
        ),
        Shown(
            "crossed",
            "Shares of the prediction's variance over a crossed design of regions and scenes",
            (
                Column("environment"),
                Column("target"),
                Column("images", format="d"),
                Column("scene", "scene (Shapley)", ".1%", low="scene_low", high="scene_high"),
                Column("region", "region (Shapley)", ".1%"),
                Column("scene_alone", "scene alone", ".1%"),
                Column("region_alone", "region alone", ".1%"),
                Column("together", "only both", ".1%"),
            ),
        ),
        Shown(
            "patches",
            "Patches of the scene, the most important first",
            (
                Column("rank", format="d"),
                Column("place"),
                Column("value", "mean |RegionSHAP|", ".3g"),
                Column("share", "of the scene's", ".0%"),
            ),
            {"environment": ("all",), "rank": (1, 2, 3, 4, 5)},
        ),
    ),
}
