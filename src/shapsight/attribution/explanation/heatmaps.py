"""Pictures of explanations: image by image, two models side by side, and the mean of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from torch import Tensor

from shapsight.attribution.explanation import Detail, Explanation
from shapsight.attribution.explanation import detail as details
from shapsight.attribution.explanation.bands import in_colour
from shapsight.attribution.explanation.parts import part_labels
from shapsight.attribution.explanation.slices import in_slices
from shapsight.drawing.panels import SIGNED, SIZES, Array, Heat, Kind, Look, Mark, Row, draw_rows
from shapsight.drawing.style import in_an_installed_font, number, see_through
from shapsight.errors import ExplainerError

NOISE_NOTE = "what sampling noise hides is averaged"
NOTES = {"regions": "summed over regions of the image", "smooth": "smoothed over 3 % of the side"}


@in_an_installed_font
def image_plot(
    explanation: Explanation,
    *,
    detail: Detail = "auto",
    cmap: str | Colormap | None = None,
    hide_noise: bool = True,
    pixels: Tensor | Array | None = None,
    labels: Sequence[str] | Sequence[Sequence[str]] | None = None,
    true_labels: Sequence[str] | None = None,
    targets: Tensor | Array | None = None,
    predictions_xy: Tensor | Array | None = None,
    roi: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
    limit: float | None = None,
    slices: int | Sequence[int] | None = None,
    bands: int | Sequence[int] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw an explanation: one row an image, first the image, then a heatmap for each output.

        image_plot(explanation).savefig("egret.png", dpi=160)
        image_plot(explanation, targets=[[112, 80]], predictions_xy=[[97, 84]])  # rings and crosses, in pixels

    Red raises the output, blue lowers it. All heatmaps of a row share one scale, symmetric around zero, which
    ends at the `scale_percentile` of their absolute values so that one pixel does not wash out the rest.
    A model that has a name (`Explanation.named`) is named over each heatmap. Of a volume there is a row for each of
    some slices, on one scale.

    Args
        detail: how finely values are drawn: summed over "regions" that follow the image, "smooth" (under a Gaussian),
            as "pixels", or "auto": see `Explanation.heatmap`. Sums are drawn per 1 % of the image's area, since a
            large region would otherwise stand out for its size alone: its value is its colour times its area.
        hide_noise: draw both halves of a node of PartitionSHAP's tree at the node's mean where the coins' noise does
            not tell them apart (`Explanation.above_noise`); False draws the values.
        cmap: another colour map, or the name of one of matplotlib's; it gets the usual opacity unless it has its own.
        pixels: images to draw instead of `explanation.images`: `(images, channels, height, width)`, channels last,
            or `(images, height, width)`; in [0, 1], in [0, 255], or in any range, which is then stretched.
        labels: names of the outputs, one each, or one list for each image.
        true_labels: a line over each image: its true label, or whatever tells it apart.
        targets, predictions_xy: `(images, 2)`, the point (x, y) to drive to, in pixels of the image drawn from
            the upper left; NaN for none. The target is a ring, the prediction a cross; a prediction outside the
            image is an arrowhead at the border.
        roi: the region of interest, boolean `(height, width)` or `(images, height, width)`: its edge is drawn, and
            under each title stands what scene and region contribute, in the output's unit (`Explanation.parts`).
        width: of the figure in inches.
        cell: "pixels" are summed over cells of this many pixels a side, so that the eye can tell red from blue in a
            fine pattern; by default as small as the print allows, 1 for the pixels themselves.
        unit: what the colour bar says the values are in.
        limit: the end of the scale of all rows, in what the colour bar shows, instead of each row's own percentile.
        slices: of volumes, the numbers of the slices drawn, from 0; by default the three with the most absolute
            attribution.
        bands: the channels of the image drawn as red, green and blue, such as (3, 2, 1), or one in grey, from 0, each
            stretched from its 2nd to its 98th percentile; by default the first three, of other numbers than 1, 3 and 4
            the mean of all. What was drawn stands beside the key.
        figure: an empty figure to draw on, which takes the size that the rows need.

    Raises `ExplainerError` where the lengths or shapes of these do not fit the explanation.
    """
    if limit is not None and not 0 < limit < float("inf"):
        raise ExplainerError(f"limit={limit} must be a number above 0, the end of the colour scale")
    pictures, drawn = pictures_of(explanation, pixels, bands)
    names = _output_labels(explanation, labels)
    detail = _detail(explanation, detail, cell)
    per_area = is_per_area(explanation, detail, cell)
    values = heats_of(explanation, detail, per_area, hide_noise)
    captions = _matched("true_labels", true_labels, len(explanation)) or [""] * len(explanation)
    marks = _marks(len(explanation), {"target": targets, "prediction": predictions_xy})
    regions, notes = _regions(explanation, roi), _contributions(explanation, roi)
    rows = [
        Row(
            pictures[image],
            str(captions[image]),
            marks[image],
            _heats(explanation, image, values[image], names[image], explanation.model_name, notes[image]),
            regions[image],
        )
        for image in range(len(explanation))
    ]
    kind = kind_of(cmap, per_area, has_depth=_has_depth(explanation))
    look = Look(scale_percentile, width, cell, unit, limit, kind)
    hides = hide_noise and explanation.above_noise is not None
    return draw_rows(in_slices(rows, slices), _noted(look, detail, per_area, hides, drawn), figure)


@in_an_installed_font
def compare_plot(
    first: Explanation,
    second: Explanation,
    names: tuple[str, str] | None = None,
    output: int | str | None = None,
    *,
    detail: Detail = "auto",
    cmap: str | Colormap | None = None,
    hide_noise: bool = True,
    pixels: Tensor | Array | None = None,
    true_labels: Sequence[str] | None = None,
    targets: Tensor | Array | None = None,
    roi: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
    slices: int | Sequence[int] | None = None,
    bands: int | Sequence[int] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw the same images explained for two models, heatmaps side by side and on one scale for each image.

        compare_plot(before, after, names=("room 1 only", "all rooms"), output="x")

    `names` of the models are those of the explanations (`Explanation.named`) where they are not given.
    `output` is a name or a position; None draws all of them. The other options are those of `image_plot`.
    Raises `ExplainerError` where the two do not explain the same number of images and outputs of the same size.
    """
    names = names or (first.model_name or "first", second.model_name or "second")
    if output is not None:
        first, second = first.select(outputs=output), second.select(outputs=output)
    one, two = (e.values.shape[:2] + e.values.shape[3:] for e in (first, second))
    if one != two:
        raise ExplainerError(
            f"the two explanations differ in (images, outputs, height, width): {tuple(one)} and {tuple(two)}"
        )
    pictures, drawn = pictures_of(first, pixels, bands)
    detail = _detail(first, detail, cell)
    per_area = is_per_area(first, detail, cell)
    values = [heats_of(explanation, detail, per_area, hide_noise) for explanation in (first, second)]
    captions = _matched("true_labels", true_labels, len(first)) or [""] * len(first)
    marks = _marks(len(first), {"target": targets})
    regions = _regions(first, roi)
    notes = [_contributions(explanation, roi) for explanation in (first, second)]
    rows = []
    for image in range(len(first)):
        both = [
            _heats(
                explanation, image, heats[image], _output_labels(explanation, None)[image], name, said[image]
            )
            for explanation, heats, name, said in zip((first, second), values, names, notes, strict=True)
        ]
        pairs = tuple(heat for pair in zip(*both, strict=True) for heat in pair)
        rows.append(Row(pictures[image], str(captions[image]), marks[image], pairs, regions[image]))
    look = Look(
        scale_percentile, width, cell, unit, kind=kind_of(cmap, per_area, has_depth=_has_depth(first))
    )
    hides = hide_noise and any(e.above_noise is not None for e in (first, second))
    return draw_rows(in_slices(rows, slices), _noted(look, detail, per_area, hides, drawn), figure)


@in_an_installed_font
def atlas(
    explanation: Explanation,
    *,
    environments: Sequence[str] | None = None,
    output: int | str | None = None,
    detail: Detail = "auto",
    cmap: str | Colormap | None = None,
    hide_noise: bool = True,
    pixels: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
    slices: int | Sequence[int] | None = None,
    bands: int | Sequence[int] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw where attribution lies on average: mean |SHAP value| over many images, on their mean image.

        atlas(explanation, environments=["room_1", "room_1", "room_2"], output="x")

    Absolute values are averaged over images; what is not a number is left out of the mean. With `detail` "regions" or
    "smooth" each image's values are summed first, so noise does not add up; "auto" is smooth here, since the images'
    regions differ, and pixels in small images.
    `environments` names the place of each image, and there is a row for each; otherwise one row for all.
    The other options are those of `image_plot`. Raises `ExplainerError` where images explain different outputs.
    """
    if output is not None:
        explanation = explanation.select(outputs=output)
    pictures, drawn = pictures_of(explanation, pixels, bands)
    picked = _detail(explanation, detail, cell)
    detail = "smooth" if (detail, picked) == ("auto", "regions") else picked
    per_area = is_per_area(explanation, detail, cell)
    names = explanation.names()
    if any(row != names[0] for row in names):
        raise ExplainerError(
            "atlas averages over images, and these explain different outputs: choose one with output="
        )
    abouts = _abouts(explanation, 0)
    places = [str(place) for place in _matched("environments", environments, len(explanation)) or []]
    rows = []
    for place in dict.fromkeys(places or [""]):
        chosen = [number for number in range(len(names)) if not places or places[number] == place]
        heats = zip(_mean_sizes(explanation[chosen], detail, per_area, hide_noise), names[0], strict=True)
        count = f"mean of {len(chosen)} image{'s' * (len(chosen) != 1)}"
        caption = f"{place}, {count}" if place else count
        rows.append(
            Row(
                pictures[chosen].mean(0),
                caption,
                {},
                tuple(
                    Heat(sizes, name, np.nan, about=about)
                    for (sizes, name), about in zip(heats, abouts, strict=True)
                ),
            )
        )
    kind = kind_of(cmap, per_area, SIZES, has_depth=_has_depth(explanation))
    look = Look(scale_percentile, width, cell, unit, kind=kind)
    hides = hide_noise and per_area and explanation.above_noise is not None
    return draw_rows(in_slices(rows, slices), _noted(look, detail, per_area, hides, drawn), figure)


def _mean_sizes(explanation: Explanation, detail: Detail, per_area: bool, hide_noise: bool) -> Array:
    """The mean over images of their |values|, one image at a time to spare memory; NaN where all are."""
    total = np.zeros((explanation.values.shape[1], *explanation.values.shape[3:]))
    known = np.zeros_like(total)
    for one in explanation:
        if detail == "pixels" and not per_area:
            sizes = one.heatmap("abs")[0].detach().cpu().double().numpy()
        else:
            sizes = np.abs(heats_of(one, detail, per_area, hide_noise)[0])
        total += np.where(np.isfinite(sizes), sizes, 0)
        known += np.isfinite(sizes)
    return np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)


def heats_of(explanation: Explanation, detail: Detail, per_area: bool, hide_noise: bool) -> Array:
    """What is drawn, `(images, outputs, *sides)`: values per 1 % of the area or volume, or of single pixels."""
    heatmap = explanation.heatmap(detail=detail, hide_noise=hide_noise).detach().cpu().double().numpy()
    return heatmap * (np.prod(heatmap.shape[2:]) / 100) if per_area else heatmap


def is_per_area(explanation: Explanation, detail: Detail, cell: int | None = None) -> bool:
    """Whether values are sums spread over an area, as those of a tree's nodes are too, and no cells are asked for."""
    is_sum = details.chosen(explanation, detail) != "pixels" or explanation.method in details.SUMS
    return is_sum and cell is None


def kind_of(
    cmap: str | Colormap | None, per_area: bool, kind: Kind = SIGNED, *, has_depth: bool = False
) -> Kind:
    """The kind of values that `heats_of` gives, in the colours asked for."""
    name = f"{kind.name} per 1 % of {'volume' if has_depth else 'area'}" if per_area else kind.name
    return replace(kind, name=name, colours=see_through(cmap, kind.colours))


def _detail(explanation: Explanation, detail: Detail, cell: int | None) -> Detail:
    """What "auto" picks; cells are of pixels."""
    details.check(detail)
    if cell is not None and detail in ("regions", "smooth"):
        raise ExplainerError(
            f'cell={cell} sums pixels: leave it out with detail={detail!r}, or ask for "pixels"'
        )
    return "pixels" if cell is not None else details.chosen(explanation, detail)


def _has_depth(explanation: Explanation) -> bool:
    return explanation.values.dim() == 6


def _noted(look: Look, detail: Detail, per_area: bool, hides_noise: bool, drawn: str) -> Look:
    """A look that says what was summed, hidden or drawn. What is spread evenly is drawn as it is, without cells."""
    notes = [NOTES[detail]] if detail in NOTES else []
    notes += [NOISE_NOTE] if hides_noise else []
    notes += [drawn] if drawn else []
    return replace(look, cell=1 if per_area else look.cell, notes=tuple(notes))


def _heats(
    explanation: Explanation,
    image: int,
    values: Array,
    names: Sequence[str],
    heading: str,
    notes: Sequence[str],
) -> tuple[Heat, ...]:
    predictions = explanation.predictions[image].tolist()
    abouts = _abouts(explanation, image)
    return tuple(
        Heat(v, n, p, heading, note, about)
        for v, n, p, note, about in zip(values, names, predictions, notes, abouts, strict=True)
    )


def _abouts(explanation: Explanation, image: int) -> list[Array | None]:
    """The pixels that each output of an image is about, whose edge is drawn."""
    outlines = [explanation.outline_of(image, output) for output in range(explanation.values.shape[1])]
    return [None if outline is None else outline.cpu().numpy() for outline in outlines]


def _regions(explanation: Explanation, roi: Tensor | Array | None) -> list[Array | None]:
    """The region of interest of each image, whose edge is drawn."""
    if roi is None:
        return [None] * len(explanation)
    labels, _ = part_labels(_as_labels(roi), len(explanation), tuple(explanation.values.shape[3:]))
    return [mask.cpu().numpy() > 0 for mask in labels]


def _contributions(explanation: Explanation, roi: Tensor | Array | None) -> list[list[str]]:
    """What scene and region contribute to each image and output, as a line under the title."""
    if roi is None:
        return [[""] * explanation.values.shape[1] for _ in range(len(explanation))]
    values = explanation.parts(_as_labels(roi)).values.tolist()
    return [[f"scene {_signed(scene)}, region {_signed(region)}" for scene, region in row] for row in values]


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value, 2)}"


def _as_labels(roi: Tensor | Array) -> Tensor:
    return torch.as_tensor(roi).bool().long()


def _matched(name: str, given: Sequence[Any] | None, count: int) -> list[Any] | None:
    if given is not None and len(given) != count:
        raise ExplainerError(f"{name} has {len(given)} entries for {count} images")
    return None if given is None else list(given)


def _output_labels(explanation: Explanation, labels: Sequence[Any] | None) -> list[list[str]]:
    images, outputs = explanation.values.shape[:2]
    if labels is None:
        return [[explanation.name_of(image, output) for output in range(outputs)] for image in range(images)]
    lists = [labels] * images if all(np.ndim(label) == 0 for label in labels) else list(labels)
    if len(lists) != images or any(len(row) != outputs for row in lists):
        raise ExplainerError(
            f"labels need one name for each of {outputs} outputs, or such a list for each of {images} images"
        )
    return [[str(label) for label in row] for row in lists]


def _marks(count: int, points: dict[Mark, Tensor | Array | None]) -> list[dict[Mark, tuple[float, float]]]:
    marks: list[dict[Mark, tuple[float, float]]] = [{} for _ in range(count)]
    for kind, given in points.items():
        if given is None:
            continue
        array = _array(given)
        if array.shape != (count, 2):
            raise ExplainerError(f"{kind} points have shape {array.shape}; {count} images need ({count}, 2)")
        for mark, (x, y) in zip(marks, array, strict=True):
            if np.isfinite([x, y]).all():
                mark[kind] = (float(x), float(y))
    return marks


def _array(given: Tensor | Array) -> Array:
    return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=float)


def pictures_of(
    explanation: Explanation, pixels: Tensor | Array | None, bands: int | Sequence[int] | None = None
) -> tuple[Array, str]:
    """Images to draw, `(images, *sides)` or `(images, *sides, 3)` in [0, 1]; and which bands these are, if not all."""
    count, sides = len(explanation), tuple(explanation.values.shape[3:])
    if not count or not explanation.values.shape[1]:
        raise ExplainerError(f"there is nothing to draw: {explanation!r}")
    array, drawn = np.nan_to_num(_array(explanation.images if pixels is None else pixels)), ""
    if array.ndim == len(sides) + 2:
        last = pixels is not None and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3)
        array, drawn = in_colour(np.moveaxis(array, -1, 1) if last else array, bands)
    shown = array.shape[1 : 1 + len(sides)]
    if array.ndim <= len(sides) or not array.size or len(array) != count or not _is_alike(shown, sides):
        shape = tuple((explanation.images if pixels is None else np.asarray(pixels)).shape)
        raise ExplainerError(
            f"images of shape {shape} do not fit {count} heatmaps of {' × '.join(map(str, sides))} pixels"
        )
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= 1.001:
        return array.clip(0, 1), drawn
    if low >= 0 and high <= 255:
        return array / 255, drawn
    return (array - low) / (high - low) if high > low else np.full_like(array, 0.5), drawn


def _is_alike(shown: tuple[int, ...], sides: tuple[int, ...]) -> bool:
    """Whether one is the other, enlarged; a volume has as many slices.

    One pixel of rounding is left to images that were resized to another grid than the explained one.
    """
    (*depth, height, width), (*slices, rows, columns) = sides, shown
    return depth == slices and abs(rows * width - columns * height) <= max(rows, columns, height, width)
