"""What every explainer returns: SHAP values of images, with all that is needed to judge and draw them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shapsight.attribution.explanation import (
    arithmetic,
    bands,
    by_region,
    notebook,
    parts,
    selection,
    storage,
    viewed,
    with_captum,
    with_shap,
    with_xarray,
)
from shapsight.attribution.explanation.detail import Detail, at_detail
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.explanation.selection import Images, Wanted
from shapsight.errors import ExplainerError, naming

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import shap
    import xarray
    from jaxtyping import UInt8
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from shapsight.drawing.viewer import View

Reduce = Literal["sum", "abs", "positive"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """SHAP values of images: each pixel's share of `prediction - base value`.

        explanation = DeepShap(model, references, output_names=("x", "y"))(images)
        explanation.values               # (images, outputs, channels, height, width)
        explanation.heatmap()            # (images, outputs, height, width): summed over channels
        explanation.bands_table()        # what each channel contributes
        explanation.parts(roi.long()).values   # (images, outputs, 2): what the scene and the region contribute
        explanation.regions_table()      # what each region of the first image contributes to the first output
        explanation[0], explanation[2:5], explanation[0, "x"]
        explanation.select(outputs="x").plot()
        explanation.save("egret.safetensors");  Explanation.load("egret.safetensors")
        after - before                   # two models, the same images
        explanation.to_xarray(), explanation.to_shap()

    Volumes and clips have a depth before the height in all of these: values `(images, outputs, channels, depth, height,
    width)`, images, heatmaps, masks and labels alike; pictures show some of their slices.

    It cannot be changed: attributes cannot be set, and every method returns a new one. Its tensors are torch's own and
    are shared, not copied, so treat them as read-only: clone one before you write into it. All of them are on
    the device of the images that were explained, wherever the model is.

    Attributes
        values: in the unit of the output; `values.flatten(2).sum(2) = predictions - base_values - completeness_gap`.
        base_values: mean prediction over the references.
        predictions: what the model says of the images.
        completeness_gap: `predictions - base_values - values.flatten(2).sum(2)`, 0 for an exact explanation.
        output_index: which column of the model's output each value explains; differs by image for `TopK`.
        output_names: a name for every column of the model's output, or empty.
        images: what to draw under the heatmaps, usually in [0, 1].
        std_errors: standard error of each value over the references or samples, where the method has them.
        unresolved: how much of each pixel's value, in absolute terms, was only spread evenly over a region that the
            budget did not split further; where the method works so.
        part_labels, part_std_errors: the partition that the explainer was told of with `parts=`, and the standard
            errors of its sums over the references; see `parts`.
        above_noise: what plots draw of values that coins were tossed for (PartitionSHAP): each node's value where its
            halves cannot be told apart, summed over channels. It has the total of the values. Sums and differences of
            explanations have none.
        outlines: for every column of the model's output the pixels that it is about, where it is a target such as a
            box or a mask (`shapsight.targets`); none of them for others. Pictures draw their edge.
        method: such as "DeepSHAP"; `settings`: what it was run with.
        model_name: what people call the model, such as "all rooms"; see `named`.

    What came from another library may not know its base values, predictions or gap: they are NaN then.
    Raises `ExplainerError` for tensors whose shapes do not fit each other.
    """

    values: Float[Tensor, "images outputs channels *sides"]
    base_values: Float[Tensor, "images outputs"]
    predictions: Float[Tensor, "images outputs"]
    completeness_gap: Float[Tensor, "images outputs"]
    output_index: Int[Tensor, "images outputs"]
    images: Float[Tensor, "images channels *sides"]
    output_names: tuple[str, ...] = ()
    std_errors: Float[Tensor, "images outputs channels *sides"] | None = None
    unresolved: Float[Tensor, "images outputs *sides"] | None = None
    part_labels: Int[Tensor, "images *sides"] | None = None
    part_std_errors: Float[Tensor, "images outputs parts"] | None = None
    above_noise: Float[Tensor, "images outputs *sides"] | None = None
    outlines: Bool[Tensor, "columns *sides"] | None = None
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    model_name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "output_names", tuple(self.output_names))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        shape = tuple(self.values.shape)
        if self.values.dim() not in (5, 6):
            raise ExplainerError(
                "values must be (images, outputs, channels, height, width), of volumes with a depth before the height; "
                f"not {shape}"
            )
        for name in ("base_values", "predictions", "completeness_gap", "output_index"):
            found = tuple(getattr(self, name).shape)
            if found != shape[:2]:
                raise ExplainerError(f"{name} has shape {found}; values have {shape[:2]} (images, outputs)")
        if len(self.images) != len(self):
            raise ExplainerError(f"{len(self.images)} images to draw for values of {len(self)} images")
        of_parts = shape[:2] if self.part_std_errors is None else (*shape[:2], self.part_std_errors.shape[-1])
        for name, size in (
            ("std_errors", shape),
            ("unresolved", shape[:2] + shape[3:]),
            ("above_noise", shape[:2] + shape[3:]),
            ("part_labels", shape[:1] + shape[3:]),
            ("part_std_errors", of_parts),
        ):
            tensor = getattr(self, name)
            if tensor is not None and tuple(tensor.shape) != size:
                raise ExplainerError(f"{name} has shape {tuple(tensor.shape)}; values have {shape}")
        if self.outlines is not None and self.outlines.shape[1:] != shape[3:]:
            raise ExplainerError(f"outlines have shape {tuple(self.outlines.shape)}; values have {shape}")
        if (self.part_labels is None) != (self.part_std_errors is None):
            raise ExplainerError("part_labels and part_std_errors belong together: give both or none")

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        images, outputs, *pixels = self.values.shape
        known = self.completeness_gap[self.completeness_gap.isfinite()].abs()
        gap = f"largest gap {known.max().item():.1e}" if known.numel() else "gap unknown"
        of = f" of {self.model_name}" if self.model_name else ""
        shape = " × ".join(map(str, pixels))
        stored = self.settings.get("stored")
        kept = f"; {storage.said(stored)}" if stored else ""
        return f"Explanation({self.method}{of}: {images} images, {outputs} outputs, {shape}; {gap}{kept})"

    def _repr_html_(self) -> str:
        return notebook.html(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "settings": dict(self.settings)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, settings=MappingProxyType(state["settings"]))

    def name_of(self, image: int, output: int) -> str:
        """The name of an image's nth explained output: `"x"`, `"American egret"`, or `"output 3"`."""
        return self._column_name(int(self.output_index[image, output]))

    def names(self) -> list[list[str]]:
        """The names of every image's explained outputs."""
        return [[self._column_name(column) for column in row] for row in self.output_index.tolist()]

    def _column_name(self, column: int) -> str:
        return self.output_names[column] if column < len(self.output_names) else f"output {column}"

    def outline_of(self, image: int, output: int) -> Bool[Tensor, "*sides"] | None:
        """The pixels that an image's nth explained output is about; None where it is about none."""
        column = int(self.output_index[image, output])
        if self.outlines is None or column >= len(self.outlines) or not self.outlines[column].any():
            return None
        return self.outlines[column]

    def named(self, model_name: str) -> Explanation:
        """The same explanation with a name for its model, which pictures, differences and files then show."""
        return dataclasses.replace(self, model_name=model_name)

    def heatmap(
        self, reduce: Reduce = "sum", detail: Detail = "pixels", *, hide_noise: bool = False
    ) -> Float[Tensor, "images outputs *sides"]:
        """One value a pixel: the sum over channels, the sum of absolute values, or of the positive ones only.

            explanation.heatmap()                     # single values
            explanation.heatmap(detail="regions")     # a region's sum, spread evenly over its pixels
            explanation.heatmap("abs")

        detail: "regions" sums over 100 regions that follow the image, "smooth" under a Gaussian of 3 % of the shorter
            side, "pixels" not at all. All keep the total of each image and output. "auto" is what plots draw: pixels
            in images of up to 32 pixels a side and of values that are sums already (PartitionSHAP, RegionSHAP), else
            regions, or smooth where there is no image to cut. What is not a number stays where it is and is left out
            of the sums. A volume is cut into regions and smoothed in three dimensions.
        hide_noise: True gives `above_noise`, as plots draw it, where there is one; of the plain sum only.
        Raises `ExplainerError` for another `reduce` or `detail`, and for regions where `images` do not fit the values.
        """
        if hide_noise and reduce != "sum":
            raise ExplainerError(f"hide_noise goes with reduce='sum', not with {reduce!r}")
        if hide_noise and self.above_noise is not None:
            heatmap = self.above_noise
        elif reduce == "sum":
            heatmap = self.values.sum(2)
        elif reduce == "abs":
            heatmap = self.values.abs().sum(2)
        elif reduce == "positive":
            heatmap = self.values.clamp_min(0).sum(2)
        else:
            raise ExplainerError(f"reduce={reduce!r} is not one of 'sum', 'abs', 'positive'")
        return at_detail(self, heatmap, detail)

    def regions_table(self, image: int = 0, output: int | str = 0) -> pd.DataFrame:
        """What each region of an image contributes to an output, the largest first.

            explanation.regions_table(3, "x").head()

        The regions are those of `heatmap(detail="regions")`. Columns: `region` (its number), `value` (the sum of its
        pixels' values, in the unit of the output), `share` (of the regions' absolute values, 0 to 1), `pixels` (its
        area), `left, top, right, bottom` (its first and last columns and rows) and `x, y` (its centre), in pixels from
        the upper left; of a volume also `front, back` (its first and last slices) and `z`. What is not a number is left
        out of the sums.
        Raises `ExplainerError` for an image or output that is not there, and where `images` do not fit the values.
        """
        return by_region.regions_table(self, image, output)

    def bands_table(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """What each channel contributes to each image and output.

            explanation.bands_table(["red", "green", "near infrared"]).sort_values("share").tail()

        Columns: `image` (its number), `output` (its name), `band` (the channel's number), `name`, `value` (the sum of
        the band's values, in the unit of the output: those of all bands sum to the change) and `share` (of the
        absolute values, 0 to 1). What is not a number is left out of the sums.
        Raises `ExplainerError` where a method has one value for all bands of a pixel, and for names that do not fit.
        """
        return bands.bands_table(self, names)

    def view(
        self,
        names: Sequence[str] | None = None,
        *,
        roi: Tensor | None = None,
        unit: str = "",
        beside: Mapping[str, Explanation] | None = None,
        bands: int | Sequence[int] | None = None,
    ) -> View:
        """The explanation to look at with a mouse: values under it, sums of a dragged box, regions, smooth or pixels.

            explanation.view()                                       # the last line of a notebook's cell
            explanation.view(["a.jpg"], roi=mask).save("why.html")   # one file, which opens without a network
            before.named("room_1").view(beside={"all rooms": after})

        Arguments
            names: of the images. unit: of the outputs, in a word.
            roi: the region of interest, boolean `(height, width)` or `(images, height, width)`; its sum and that of the
                scene are shown.
            beside: other explanations of the same images, by name, to switch to or to lay on one half of the picture.
            bands: the channels drawn as red, green and blue, or one, as `plot` takes them.

        A slider goes through the slices of a volume.

        Values are stored with 8 bits: a pixel is off by at most 1/126 of the largest of its map (1/63 to 1/15 in maps
        of noise; the viewer says how much), and sums stay. So many heatmaps that they would take more than 22 MB,
        some 440 of 224 pixels, are summed over blocks of pixels.
        Raises `ExplainerError` where these do not fit each other.
        """
        return viewed.view(self, names, roi, unit, beside, bands)

    def parts(self, masks: Any = None) -> RegionValues:
        """What each part of the image contributes: the sums of its values, with their sign, in the output's unit.

            explanation.parts(roi.long()).values    # roi (images, H, W): part 0 is the scene, part 1 the region
            explanation.parts(torch.stack([cat, sofa, ~(cat | sofa)])).values     # (images, outputs, 3)
            explanation.parts(slic_labels).plot()

        masks: any partition of the image: boolean `(parts, height, width)` or `(images, parts, height, width)` with
            each pixel in one part; or whole numbers `(height, width)` or `(images, height, width)` that name each
            pixel's part, counted from 0. A single boolean `(height, width)` is part 1, all else part 0. Of volumes with
            a depth before the height. None: those
            that the explainer was told of, `DeepShap(...)(images, parts=masks)`.

        The result's `values` are `(images, outputs, parts)` and sum to `predictions - base_values - completeness_gap`
        (of a model with several inputs, together with the parts of its other inputs); a part without pixels has 0.
        `std_errors`, over the references, are there for the partition that the explainer was told of: pixels share
        their references, so the errors of a sum do not follow from those of its pixels.
        Raises `ExplainerError` for masks of another size, number or type, for a partition with holes or overlaps, and
        for values that are not finite.
        Source: by linearity the sum of SHAP values over a set is the set's share; Covert et al. 2021, section 4.
        """
        return parts.sums(self, masks)

    def __getitem__(self, item: Any) -> Explanation:
        """`explanation[images]` or `explanation[images, outputs]`, as in `select`; all dimensions are kept."""
        images, outputs = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if isinstance(item, tuple) and len(item) != 2:
            raise ExplainerError(
                f"explanation[...] takes images, or images and outputs, not {len(item)} indices"
            )
        if isinstance(images, str):
            raise ExplainerError(
                f"images are selected by number; for the output write explanation[:, {images!r}]"
            )
        return self.select(images, outputs)

    def select(self, images: Images = None, outputs: Wanted = None) -> Explanation:
        """The explanation of some images and outputs, in the order asked for.

            explanation.select(images=[0, 3], outputs="x")
            explanation.select(outputs=["American egret", 0])    # the class wherever each image has it, then the first
            explanation.select(images=wrong, outputs=[True, False])

        images: numbers, a slice, or a mask (one boolean an image); a single number keeps the dimension.
        outputs: numbers count the *explained* outputs (for `TopK(4)`: 0 to 3), a slice or a mask does too; a name finds
            its output in each image, also where `TopK` ranks it differently.
        Raises `ExplainerError` for what is not there; an image that does not explain a name is told by its number.
        """
        return selection.select(self, images, outputs)

    @staticmethod
    def concatenate(explanations: Sequence[Explanation]) -> Explanation:
        """One explanation of all the images of several, which must agree in method, model, outputs and sizes.

            Explanation.concatenate([first_half, second_half])

        Settings that differ between the parts become a tuple, one entry a part.
        """
        return arithmetic.concatenate(explanations)

    def __sub__(self, other: Explanation) -> Explanation:
        """The difference of two models' explanations of the same images: how the second's share differs.

            (after.named("all rooms") - before.named("room 1")).plot()

        SHAP values are linear in the model, so the result explains the difference of the two predictions. Standard
        errors add in quadrature, as of independent runs. Raises `ExplainerError` for other images or outputs.
        """
        return arithmetic.combined(self, other, -1) if isinstance(other, Explanation) else NotImplemented

    def __add__(self, other: Explanation) -> Explanation:
        """The explanation of the sum of two models; `(a + b) / 2` explains their mean. See `-`."""
        return arithmetic.combined(self, other, 1) if isinstance(other, Explanation) else NotImplemented

    def __radd__(self, other: object) -> Explanation:
        return self if other == 0 else NotImplemented

    def __mul__(self, factor: float) -> Explanation:
        """All values in another unit: `explanation * 112` turns [-1, 1] into pixels of a 224-pixel image."""
        return arithmetic.scaled(self, factor) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Explanation:
        if not isinstance(divisor, int | float):
            return NotImplemented
        if divisor == 0:
            raise ExplainerError("an explanation cannot be divided by 0")
        return arithmetic.scaled(self, 1 / divisor)

    def __neg__(self) -> Explanation:
        return arithmetic.scaled(self, -1.0)

    def plot(self, **options: Any) -> Figure:
        """Draw it: a row an image, a column an output. Options: those of `image_plot` in `heatmaps.py`."""
        from shapsight.attribution.explanation.heatmaps import image_plot

        return image_plot(self, **options)

    def overlay(
        self,
        image: int = 0,
        output: int | str = 0,
        *,
        detail: Detail = "auto",
        cmap: str | Colormap | None = None,
        **options: Any,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """One image's heatmap over a pale copy of it, as red, green and blue from 0 to 255, at the image's size.

            PIL.Image.fromarray(explanation.overlay(3, "x")).save("x.png")

        `detail` and `cmap` are those of `plot`. Options: see `shapsight.attribution.explanation.overlay.overlay`.
        """
        from shapsight.attribution.explanation.overlay import overlay

        return overlay(self, image, output, detail=detail, cmap=cmap, **options)

    def save(
        self, path: str | os.PathLike[str], dtype: torch.dtype | Literal["float16"] | None = None
    ) -> Path:
        """Write one safetensors file with JSON metadata; complete or not at all.

            explanation.save("egret.safetensors")
            explanation.save("egret.safetensors", dtype="float16")    # half the size

        With `dtype="float16"` pixels are stored in half precision, each image and output with its own scale. The file
        and what is loaded from it (`settings["stored"]`, the repr) say the largest error, as a share of the largest
        |value| of the same image and output, and by how much gaps change; `completeness_gap` is that of what is stored.
        Raises `ExplainerError` where the file cannot be written.
        """
        return storage.save(self, path, dtype)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote, on the CPU; nothing is ever unpickled.

        Raises `ExplainerError` for a missing, truncated or foreign file, and for one of another version.
        """
        with naming(path):
            return cls(**storage.load(path))

    def to_xarray(self) -> xarray.Dataset:
        """An `xarray.Dataset` with named dimensions and coordinates.

            explanation.to_xarray().shap_values.sel(output="x").mean("image")

        Variables: `shap_values (image, output, channel, height, width)`, `base_values`, `predictions`,
        `completeness_gap`, `output_index` (volumes have a `depth` before the height) and `output_name (image, output)`,
        `images`, and `std_errors`, `unresolved` and `above_noise` where there are any. The coordinate `output` holds
        names where all images have the same ones.
        Raises `MissingDependency` without xarray (`pip install 'shapsight[xarray]'`).
        """
        return with_xarray.to_xarray(self)

    def to_shap(self) -> shap.Explanation:
        """A `shap.Explanation`, which shap's own plots draw: values `(images, height, width, channels, outputs)`.

            shap.image_plot(explanation.to_shap())

        Where `TopK` gave images outputs of different names and there are as many images as channels, shap itself cannot
        slice it (it mistakes names for another dimension); drawing works.
        Raises `MissingDependency` without the shap package.
        """
        return with_shap.to_shap(self)

    @classmethod
    def from_shap(
        cls,
        explanation: shap.Explanation,
        images: Any = None,
        *,
        channels: Literal["first", "last"] | None = None,
        predictions: Any = None,
        output_names: Sequence[str] = (),
        method: str = "shap",
        model_name: str = "",
    ) -> Explanation:
        """Take over what shap computed.

            Explanation.from_shap(shap.Explainer(f, masker)(photographs, outputs=shap.Explanation.argsort.flip[:4]))
            Explanation.from_shap(shap.DeepExplainer(model, background)(x), output_names=("x", "y"))

        explanation: of images, outputs last or none. Channels may come last, as shap has them for functions of arrays,
            or first, as for PyTorch models; which one is seen from the sizes, and asked for where they do not tell.
        images: to draw instead of `explanation.data`, in the same layout.
        predictions: `(images, outputs)`. shap does not keep them; without them predictions and gap are NaN.
        output_names: a name for every column of the model's output; shap keeps names only of what it explained.
        Raises `ExplainerError` for values that are not of images, names that do not fit, or an unclear layout.
        """
        taken = with_shap.from_shap(explanation, images, channels, predictions, output_names)
        return cls(**taken, method=method, model_name=model_name)

    @classmethod
    def from_captum(
        cls,
        attributions: Tensor | Sequence[Tensor],
        images: Tensor,
        *,
        target: int | Tensor | Sequence[int | Tensor] = 0,
        predictions: Tensor | None = None,
        base_values: Tensor | None = None,
        delta: Tensor | Sequence[Tensor] | None = None,
        output_names: Sequence[str] = (),
        method: str = "captum",
        model_name: str = "",
    ) -> Explanation:
        """Take over what captum's `attribute` returned; captum itself is not needed.

            attributions, delta = IntegratedGradients(model).attribute(x, target=3, return_convergence_delta=True)
            Explanation.from_captum(attributions, x, target=3, delta=delta, method="integrated gradients")
            Explanation.from_captum([a0, a1], x, target=[0, 1], predictions=model(x), output_names=("x", "y"))

        attributions: `(images, channels, height, width)` of one target, or a list of such, one a target.
        target: the column explained, or one column an image; a list of these for a list of attributions.
        predictions: the model's output for the images, `(images, columns)`; base_values: its output for the baselines,
            `(images, columns)` or `(columns,)`. Unknown ones are NaN, and the gap with them.
        delta: captum's convergence delta, `(images,)` for each target; it is minus our completeness gap.
        Raises `ExplainerError` for shapes that do not fit.
        """
        taken = with_captum.from_captum(attributions, images, target, predictions, base_values, delta)
        return cls(**taken, output_names=tuple(output_names), method=method, model_name=model_name)
