"""What every part of a diagnosis is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.whole import Whole

Report = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """A report of progress that nobody reads."""


@dataclass(frozen=True, eq=False)
class Case:
    """All that a part of the diagnosis looks at: a model, some images, where the region of interest is, and DeepSHAP.

        case = Case(bundle, manifest, rows, images, masks, explanation, targets=("x",))
        case.predict(case.images)                   # (rows, outputs)
        look(case), why(case), strategies(case), trust(case)

    Attributes
        rows: those of `predict_table` that are diagnosed; the index is the row of `manifest.table`.
        images: of these rows, in this order.
        masks: the region of interest in each, or None.
        explanation: DeepSHAP of the rows, in this order: of `targets`, or of each image's predicted class.
        targets: the explained targets of a regression; empty for classes.
        objects: masks of each category, where the annotations name several.
        whole: a store with explanations of many more images, of which the rows are some.

    Raises `DataError` where these do not have the same number of images or their masks another size.
    """

    bundle: Bundle
    manifest: Manifest
    rows: pd.DataFrame
    images: UInt8[Tensor, "rows 3 size size"]
    masks: Bool[ndarray, "rows size size"] | None
    explanation: Explanation
    targets: tuple[str, ...]
    objects: Mapping[str, Bool[ndarray, "rows size size"]] = field(default_factory=dict)
    seed: int = 0
    whole: Whole | None = None

    def __post_init__(self) -> None:
        counts = {"images": len(self.images), "explained images": len(self.explanation)}
        for name, count in counts.items():
            if count != len(self.rows):
                raise DataError(f"a diagnosis of {len(self.rows)} rows was given {count} {name}")
        wanted = (len(self.rows), *self.images.shape[2:])
        regions = {"the region of interest": self.masks, **self.objects}
        for name, masks in regions.items():
            if masks is not None and masks.shape != wanted:
                raise DataError(f"the masks of {name} have shape {masks.shape}, the images need {wanted}")

    def predict(
        self, images: UInt8[Tensor, "any 3 size size"], batch_size: int = 64
    ) -> Float[ndarray, "any outputs"]:
        """What the model says, made in batches: in the targets' units, or probabilities of the classes."""
        outputs = self.bundle.predict(images, batch_size).double()
        return np.asarray(self.bundle.probabilities(outputs) if self.bundle.card.class_names else outputs)
