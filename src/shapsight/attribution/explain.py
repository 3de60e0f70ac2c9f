"""`explain`: from a bundle, a model or a function to an explanation, in one call."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.on_image import on_image as laid_on_image
from shapsight.attribution.gradient import GradientShap
from shapsight.attribution.partition import PartitionShap
from shapsight.attribution.regions import RegionShap
from shapsight.attribution.shared.outputs import Outputs
from shapsight.attribution.shared.progress import Report
from shapsight.attribution.targets.aimed import are_aimed, are_placed, called, carried, several
from shapsight.data.framing import Frame
from shapsight.errors import ExplainerError, ModelError
from shapsight.models.bundle import Bundle
from shapsight.models.functions import is_keras
from shapsight.models.pictures import as_pictures
from shapsight.models.references import ChosenReferences

Method = Literal["deep", "gradient", "partition", "regions"]
METHODS: tuple[Method, ...] = ("deep", "gradient", "partition", "regions")
COMPARING = ("deep", "gradient")  # the methods that need references
BEHIND = 4  # references that pixels are hidden behind by a study of a function: each is asked about
EVALUATIONS = 128
DEFAULT_MASKER, DEFAULT_REGIONS = "inpaint_diffuse", "grid(4,4)"


def explain(
    model: Bundle | nn.Module | Callable[..., Any],
    images: Any,
    method: Method | None = None,
    outputs: Outputs = None,
    *,
    references: Any = None,
    masker: Any = DEFAULT_MASKER,
    regions: Any = DEFAULT_REGIONS,
    output_names: Sequence[str] | None = None,
    on_image: bool | None = None,
    progress: bool | Report = False,
    **options: Any,
) -> Explanation:
    """Explain images in one call; preprocessing, references and names come from the bundle, if it is one.

        explain(load_bundle("runs/lockers/model"), ["a.jpg", "b.jpg"], "deep", "x")
        explain(Bundle.wrap(network, transform, references=photos), pil_image)
        explain(bundle, image, "partition", "x", masker="blur(64,64)", max_evals=1000)
        explain(model, images, "gradient", TopK(4), references=references, samples=400)
        explain(predict, photographs, "partition", TopK(4), masker="inpaint_telea")   # any function

    Arguments
        model: a `Bundle`, an `nn.Module`, or for "partition" and "regions" any function.
        images: of a bundle, whatever `Bundle.pictures` takes: paths, PIL images, arrays, uint8 tensors, one or many;
            else what the method takes.
        method: "deep" (DeepShap), "gradient" (GradientShap), "partition" (PartitionShap), "regions" (RegionShap); by
            default "deep", and "partition" where no gradient can be had.
        references: for "deep" and "gradient", images like the others; a bundle has its own.
        masker, regions: for the black-box methods; see `shapsight.maskers` and `RegionShap`.
        outputs: names, numbers, `TopK(k)`, or `shapsight.targets`. Targets about pixels are in those of the images
            given: of a bundle, wherever its transform cropped, resized or padded.
        on_image: of a bundle, lay values on the images' own pixels, wherever the transform cropped, resized or padded
            (larger images are drawn with 1024 pixels a side). By default where all images are of one size and the
            place of what is seen is known; otherwise values are of what the model sees, with a warning. A uint8 tensor
            of the size that the model sees is explained as it is.
        options: whatever else the method's class takes, such as `samples=` or `max_evals=`.

    Raises `ExplainerError` for a method that is none, missing references, or options that the method does not have,
    and `ModelError` where `on_image=True` and a transform turns or warps images.
    """
    if method is None:
        method = "deep" if _has_gradients(model) else "partition"
    if method not in METHODS:
        raise ExplainerError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    options = {"output_names": output_names, **options}
    originals = given = None
    if isinstance(model, Bundle) and model.seen.is_stored:
        images = model.pictures(images)
    elif isinstance(model, Bundle) and not model.is_seen(images):
        originals = as_pictures(images)
        images = model.see(originals)
        if are_aimed(outputs):
            given, outputs = outputs, _carried(outputs, originals, model)
    explainer = _explainer(method, model, references, masker, regions, options)
    explanation: Explanation = explainer(images, outputs, progress=progress)
    if given is not None:  # called as the user places them
        explanation = dataclasses.replace(explanation, output_names=called(given))
    if originals is None or on_image is False or not isinstance(model, Bundle):
        return explanation
    return _laid(explanation, originals, model, is_asked_for=on_image is True)


def attributions(
    bundle: Bundle,
    pictures: UInt8[Tensor, "images 3 height width"],
    outputs: Outputs,
    *,
    references: int | None = None,
    progress: bool | Report = False,
) -> Explanation:
    """How a study explains: DeepSHAP against the references, PartitionSHAP behind some of them of a mere function.

    `references`: of the bundle's, how many DeepSHAP compares with; None for all. Explanations are of what the model
    sees.
    """
    if bundle.has_gradients:
        chosen = bundle.prepared_references(references)
        return explain(bundle, pictures, "deep", outputs, references=chosen, progress=progress)
    behind = bundle.references[:BEHIND]
    return explain(
        bundle, pictures, "partition", outputs, masker=behind, max_evals=EVALUATIONS, progress=progress
    )


def _carried(outputs: Any, originals: Sequence[Any], bundle: Bundle) -> list[Any]:
    """Targets in pixels of the images, in those of what the model sees."""
    sizes = {(pixels.shape[0], pixels.shape[1]) for pixels in originals}
    if not are_placed(outputs, originals[0].shape[:2]):
        return several(outputs)
    if len(sizes) > 1:
        raise ExplainerError(
            f"images of {len(sizes)} sizes were given with a target that is about some of their pixels: explain them "
            "one by one"
        )
    size = sizes.pop()
    height, width = bundle.seen.size[-2:]
    return carried(outputs, bundle.seen.frame(*size), size, (height, width))


def _laid(found: Explanation, originals: Sequence[Any], bundle: Bundle, *, is_asked_for: bool) -> Explanation:
    """An explanation on the images' own pixels, where these have one size and their place is known."""
    sizes = {pixels.shape[:2] for pixels in originals}
    reason = f"images of {len(sizes)} sizes were given together" if len(sizes) > 1 else ""
    if not reason:
        height, width = sizes.pop()
        try:
            frame = bundle.seen.frame(height, width)
        except ModelError as error:
            if is_asked_for:
                raise
            reason = str(error)
    if reason:
        if is_asked_for:
            raise ExplainerError(f"values cannot be laid on the images: {reason}. Explain them one by one")
        warnings.warn(f"values are of what the model sees: {reason}", stacklevel=3)
        return found
    if (height, width) == bundle.seen.size and frame == Frame(0, 0, width, height):
        return found
    tensors = [torch.from_numpy(pixels).permute(2, 0, 1) for pixels in originals]
    return Explanation.concatenate([laid_on_image(found[n], frame, image) for n, image in enumerate(tensors)])


def _has_gradients(model: Any) -> bool:
    if isinstance(model, Bundle):
        return model.has_gradients
    return isinstance(model, nn.Module) and not is_keras(model)


def _explainer(
    method: Method,
    model: Any,
    references: Tensor | Sequence[Tensor] | ChosenReferences | None,
    masker: Any,
    regions: Any,
    options: dict[str, Any],
) -> Any:
    if method in COMPARING and references is None and not isinstance(model, Bundle):
        raise ExplainerError(
            f"method={method!r} compares with references: pass references=, images that stand for 'feature absent', "
            "prepared like the images; 20 to 100 of the training images are usual"
        )
    given = references if isinstance(model, Bundle) else _as_parts(references)
    try:
        if method == "deep":
            return DeepShap(model, given, **options)
        if method == "gradient":
            return GradientShap(model, given, **options)
        if method == "partition":
            return PartitionShap(model, masker, **options)
        return RegionShap(model, masker, regions, **options)
    except TypeError as error:  # an option of another method
        raise ExplainerError(f"method={method!r}: {error}") from error


def _as_parts(references: Any) -> Any:
    """References as tensors, one for each input of the model; an array becomes one."""
    if references is None or isinstance(references, ChosenReferences):
        return references
    is_several = isinstance(references, list | tuple) and all(isinstance(part, Tensor) for part in references)
    parts: Tensor | Sequence[Tensor] = references if is_several else torch.as_tensor(references)
    return parts
