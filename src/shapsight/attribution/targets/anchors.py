"""The logits of a detector before anything is thresholded: a transformer's queries, torchvision's anchors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import box_iou

from shapsight.attribution.shared.modules import left_as_found
from shapsight.attribution.targets.aim import Answer
from shapsight.attribution.targets.detections import queries_in, scored
from shapsight.attribution.targets.labels import labels_known
from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from shapsight.attribution.targets.boxes import Box


def has_head(model: Any) -> bool:
    """Whether it is a detector of torchvision in one stage."""
    return isinstance(model, nn.Module) and all(
        hasattr(model, part) for part in ("transform", "backbone", "head", "anchor_generator")
    )


def head_answer(model: Any, images: Float[Tensor, "images channels height width"]) -> dict[str, Tensor]:
    """What the head says at every anchor, as the model asks it, but of all images together: they have one size."""
    features = model.backbone(_transformed(model.transform, images))
    answer: dict[str, Tensor] = model.head(
        [features] if isinstance(features, Tensor) else list(features.values())
    )
    return answer


def head_logits(
    model: Any, images: Float[Tensor, "images channels height width"]
) -> Float[Tensor, "images anchors labels"]:
    """The logits of every anchor, before anything is thresholded."""
    return head_answer(model, images)["cls_logits"]


def _transformed(transform: Any, images: Tensor) -> Tensor:
    """What the model's own transform makes of images, which it resizes one by one: here as the channels of one."""
    resized, _ = transform.resize(transform.normalize(images).flatten(0, 1), None)
    height, width = (-side % transform.size_divisible for side in resized.shape[1:])
    return F.pad(resized.unflatten(0, images.shape[:2]), (0, width, 0, height))


def anchor_of(box: Box, model: nn.Module, image: Tensor, labels: Sequence[str]) -> int:
    """The query or anchor that a detection of an image came from. See `Box.anchored`."""
    known = labels_known(model, labels)
    number = known.number(box.label)
    with left_as_found(model), torch.no_grad():
        raw = model(image[None])
        answer = Answer(raw, 1, tuple(image.shape[1:]), known)
        box.loose.refuse_nothing(lambda _box: answer)
        boxes, scores = scored(answer, number)
        best = int((box_iou(boxes[0], boxes.new_tensor([box.xyxy]))[:, 0] * scores[0]).argmax())
        if queries_in(raw, answer.size) is not None:
            return best
        if not has_head(model):
            raise ExplainerError(
                f"{box.name}: {type(model).__name__} finds boxes in two stages, and no logit belongs to one before "
                "it is found: explain the box without a query, with PartitionShap or RegionShap"
            )
        return _with_score(model, image, number, float(scores[0, best]))


def _with_score(model: nn.Module, image: Tensor, number: int, score: float) -> int:
    """The anchor whose score of a label is nearest to one that the model gave."""
    answer = head_answer(model, image[None])
    logits = answer["cls_logits"][0]
    if "bbox_ctrness" in answer:  # FCOS
        scores = (logits[:, number].sigmoid() * answer["bbox_ctrness"][0].flatten().sigmoid()).sqrt()
    elif type(model).__name__ == "SSD":
        scores = logits.softmax(1)[:, number]
    else:
        scores = logits[:, number].sigmoid()
    return int((scores - score).abs().argmin())
