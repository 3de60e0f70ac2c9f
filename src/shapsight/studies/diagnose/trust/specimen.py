"""What the tests of explanations are made on, how much is measured, and what a measure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.faithfulness.affordable import GRIDS
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.shared.sampling import spread_over_environments


@dataclass(frozen=True)
class Effort:
    """How much is measured. The defaults take as long as DeepSHAP of some 40 images with 50 references.

    Attributes
        images: for the curves and the hidden rectangles; fewer where more than two outputs are explained, so that
            images times outputs stay about as many.
        few: images that are explained again: with noise, for randomised models, by other methods, exactly.
        steps: of a curve. perturbations: rectangles hidden in each image.
        references: of the explanations made again. noises: for each image, of `radius` (white is 1).
        layers: steps of the randomisation, evenly over the model's layers.
        samples: of GradientSHAP, for each image. evaluations: of PartitionSHAP.
        regions: for the exact values, 12, 10, 8 or 6; None for the most that the model's cost allows.
        masker: what stands where the curves hide blocks; None for a blur over half the image. Inpainting leaves fewer
            edges when little is hidden, but paints the whole image with the few blocks that insertion shows. What is
            compared with the attributions as values (other methods, exact values) hides behind the references, since
            that is what "absent" means to them.

    Raises `ExplainerError` for less than one of anything, and for another number of regions.
    """

    images: int = 8
    few: int = 4
    steps: int = 8
    perturbations: int = 16
    references: int = 8
    noises: int = 3
    radius: float = 0.02
    layers: int = 6
    samples: int = 24
    evaluations: int = 80
    regions: int | None = None
    masker: str | None = None

    def __post_init__(self) -> None:
        for name, amount in asdict(self).items():
            if isinstance(amount, int | float) and not amount > 0:
                raise ExplainerError(f"{name}={amount}: there must be some of it")
        known = [rows * columns for rows, columns in GRIDS]
        if self.regions not in (None, *known):
            raise ExplainerError(f"regions={self.regions} is not one of {', '.join(map(str, known))}")


@dataclass(frozen=True, eq=False)
class Specimen:
    """Some images of a case, their explanation, and the model that says of 8-bit images what it says."""

    case: Case
    effort: Effort
    positions: Int[np.ndarray, "images"]
    references: UInt8[Tensor, "references 3 size size"]

    @classmethod
    def of(cls, case: Case, effort: Effort) -> Self:
        """Images of all environments in turn, the same ones for every measure."""
        outputs = case.explanation.values.shape[1]
        count = max(effort.few, min(effort.images, 2 * effort.images // outputs))
        rows = spread_over_environments(case.rows["environment"].to_numpy(str), count, case.seed)
        references = case.bundle.references
        used = np.linspace(0, len(references) - 1, min(effort.references, len(references))).round()
        return cls(case, effort, rows, references[torch.from_numpy(used.astype(int))])

    def first(self, count: int) -> Self:
        """The same with fewer images."""
        return replace(self, positions=self.positions[:count])

    @property
    def bundle(self) -> Bundle:
        """What is explained."""
        return self.case.bundle

    @property
    def rows(self) -> pd.DataFrame:
        """`image, path, environment`: which images are specimen, by their numbers in the tables."""
        rows = self.case.rows.iloc[self.positions][["path", "environment"]].reset_index(drop=True)
        return rows.rename_axis("image").reset_index()

    @cached_property
    def images(self) -> UInt8[Tensor, "images 3 size size"]:
        """The pictures."""
        return self.case.images[torch.from_numpy(self.positions)]

    @cached_property
    def explanation(self) -> Explanation:
        """What is put to the test."""
        return self.case.explanation.select(images=self.positions.tolist())

    @property
    def masker(self) -> str:
        """What stands where the curves hide blocks."""
        half = max(2, self.case.images.shape[-1] // 2)
        return self.effort.masker or f"blur({half},{half})"

    @cached_property
    def model(self) -> nn.Module:
        """The network for 8-bit images, which maskers work on."""
        return self.bundle.on_pictures

    @property
    def columns(self) -> Int[Tensor, "images outputs"]:
        """The outputs that are explained, by number: the same ones in every explanation that is made again."""
        return self.explanation.output_index.cpu()

    def side(self, blocks: int) -> int:
        """Of a block in pixels, where so many stand along the image."""
        return max(1, round(self.images.shape[-1] / blocks))

    def prepared(self, images: Tensor) -> Float[Tensor, "images 3 size size"]:
        """Images as the network takes them, where it is."""
        return self.bundle.prepare(images.to(self.bundle.device))

    def deep(self, model: nn.Module, images: Float[Tensor, "images 3 size size"]) -> Explanation:
        """DeepSHAP with few references, of any model and of images that are prepared."""
        explainer = DeepShap(
            model, self.prepared(self.references), output_names=self.bundle.card.output_names
        )
        return explainer(images, self.columns, on_gap="ignore", show=self.images.float() / 255)


@dataclass
class Measured:
    """What the measures leave: facts, tables by name, explanations for pictures, and what could not be done."""

    facts: TrustFacts
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    randomised: dict[str, Explanation] = field(default_factory=dict)
    methods: dict[str, Explanation] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """What an explanation has to do, judged by a number.

    Attributes
        reason: for the threshold.
        number: it can be judged, and is told, where this is known.
        passes: None for what is told only.
        sentence: "" where another check's tells of it.
    """

    name: str
    reason: str
    number: float
    passes: bool | None
    sentence: str = ""


@dataclass(frozen=True)
class Step:
    """Something measured, which leaves tables and facts.

    Attributes
        is_for_few: whether a few of the images are enough. needs_gradients: whether it looks inside the model.
        cost: in tenths of DeepSHAP of an image with 50 references, as measured on ResNet-18 at 224 × 224.
    """

    name: str
    run: Callable[[Specimen, Measured, Report], None]
    cost: int
    is_for_few: bool = False
    needs_gradients: bool = False
