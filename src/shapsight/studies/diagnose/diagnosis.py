"""What a diagnosis came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shapsight.studies.diagnose.examined import Examined
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import Verdict
from shapsight.studies.shared.found import Found
from shapsight.studies.shared.settings import DiagnoseSettings


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Diagnosis(Found):
    """What a diagnosis came to: `.verdict`, `.facts`, `.tables`, `.figures`, `.parts`, `.report("why.html")`.

        found.verdict.level                     # "ok", "suspicious", "shortcut" or "unknown"
        found.facts.why.scene_share             # Estimate(value, low, high)
        found.tables["why.variants"]            # a DataFrame
        found.figures["look.heatmaps"]          # a PNG file

    Attributes
        verdict: the level, the sentences, why, and what to try.
        facts: all numbers that the verdict reads: of the errors, and of each part.
        parts: what each part found: `look`, `why`, `strategies`, `trust`.
        examined: the model, its errors, and the images that were looked at.
    """

    examined: Examined
    parts: Mapping[str, Findings]
    facts: DiagnosisFacts
    verdict: Verdict
    settings: DiagnoseSettings

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`errors`, `images` (those that were looked at), and the parts' tables as "PART.TABLE"."""
        of_parts = {
            f"{part}.{name}": t for part, found in self.parts.items() for name, t in found.tables.items()
        }
        return {"errors": self.examined.errors, "images": self.examined.case.rows, **of_parts}

    @property
    def figures(self) -> Mapping[str, Path]:
        """The parts' PNG files, as "PART.NAME"."""
        return {
            f"{part}.{path.stem.partition('_')[2]}": path
            for part in self.parts
            for path in sorted((self.folder / part).glob("*.png"))
        }
