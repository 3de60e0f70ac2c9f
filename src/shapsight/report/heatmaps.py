"""Pictures of explanations: image by image, two models side by side, and the mean of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.errors import ExplainerError
from shapsight.report.panels import SIZES, Array, Heat, Look, Mark, Row, draw_rows
from shapsight.report.style import in_an_installed_font


@in_an_installed_font
def image_plot(
    explanation: Explanation,
    *,
    pixels: Tensor | Array | None = None,
    labels: Sequence[str] | Sequence[Sequence[str]] | None = None,
    true_labels: Sequence[str] | None = None,
    targets: Tensor | Array | None = None,
    predictions_xy: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
    limit: float | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw an explanation: one row an image, first the image, then a heatmap for each output.

        image_plot(explanation).savefig("egret.png", dpi=160)
        image_plot(explanation, targets=[[112, 80]], predictions_xy=[[97, 84]])  # rings and crosses, in pixels

    Red raises the output, blue lowers it. All heatmaps of a row share one scale, symmetric around zero, which
    ends at the `scale_percentile` of their absolute values so that one pixel does not wash out the rest.
    A model that has a name (`Explanation.named`) is named over each heatmap.

    Args
        pixels: images to draw instead of `explanation.images`: `(images, channels, height, width)`, channels last,
            or `(images, height, width)`; in [0, 1], in [0, 255], or in any range, which is then stretched.
        labels: names of the outputs, one each, or one list for each image.
        true_labels: a line over each image: its true label, or whatever tells it apart.
        targets, predictions_xy: `(images, 2)`, the point (x, y) to drive to, in pixels of the image drawn from
            the upper left; NaN for none. The target is a ring, the prediction a cross; a prediction outside the
            image is an arrowhead at the border.
        width: of the figure in inches.
        cell: SHAP values are summed over cells of this many pixels a side, so that the eye can tell red from blue
            in a fine pattern; by default as small as the print allows, 1 for the pixels themselves.
        unit: what the colour bar says the values are in.
        limit: the end of the scale of all rows, instead of each row's own percentile.
        figure: an empty figure to draw on, which takes the size that the rows need.

    Raises `ExplainerError` where the lengths or shapes of these do not fit the explanation.
    """
    if limit is not None and not 0 < limit < float("inf"):
        raise ExplainerError(f"limit={limit} must be a number above 0, the end of the colour scale")
    pictures = _pictures(explanation, pixels)
    names = _output_labels(explanation, labels)
    captions = _matched("true_labels", true_labels, len(explanation)) or [""] * len(explanation)
    marks = _marks(len(explanation), {"target": targets, "prediction": predictions_xy})
    rows = [
        Row(
            pictures[image],
            str(captions[image]),
            marks[image],
            _heats(explanation, image, names[image], explanation.model_name),
        )
        for image in range(len(explanation))
    ]
    return draw_rows(rows, Look(scale_percentile, width, cell, unit, limit), figure)


@in_an_installed_font
def compare_plot(
    first: Explanation,
    second: Explanation,
    names: tuple[str, str] | None = None,
    output: int | str | None = None,
    *,
    pixels: Tensor | Array | None = None,
    true_labels: Sequence[str] | None = None,
    targets: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
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
    pictures = _pictures(first, pixels)
    captions = _matched("true_labels", true_labels, len(first)) or [""] * len(first)
    marks = _marks(len(first), {"target": targets})
    rows = []
    for image in range(len(first)):
        both = [
            _heats(explanation, image, _output_labels(explanation, None)[image], name)
            for explanation, name in zip((first, second), names, strict=True)
        ]
        pairs = tuple(heat for pair in zip(*both, strict=True) for heat in pair)
        rows.append(Row(pictures[image], str(captions[image]), marks[image], pairs))
    return draw_rows(rows, Look(scale_percentile, width, cell, unit), figure)


@in_an_installed_font
def atlas(
    explanation: Explanation,
    *,
    environments: Sequence[str] | None = None,
    output: int | str | None = None,
    pixels: Tensor | Array | None = None,
    scale_percentile: float = 99.5,
    width: float | None = None,
    cell: int | None = None,
    unit: str = "units of the output",
    figure: Figure | None = None,
) -> Figure:
    """Draw where attribution lies on average: mean |SHAP value| over many images, on their mean image.

        atlas(explanation, environments=["room_1", "room_1", "room_2"], output="x")

    Absolute values are summed over channels and averaged over images; what is not a number is left out of the mean.
    `environments` names the place of each image, and there is a row for each; otherwise one row for all.
    The other options are those of `image_plot`. Raises `ExplainerError` where images explain different outputs.
    """
    if output is not None:
        explanation = explanation.select(outputs=output)
    pictures = _pictures(explanation, pixels)
    names = explanation.names()
    if any(row != names[0] for row in names):
        raise ExplainerError(
            "atlas averages over images, and these explain different outputs: choose one with output="
        )
    places = [str(place) for place in _matched("environments", environments, len(explanation)) or []]
    rows = []
    for place in dict.fromkeys(places or [""]):
        chosen = [number for number in range(len(names)) if not places or places[number] == place]
        heats = zip(_mean_sizes(explanation, chosen), names[0], strict=True)
        count = f"mean of {len(chosen)} image{'s' * (len(chosen) != 1)}"
        caption = f"{place}, {count}" if place else count
        rows.append(
            Row(
                pictures[chosen].mean(0),
                caption,
                {},
                tuple(Heat(sizes, name, np.nan) for sizes, name in heats),
            )
        )
    return draw_rows(rows, Look(scale_percentile, width, cell, unit, kind=SIZES), figure)


def _mean_sizes(explanation: Explanation, chosen: Sequence[int]) -> Array:
    """The mean over images of |values| summed over channels, image by image to spare memory; NaN where all are."""
    total = np.zeros((explanation.values.shape[1], *explanation.values.shape[3:]))
    known = np.zeros_like(total)
    for number in chosen:
        sizes = explanation.values[number].detach().abs().sum(1).cpu().double().numpy()
        total += np.where(np.isfinite(sizes), sizes, 0)
        known += np.isfinite(sizes)
    return np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)


def _heats(explanation: Explanation, image: int, names: Sequence[str], heading: str = "") -> tuple[Heat, ...]:
    values = explanation.values[image].detach().sum(1).cpu().double().numpy()
    predictions = explanation.predictions[image].tolist()
    return tuple(Heat(v, n, p, heading) for v, n, p in zip(values, names, predictions, strict=True))


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


def _pictures(explanation: Explanation, pixels: Tensor | Array | None) -> Array:
    """Images to draw as `(images, height, width)` or `(images, height, width, 3)` in [0, 1]."""
    count, height, width = len(explanation), *explanation.values.shape[3:]
    if not count or not explanation.values.shape[1]:
        raise ExplainerError(f"there is nothing to draw: {explanation!r}")
    array = np.nan_to_num(_array(explanation.images if pixels is None else pixels))
    if array.ndim == 4 and not (array.shape[3] in (1, 3) and array.shape[1] not in (1, 3)):
        array = np.moveaxis(array, 1, -1)
    if array.ndim == 4:
        array = array[..., :3] if array.shape[-1] in (3, 4) else array.mean(-1)
    fits = array.ndim >= 3 and array.size > 0 and len(array) == count
    # One pixel of rounding is left to images that were resized to another grid than the explained one.
    if not fits or abs(array.shape[1] * width - array.shape[2] * height) > max(
        *array.shape[1:3], height, width
    ):
        shape = tuple((explanation.images if pixels is None else np.asarray(pixels)).shape)
        raise ExplainerError(
            f"images of shape {shape} do not fit {count} heatmaps of {height} × {width} pixels"
        )
    low, high = float(array.min()), float(array.max())
    if low >= 0 and high <= 1.001:
        return array.clip(0, 1)
    if low >= 0 and high <= 255:
        return array / 255
    return (array - low) / (high - low) if high > low else np.full_like(array, 0.5)
