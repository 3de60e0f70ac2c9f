"""`explain`: from a bundle, a model or a function to an explanation, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.gradient import GradientShap
from shapsight.attribution.partition import PartitionShap
from shapsight.attribution.regions import RegionShap
from shapsight.attribution.shared.outputs import Outputs
from shapsight.attribution.shared.progress import Report
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences

Method = Literal["deep", "gradient", "partition", "regions"]
METHODS: tuple[Method, ...] = ("deep", "gradient", "partition", "regions")
DEFAULT_MASKER, DEFAULT_REGIONS = "inpaint_diffuse", "grid(4,4)"


def explain(
    model: Bundle | nn.Module | Callable[..., Any],
    images: Any,
    method: Method = "deep",
    outputs: Outputs = None,
    *,
    references: Tensor | Sequence[Tensor] | ChosenReferences | None = None,
    masker: Any = DEFAULT_MASKER,
    regions: Any = DEFAULT_REGIONS,
    output_names: Sequence[str] | None = None,
    progress: bool | Report = False,
    **options: Any,
) -> Explanation:
    """Explain images in one call; preprocessing, references and names come from the bundle, if it is one.

        explain(load_bundle("runs/lockers/model"), images)                       # uint8 images, as load_images makes
        explain(bundle, images, "partition", "x", masker="blur(64,64)", max_evals=1000)
        explain(model, images, "gradient", TopK(4), references=references, samples=400)
        explain(predict, photographs, "partition", TopK(4), masker="inpaint_telea")   # any function

    Arguments
        model: a `Bundle`, an `nn.Module`, or for "partition" and "regions" any function.
        images: of a bundle, uint8 `(N, 3, size, size)`; else what the method takes.
        method: "deep" (DeepShap), "gradient" (GradientShap), "partition" (PartitionShap), "regions" (RegionShap).
        references: for "deep" and "gradient", prepared like the images; a bundle has its own.
        masker, regions: for the black-box methods; see `shapsight.maskers` and `RegionShap`.
        options: whatever else the method's class takes, such as `samples=` or `max_evals=`.

    Raises `ExplainerError` for a method that is none, missing references, or options that the method does not have.
    """
    if method not in METHODS:
        raise ExplainerError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    show, explained = None, model
    if isinstance(model, Bundle):
        model.check(images)
        show = images.float() / 255
        output_names = model.card.output_names if output_names is None else output_names
        if method in ("deep", "gradient"):
            references = model.prepared_references() if references is None else references
            explained, images = model.model, model.prepare(images)
        else:
            explained = model.on_pictures
    if method in ("deep", "gradient") and references is None:
        raise ExplainerError(
            f"method={method!r} compares with references: pass references=, images that stand for 'feature absent', "
            "prepared like the images; 20 to 100 of the training images are usual"
        )
    options = {"output_names": output_names, **options}
    explainer = _explainer(method, explained, references, masker, regions, options)
    explanation: Explanation = explainer(images, outputs, progress=progress, show=show)
    return explanation


def _explainer(
    method: Method,
    model: Any,
    references: Tensor | Sequence[Tensor] | ChosenReferences | None,
    masker: Any,
    regions: Any,
    options: dict[str, Any],
) -> Any:
    try:
        if method == "deep":
            return DeepShap(model, _as_parts(references), **options)
        if method == "gradient":
            return GradientShap(model, _as_parts(references), **options)
        if method == "partition":
            return PartitionShap(model, masker, **options)
        return RegionShap(model, masker, regions, **options)
    except TypeError as error:  # an option of another method
        raise ExplainerError(f"method={method!r}: {error}") from error


def _as_parts(references: Any) -> Tensor | Sequence[Tensor] | ChosenReferences:
    """References as tensors, one for each input of the model; an array becomes one."""
    if isinstance(references, ChosenReferences):
        return references
    is_several = isinstance(references, list | tuple) and all(isinstance(part, Tensor) for part in references)
    parts: Tensor | Sequence[Tensor] = references if is_several else torch.as_tensor(references)
    return parts
