"""`shap.plots`: the picture of images and their SHAP values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shapsight.attribution.explanation import Explanation as OurExplanation
from shapsight.compat.shap.explanation import IMAGES, Explanation
from shapsight.compat.shap.layout import chosen_layout
from shapsight.compat.shap.not_offered import not_offered
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
COLOURS = (1, 3, 4)
HINT = (
    'Explainers return a list with an array for each output, or with output_layout="last" one array with the outputs '
    "last, as shap does since 0.45"
)
WITHOUT_DISPLAY = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def image(
    shap_values: Any,
    pixel_values: Any = None,
    labels: Any = None,
    true_labels: Sequence[Any] | None = None,
    width: float | None = None,
    aspect: float | None = None,
    hspace: float | str | None = None,
    labelpad: float | None = None,
    cmap: Any = None,
    vmax: float | None = None,
    show: bool = True,
) -> Figure | None:
    """Draw images and their SHAP values as pyplot's current figure: a row an image, a column an output.

        shap.image_plot(explainer(X))
        shap.image_plot([of_x, of_y], pixels, labels=["x", "y"], show=False)     # (images, height, width, channels)
        plt.savefig("values.png")

    Arguments
        shap_values: an `Explanation`, shap's own too, or an array for each output, `(images, height, width,
            channels)`. A single array with an axis more than the pixels has several outputs, first or last, whichever
            fits the pixels; where both do, `shap.output_layout` decides. One image may come without its first axis if
            its channels are last; channels may come first where heights and widths of the pixels say so. Three axes
            are otherwise grey images.
        pixel_values: the images, in any range; needed unless the explanation holds them.
        labels: a name for each output, or for each output of each image.
        true_labels: a line over each image.
        width: the most inches that the figure is wide.
        vmax: the end of the colour scale for all rows; by default each row has its own.
        show: call `plt.show()`, where there is a display. False returns the figure.
        cmap: a colour map, or the name of one of matplotlib's, instead of ours; with our opacity unless it has its own.
        aspect, hspace, labelpad: accepted, without effect: the layout is ours.

    Drawn are single pixels, as by shap; `Explanation.plot` of our own explanations has sums over regions as well.

    Raises `ExplainerError`, with both shapes or counts, for values, pixels and labels that do not fit each other.
    """
    import matplotlib.pyplot as plt

    names: list[str] | list[list[str]] | None = None
    if isinstance(shap_values, OurExplanation):
        explanation = shap_values
    else:
        is_explanation = hasattr(shap_values, "values") and hasattr(shap_values, "data")
        if is_explanation and not isinstance(shap_values, Tensor):
            arrays, base_values = _of_explanation(shap_values)
            pixel_values = _data_of(shap_values) if pixel_values is None else pixel_values
            labels = _names_of(shap_values, len(arrays)) if labels is None else labels
        else:
            arrays, base_values = _of_arrays(shap_values, pixel_values), None
        if pixel_values is None:
            raise ExplainerError("pixel_values is missing: the images to draw under the SHAP values")
        explanation = _as_ours(arrays, _numbers(pixel_values), base_values)
        names = [f"output {number}" for number in range(len(arrays))]
    if labels is not None:
        names = _labels(labels, *explanation.values.shape[:2])
    figure = _drawn(explanation, names, true_labels, width, vmax, cmap)
    if show and is_interactive():
        plt.show()
    return None if show else figure


def is_interactive() -> bool:
    """Whether pyplot has a display to show figures on."""
    import matplotlib

    return str(matplotlib.get_backend()).lower() not in WITHOUT_DISPLAY


def _drawn(
    explanation: OurExplanation,
    names: Any,
    true_labels: Sequence[Any] | None,
    width: float | None,
    vmax: float | None,
    cmap: Any,
) -> Figure:
    import matplotlib.pyplot as plt

    from shapsight.attribution.explanation.heatmaps import image_plot

    try:
        figure = plt.figure()
    except ImportError:  # a window was asked for, and there is no screen
        warnings.warn("there is no display, so the picture is drawn without a window", stacklevel=3)
        plt.switch_backend("agg")
        figure = plt.figure()
    captions = None if true_labels is None or not len(true_labels) else [str(label) for label in true_labels]
    columns = explanation.values.shape[1] + 1
    try:
        return image_plot(
            explanation,
            detail="pixels",
            cmap=cmap,
            labels=names,
            true_labels=captions,
            width=None if width is None else min(width, 3.0 * columns),
            limit=vmax,
            unit="units of the output",
            figure=figure,
        )
    except Exception:
        plt.close(figure)
        raise


def _of_explanation(explanation: Any) -> tuple[list[Array], Array | None]:
    """Arrays of each output, `(images, ...)`, and base values `(images, outputs)` where they are known."""
    values = explanation.values
    if isinstance(values, list):  # some scripts take them apart
        return _of_arrays(values, explanation.data), None
    array = _numbers(values)
    has_outputs = array.ndim == np.ndim(explanation.data) + 1
    if explanation.data is None:
        has_outputs = explanation.has_outputs if isinstance(explanation, Explanation) else array.ndim == 5
    arrays = [array[..., output] for output in range(array.shape[-1])] if has_outputs else [array]
    if isinstance(explanation, Explanation) and IMAGES not in explanation.axes:
        arrays = [one[None] for one in arrays]
    if np.ndim(arrays[0]) < 2:
        raise ExplainerError(f"values of shape {array.shape} are no images")
    is_one = np.ndim(explanation.data) == 3 and arrays[0].ndim == 3 and arrays[0].shape[-1] in COLOURS
    base_values = (
        None if explanation.base_values is None else np.asarray(explanation.base_values, dtype=float)
    )
    if base_values is not None:
        base_values = np.broadcast_to(
            base_values.reshape(-1, len(arrays)), (1 if is_one else len(arrays[0]), len(arrays))
        )
    return arrays, base_values


def _data_of(explanation: Any) -> Any:
    """The images of an explanation, with an axis for the one image that was cut out of it."""
    is_cut = isinstance(explanation, Explanation) and IMAGES not in explanation.axes
    return explanation.data if explanation.data is None or not is_cut else _numbers(explanation.data)[None]


def _of_arrays(shap_values: Any, pixel_values: Any) -> list[Array]:
    """One array for each output."""
    if isinstance(shap_values, list | tuple):
        arrays = [_numbers(values) for values in shap_values]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) != 1:
            raise ExplainerError(
                f"shap_values must be arrays of one shape, one for each output; got {shapes or 'nothing'}"
            )
        return arrays
    array = _numbers(shap_values)
    pixels = () if pixel_values is None else tuple(np.shape(pixel_values))
    if array.ndim <= max(len(pixels), 3):
        return [array]
    is_first, is_last = _fits(array.shape[1:], pixels), _fits(array.shape[:-1], pixels)
    if is_first == is_last:  # both, or neither: those of a layer have a grid of their own
        is_first, is_last = (count == pixels[:1] for count in (array.shape[1:2], array.shape[:1]))
    if is_first == is_last:
        is_last = chosen_layout(None) == "last"
    return list(np.moveaxis(array, -1, 0) if is_last else array)


def _fits(shape: tuple[int, ...], pixels: tuple[int, ...]) -> bool:
    """Whether values of one output are those of the pixels, wherever the channels of each are."""
    whole = [pixels, (*pixels, 1), (1, *pixels), (1, *pixels, 1)]
    moved = [(*other[:-3], other[-1], *other[-3:-1]) for other in whole if len(other) > 2]
    moved += [(*other[:-3], *other[-2:], other[-3]) for other in whole if len(other) > 2]
    return shape in (*whole, *moved)


def _numbers(given: Any) -> Array:
    return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=float)


def _names_of(explanation: Any, count: int) -> Any:
    names = explanation.output_names
    if names is None:
        return None
    return [names] * count if isinstance(names, str) else names


def _as_ours(arrays: Sequence[Array], pixels: Array, base_values: Array | None) -> OurExplanation:
    """Our `Explanation` of arrays without predictions, which are then unknown."""
    each, pixels = [_batched(array) for array in arrays], _batched(pixels)
    pixels = np.moveaxis(pixels, 1, -1) if _has_channels_first(pixels) else pixels
    size = pixels.shape[1:3]
    each = [np.moveaxis(a, 1, -1) if a.shape[1:3] != size and a.shape[2:] == size else a for a in each]
    if len(each[0]) != len(pixels):
        raise ExplainerError(
            f"shap_values {each[0].shape} are of {len(each[0])} images and pixel_values {pixels.shape} of "
            f"{len(pixels)}. {HINT}"
        )
    values = torch.from_numpy(np.stack(each, axis=1)).permute(0, 1, 4, 2, 3)
    if base_values is None:
        base = torch.zeros(values.shape[:2], dtype=values.dtype)
        predictions = torch.full_like(base, torch.nan)
    else:
        base = torch.from_numpy(base_values.copy())
        predictions = base + values.sum((2, 3, 4))
    return OurExplanation(
        values=values,
        base_values=base,
        predictions=predictions,
        completeness_gap=torch.zeros_like(base),
        output_index=torch.arange(len(arrays)).expand(len(pixels), -1),
        images=torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2),
        method="SHAP",
    )


def _batched(array: Array) -> Array:
    """As `(images, height, width, channels)`: a single image, and images without channels, get the axes they lack."""
    if array.ndim == 2:
        return array[None, :, :, None]
    if array.ndim == 3:
        return array[None] if array.shape[-1] in COLOURS else array[..., None]
    if array.ndim != 4:
        raise ExplainerError(
            f"an array of shape {array.shape} is no images (images, height, width, channels). {HINT}"
        )
    return array


def _has_channels_first(pixels: Array) -> bool:
    return pixels.shape[1] in COLOURS and pixels.shape[-1] not in COLOURS


def _labels(labels: Any, images: int, outputs: int) -> list[str] | list[list[str]]:
    """One name an output, or one for each output of each image, however nested they came."""
    array = np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels, dtype=object)
    if array.size not in (outputs, images * outputs):
        raise ExplainerError(
            f"labels has {array.size} names; {outputs} outputs of {images} images need {outputs}, or {images * outputs}"
        )
    rows = [[str(label) for label in row] for row in array.reshape(-1, outputs)]
    return rows[0] if len(rows) == 1 else rows


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.plots", name)
