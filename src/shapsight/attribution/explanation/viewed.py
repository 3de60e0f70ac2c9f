"""An explanation in the viewer: to look at with a mouse, in a notebook or in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from shapsight.attribution.explanation import detail, notebook
from shapsight.attribution.explanation.bands import eight_bits
from shapsight.drawing.viewer import Map, Shown, View, content
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation


def view(
    explanation: Explanation,
    names: Sequence[str] | None,
    roi: Tensor | None,
    unit: str,
    beside: Mapping[str, Explanation] | None,
    bands: int | Sequence[int] | None = None,
) -> View:
    """See `Explanation.view`."""
    every = {explanation.model_name: explanation, **(beside or {})}
    for other in every.values():
        if len(other) != len(explanation):
            raise ExplainerError(
                f"an explanation of {len(other)} images cannot stand beside one of {len(explanation)}"
            )
    if names is not None and len(names) != len(explanation):
        raise ExplainerError(f"{len(names)} names were given for {len(explanation)} images")
    names = names or [f"image {number}" for number in range(len(explanation))]
    shown = shown_images(every, names, roi, unit, bands=bands)
    return View(content(shown, title=repr(explanation)), notebook.html(explanation))


def shown_images(
    every: Mapping[str, Explanation],
    names: Sequence[str],
    roi: Tensor | None = None,
    unit: str = "",
    *,
    has_regions: bool = True,
    bands: int | Sequence[int] | None = None,
) -> list[Shown]:
    """Images with the heatmaps of one or several models; finding regions takes a tenth of a second each at 224 pixels.

    shown_images({"one room": before, "all rooms": after}, ["a.jpg", "b.jpg"])
    """
    return [_shown(every, number, name, roi, unit, has_regions, bands) for number, name in enumerate(names)]


def _shown(
    every: Mapping[str, Explanation],
    number: int,
    name: str,
    roi: Tensor | None,
    unit: str,
    has_regions: bool,
    bands: int | Sequence[int] | None,
) -> Shown:
    first = next(iter(every.values()))[number]
    maps = [
        each for model, explanation in every.items() for each in _maps(explanation, number, model, roi, unit)
    ]
    sizes = {each.values.shape for each in maps}
    if len(sizes) > 1:
        raise ExplainerError("explanations of different sizes cannot be laid over one image")
    best = detail.chosen(first, "auto")
    others = [other for other in ("regions", "smooth", "pixels") if other != best]
    regions = None
    if has_regions and first.method not in detail.SUMS and max(first.values.shape[3:]) > detail.SMALL:
        with suppress(ExplainerError):  # where there is no image to cut
            regions = detail.regions_of(first)[0].cpu().numpy()
    lacking = {"regions"} if regions is None else set()
    if first.values.dim() == 6:  # the viewer smooths images only
        lacking.add("smooth")
    details = [each for each in (best, *others) if each not in lacking] or ["pixels"]
    picture, drawn = picture_of(first, bands)
    return Shown(name, picture, maps, regions, details, caption=drawn, outline=_mask(roi, number, first))


def _maps(explanation: Explanation, number: int, model: str, roi: Tensor | None, unit: str) -> list[Map]:
    one = explanation[number]
    heat = one.heatmap()[0].detach().cpu().double().numpy()
    parts: list[dict[str, float]] = [{} for _ in heat]
    mask = _mask(roi, number, one)
    if mask is not None:
        sums = one.parts(torch.from_numpy(np.stack([~mask, mask]))).values[0].cpu().double().numpy()
        parts = [{"scene": float(scene), "region": float(region)} for scene, region in sums]
    return [
        Map(
            output=one.name_of(0, column),
            values=heat[column],
            prediction=float(one.predictions[0, column]),
            base_value=float(one.base_values[0, column]),
            unit=unit,
            method=one.method,
            model=model,
            parts=parts[column],
            about=None if (found := one.outline_of(0, column)) is None else found.cpu().numpy(),
        )
        for column in range(len(heat))
    ]


def _mask(roi: Tensor | None, number: int, one: Explanation) -> Bool[np.ndarray, "*sides"] | None:
    """An image's region of interest."""
    if roi is None:
        return None
    return np.asarray((roi if roi.dim() == one.values.dim() - 3 else roi[number]).bool().cpu())


def picture_of(
    explanation: Explanation, bands: int | Sequence[int] | None = None
) -> tuple[UInt8[np.ndarray, "*sides 3"], str]:
    """What is drawn under the heatmaps, from 0 to 255, and which bands these are, if not all."""
    return eight_bits(explanation.images[0], bands)
