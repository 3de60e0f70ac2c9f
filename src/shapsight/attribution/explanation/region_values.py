"""What RegionShap finds: a number for each region, or for every two; saved, loaded and drawn."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from shapsight.attribution.explanation import storage
from shapsight.data.given_files import are, is_text
from shapsight.errors import ExplainerError, naming

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Found = TypeVar("Found", bound="_Saved")
VERSION = 1


class _Saved:
    """A frozen dataclass of tensors, and of numbers and names that JSON holds, in a file."""

    def __repr__(self) -> str:
        images, outputs, regions = self.values.shape[:3]  # type: ignore[attr-defined]
        shape = " × ".join(map(str, self.images.shape[1:]))  # type: ignore[attr-defined]
        return f"{type(self).__name__}({images} images, {outputs} outputs, {regions} regions; {shape})"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one safetensors file with JSON metadata; complete or not at all.

        Raises `ExplainerError` where the file cannot be written.
        """
        held = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        tensors = {name: t.detach().cpu().contiguous() for name, t in held.items() if isinstance(t, Tensor)}
        card = {name: value for name, value in held.items() if name not in tensors}
        return storage.write(path, tensors, f"{self._family()}/{VERSION}", card)

    @classmethod
    def load(cls: type[Found], path: str | os.PathLike[str]) -> Found:
        """Read what `save` wrote, on the CPU; nothing is ever unpickled.

        Raises `ExplainerError` for a missing, truncated or foreign file, and for one of another version.
        """
        tensors, card = storage.read(path, cls._family(), VERSION)
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        held: dict[str, Any] = tensors | card
        if set(held) != set(names):
            raise ExplainerError(f"{path} is damaged: it does not hold {', '.join(names)}")
        if not are(is_text)(held["output_names"]):
            raise ExplainerError(f"{path} is damaged: its output names are no texts")
        with naming(path):
            return cls(**held | {"output_names": tuple(held["output_names"])})

    @classmethod
    def _family(cls) -> str:
        return f"shapsight.{cls.__name__}"


@dataclass(frozen=True, eq=False, repr=False)
class RegionValues(_Saved):
    """What `RegionShap.by_region` found: a number for each region.

        found = RegionShap(model, "mean", "grid(3,3)").by_region(images, TopK(2))
        found.values                            # (images, 2, 9)
        found.plot()                            # a row an image: its regions by number, and bars
        RegionValues.load(found.save("regions.safetensors"))

    Attributes
        values: each region's Shapley value, in the unit of the output; 0 beyond an image's own regions. The regions of
            an image are numbered from 0 without gaps, in the order of the label map's numbers.
        std_errors: their standard errors, where the estimator samples.
        labels: which region each pixel is in.
        images: what to draw.
        evaluations: coalitions asked about, in all.
        base_values, predictions, output_index, output_names: as in `Explanation`.
    """

    values: Float[Tensor, "images outputs regions"]
    std_errors: Float[Tensor, "images outputs regions"] | None
    labels: Int[Tensor, "images *sides"]
    images: Float[Tensor, "images channels *sides"]
    base_values: Float[Tensor, "images outputs"]
    predictions: Float[Tensor, "images outputs"]
    output_index: Int[Tensor, "images outputs"]
    evaluations: int
    output_names: tuple[str, ...] = ()

    def spread(self, of_regions: Tensor) -> Float[Tensor, "images outputs 1 *sides"]:
        """Numbers of regions, each spread evenly over its region's pixels."""
        images, outputs, regions = of_regions.shape
        flat = self.labels.flatten(1)
        sizes = (
            of_regions.new_zeros(images, regions)
            .scatter_add_(1, flat, of_regions.new_ones(flat.shape))
            .clamp_min(1)
        )
        shares = of_regions / sizes.unsqueeze(1)
        pixels = shares.gather(2, flat.unsqueeze(1).expand(-1, outputs, -1))
        return pixels.reshape(images, outputs, 1, *self.labels.shape[1:])

    def plot(self, **options: Any) -> Figure:
        """Draw it: a row an image. Options: those of `region_bars`."""
        from shapsight.attribution.explanation.region_pictures import region_bars

        return region_bars(self, **options)


@dataclass(frozen=True, eq=False, repr=False)
class Interactions(_Saved):
    """How every two regions of an image work together.

    Attributes
        values: the Shapley interaction index of regions i and j at [..., i, j] and [..., j, i], in the unit of the
            output: above 0 if the model needs both, below 0 if one does for the other, 0 if they simply add. On the
            diagonal, each region's Shapley value. 0 beyond an image's own regions.
        labels: which region each pixel is in.
        images: what to draw.
        output_index, output_names: which columns of the model's output, and what they are called.
    """

    values: Float[Tensor, "images outputs regions regions"]
    labels: Int[Tensor, "images *sides"]
    images: Float[Tensor, "images channels *sides"]
    output_index: Int[Tensor, "images outputs"]
    output_names: tuple[str, ...] = ()

    def plot(self, **options: Any) -> Figure:
        """Draw it: a row an image. Options: those of `interaction_grid`."""
        from shapsight.attribution.explanation.region_pictures import interaction_grid

        return interaction_grid(self, **options)
