"""All held-out images of a store, of which a diagnosis looks at some closely: read some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from jaxtyping import Bool
from numpy import ndarray

from shapsight.attribution.explanation import Explanation
from shapsight.data.roi import Roi
from shapsight.studies.shared.material import region_masks
from shapsight.studies.shared.option import roi_text
from shapsight.studies.shared.recorded import Recorded


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images: their rows, explanation and regions of interest, as in a `Case`."""

    rows: pd.DataFrame
    explanation: Explanation
    masks: Bool[ndarray, "rows height width"] | None


@dataclass(frozen=True, eq=False)
class Whole:
    """The images of a store that a diagnosis is about.

    Attributes
        rows: those that were not trained on, as the case's are chosen from.
        targets: as of the case. roi: where the regions of interest are from.
    """

    recorded: Recorded
    rows: pd.DataFrame
    targets: tuple[str, ...]
    roi: Roi | None

    @property
    def has_sums(self) -> bool:
        """Whether the store keeps the sums over this very region of interest."""
        return self.roi is not None and self.recorded.roi == roi_text(self.roi.spec)

    def batches(self) -> Iterator[Batch]:
        """All of them, so that memory stays flat; none of a light store, which has no values of pixels."""
        if self.recorded.is_light:
            return
        framing = self.recorded.subject.bundle.seen
        for rows, explanation in self.recorded.batches(self.rows, self.targets):
            yield Batch(
                rows, explanation, None if self.roi is None else region_masks(self.roi, rows, framing)
            )
