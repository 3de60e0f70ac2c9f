"""Sums of SHAP values over parts of the image: region of interest and scene, kinds of objects, any partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.shared.placement import moved, wide
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

FORMS = (
    "boolean (parts, height, width) or (images, parts, height, width), each pixel in one part; or whole numbers "
    "(height, width) or (images, height, width) that name each pixel's part, counted from 0 (of volumes with a depth "
    "before the height)"
)


def sums(explanation: Explanation, masks: Any) -> RegionValues:
    """See `Explanation.parts`."""
    size = tuple(explanation.values.shape[3:])
    if masks is None:
        if explanation.part_labels is None:
            raise ExplainerError(
                "parts() without masks gives the parts that the explainer was told of, and it was told of none: "
                f"say parts(masks), with masks {FORMS}"
            )
        labels, count = explanation.part_labels, _known_parts(explanation)
    else:
        labels, count = part_labels(masks, len(explanation), size)
    heat = wide(explanation.heatmap())
    _refuse_nan(heat)
    # Slices of a volume are laid under one another, which leaves sums as they are.
    flat = labels.to(heat.device).flatten(1, -2).unsqueeze(1)
    found = sums_of_parts(heat.flatten(2, -2), flat, count)
    labels = labels.to(explanation.values.device)
    return RegionValues(
        values=moved(found, explanation.values),
        std_errors=explanation.part_std_errors if _are_known(explanation, labels, count) else None,
        labels=labels,
        images=explanation.images,
        base_values=explanation.base_values,
        predictions=explanation.predictions,
        output_index=explanation.output_index,
        evaluations=0,
        output_names=explanation.output_names,
    )


def sums_of_parts(
    heat: Float[Tensor, "*some height width"], labels: Int[Tensor, "*some height width"], count: int
) -> Float[Tensor, "*some parts"]:
    """Each part's sum; 0 for a part without pixels. `labels` may be broadcast over the leading dimensions."""
    flat, where = heat.flatten(-2), labels.expand(heat.shape).flatten(-2)
    return heat.new_zeros(*flat.shape[:-1], count).scatter_add_(-1, where, flat)


def part_labels(masks: Any, images: int, size: tuple[int, ...]) -> tuple[Int[Tensor, "images *sides"], int]:
    """Each pixel's part in each image, and how many parts there are.

        part_labels(roi, 16, (224, 224))         # boolean (height, width): part 0 the scene, part 1 the region

    Raises `ExplainerError` for another size, number or type, and for masks that leave pixels out or take them twice.
    """
    try:
        given = torch.as_tensor(masks).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplainerError(f"masks must be {FORMS}; got {type(masks).__name__}") from error
    if given.is_floating_point() or given.is_complex():
        raise ExplainerError(f"masks must be {FORMS}; got {given.dtype}: say masks > 0.5, or masks.long()")
    more = given.dim() - len(size)
    if more not in (0, 1, 2) or tuple(given.shape[more:]) != size:
        raise ExplainerError(
            f"masks of shape {tuple(given.shape)} do not fit values of {' × '.join(map(str, size))} pixels: they must "
            f"be {FORMS}"
        )
    if given.dtype == torch.bool and more:
        return _of_partition(given if more == 2 else given.unsqueeze(0), images)
    if more == 2:
        raise ExplainerError(
            f"whole numbers of shape {tuple(given.shape)} are no label map: masks must be {FORMS}"
        )
    labels = (given if more else given.unsqueeze(0)).long()
    if labels.numel() == 0 or int(labels.min()) < 0:
        raise ExplainerError("a label map counts its parts from 0, so no pixel may have a number below 0")
    count = 2 if given.dtype == torch.bool else int(labels.max()) + 1
    return _for_each(labels, images), count


def _of_partition(masks: Tensor, images: int) -> tuple[Int[Tensor, "images *sides"], int]:
    """Labels of boolean masks, which must hold each pixel once."""
    held = masks.sum(1)
    for number, (holes, twice) in enumerate(
        zip((held == 0).flatten(1).sum(1).tolist(), (held > 1).flatten(1).sum(1).tolist(), strict=True)
    ):
        if holes or twice:
            raise ExplainerError(
                f"the masks of image {number} are no partition: {holes} pixels lie in no part and {twice} in several. "
                "A part for the rest is ~masks.any(-3); for the scene (0) and one region (1) give a label map, "
                "such as roi.long()"
            )
    return _for_each(masks.int().argmax(1), images), int(masks.shape[1])


def _for_each(labels: Tensor, images: int) -> Int[Tensor, "images *sides"]:
    if len(labels) not in (1, images):
        raise ExplainerError(f"masks of {len(labels)} images came with an explanation of {images}")
    return labels.expand(images, *labels.shape[1:])


def _refuse_nan(heat: Float[Tensor, "images outputs *sides"]) -> None:
    bad = ~heat.isfinite()
    if bad.any():
        image, output = bad.flatten(2).any(2).nonzero()[0].tolist()
        raise ExplainerError(
            f"{int(bad[image, output].sum())} values of image {image}, explained output {output}, are not finite, and "
            "so parts have no sums: select images without such values"
        )


def _known_parts(explanation: Explanation) -> int:
    return 0 if explanation.part_std_errors is None else int(explanation.part_std_errors.shape[2])


def _are_known(explanation: Explanation, labels: Tensor, count: int) -> bool:
    """Whether the explainer was told of just these parts, so that it knows their standard errors."""
    known = explanation.part_labels
    return (
        known is not None
        and count == _known_parts(explanation)
        and torch.equal(known.to(labels.device), labels)
    )
