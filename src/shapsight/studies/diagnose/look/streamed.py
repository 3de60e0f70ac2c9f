"""Where a model looks in all images of a store: measured batch by batch, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.detail import SMALL
from shapsight.diagnosis.contributions import contributions_per_environment
from shapsight.diagnosis.relevance_measures import measures_per_image
from shapsight.studies.diagnose.whole import Whole
from shapsight.studies.shared.contributions import EXACT, Contributions, as_array
from shapsight.studies.shared.recorded import summed

SHARED = ["path", "output", "part"]


@dataclass
class Mean:
    """The mean of the heatmaps and pictures of a place, and how far heatmaps spread; grows image by image."""

    images: int = 0
    _sizes: Float[ndarray, "height width"] | float = 0.0
    _squares: Float[ndarray, "height width"] | float = 0.0
    _pictures: Float[ndarray, "3 height width"] | float = 0.0
    _regions: Float[ndarray, "height width"] | float | None = 0.0

    def add(
        self,
        size: Float[ndarray, "height width"],
        picture: Float[ndarray, "3 height width"],
        region: Bool[ndarray, "height width"] | None,
    ) -> None:
        """Count one more image."""
        self.images += 1
        self._sizes = self._sizes + size
        self._squares = self._squares + size**2
        self._pictures = self._pictures + picture
        self._regions = None if region is None or self._regions is None else self._regions + region

    @property
    def heat(self) -> Float[ndarray, "height width"]:
        """The mean heatmap."""
        return np.asarray(self._sizes / self.images)

    @property
    def spread(self) -> Float[ndarray, "height width"]:
        """The standard deviation of the heatmaps."""
        return np.asarray(np.sqrt((self._squares / self.images - self.heat**2).clip(min=0)))

    @property
    def picture(self) -> Tensor:
        """The mean picture, in the numbers that were given."""
        return torch.from_numpy(np.asarray(self._pictures / self.images))

    @property
    def outline(self) -> Bool[ndarray, "height width"] | None:
        """Where the region of interest is in half of the images or more."""
        return None if self._regions is None else np.asarray(self._regions / self.images >= 0.5)


@dataclass
class Atlas:
    """The mean of each environment, of some of them."""

    places: tuple[str, ...]
    means: dict[str, Mean] = field(default_factory=dict)

    def add(
        self,
        rows: pd.DataFrame,
        explanation: Explanation,
        images: Tensor,
        masks: Bool[ndarray, "rows height width"] | None,
    ) -> None:
        """Count some images; `images` from 0 to 1."""
        sizes = sizes_of(explanation)
        for at, environment in enumerate(rows["environment"]):
            if environment in self.places:
                region = None if masks is None else masks[at]
                picture = as_array(images[at])
                self.means.setdefault(environment, Mean()).add(as_array(sizes[at]), picture, region)


@dataclass(frozen=True, eq=False)
class Streamed:
    """What the values of a store say: `measures_per_image`, the atlas, and the sums over scene and region."""

    per_image: pd.DataFrame
    atlas: Atlas
    sums: pd.DataFrame | None


def sizes_of(explanation: Explanation) -> Float[Tensor, "images height width"]:
    """Sizes of the first output's values; single pixels are mostly noise that cancels, unless images are small."""
    is_small = max(explanation.images.shape[2:]) <= SMALL
    return explanation.heatmap(detail="pixels" if is_small else "smooth")[:, 0].abs()


def streamed(whole: Whole, places: tuple[str, ...], report: Callable[[int], None]) -> Streamed | None:
    """Read all images of a store once; None of a light one."""
    measured, sums, atlas, done = [], [], Atlas(places), 0
    for batch in whole.batches():
        measured.append(measures_per_image(batch.explanation, batch.rows, batch.masks))
        atlas.add(batch.rows, batch.explanation, batch.explanation.images, batch.masks)
        if batch.masks is not None and not whole.has_sums:
            values = as_array(batch.explanation.parts(torch.from_numpy(batch.masks).long()).values)
            sums.append(summed(values, as_array(batch.explanation.base_values), batch.rows, whole.targets))
        done += len(batch.rows)
        report(done)
    if not measured:
        return None
    known = [table for table in sums if table is not None]
    return Streamed(
        pd.concat(measured, ignore_index=True), atlas, pd.concat(known, ignore_index=True) if known else None
    )


def with_all(found: Contributions, sums: pd.DataFrame | None, *, seed: int) -> Contributions:
    """Contributions of a few images and of all, of which sums are known: told of all where they are quoted.

    What sums alone do not tell, such as whether a class is known by its scene, stays that of the few.
    """
    agreed = found.agreement.loc[found.agreement["quoted"] != EXACT, "output"]
    many = None if sums is None else sums[sums["output"].isin(agreed)]
    if many is None or many.empty:
        return found
    few = found.per_image
    beside = many.merge(few[[*SHARED, "sums", "exact"]], on=SHARED, how="left")
    rest = few[~few["output"].isin(many["output"])]
    measures = beside_few(contributions_per_environment(many, seed=seed), found.measures)
    return replace(found, per_image=pd.concat([beside, rest], ignore_index=True), measures=measures)


def beside_few(many: pd.DataFrame, few: pd.DataFrame) -> pd.DataFrame:
    """Measures of many images, and those of a few that the many do not have."""
    known = set(zip(many["output"], many["measure"], strict=True))
    lacks = [pair not in known for pair in zip(few["output"], few["measure"], strict=True)]
    return pd.concat([many, few[lacks]], ignore_index=True)
