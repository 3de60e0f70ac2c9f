"""What a detector found, whatever its library: boxes in pixels, and how sure it is of a label in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from shapsight.attribution.targets.aim import Answer, Labels
from shapsight.errors import ExplainerError

TAKEN = (
    "torchvision's list of dicts (boxes, labels, scores), Hugging Face's logits and pred_boxes, Ultralytics' results "
    "(.boxes.xyxy, .conf, .cls), or for each image an array of rows x1, y1, x2, y2, score, label"
)


@dataclass(frozen=True)
class Queries:
    """Detections of a transformer: a score of every label for every query, of which most find nothing.

    Softmax over the labels and "nothing", which is last (DETR, YOLOS); or a sigmoid for each label (RT-DETR).
    """

    logits: Float[Tensor, "images queries labels"]
    boxes: Float[Tensor, "images queries 4"]

    def probabilities(self, labels: int | None) -> Float[Tensor, "images queries labels"]:
        """A probability of every label. Raises `ExplainerError` where it is not known how many there are."""
        columns = self.logits.shape[2]
        if labels is None:
            raise ExplainerError(
                f'the detector scores {columns} labels, and it is not known whether the last stands for "nothing": '
                "name the labels in order with output_names= (of Box.of: labels=)"
            )
        if labels == columns - 1:
            return self.logits.softmax(2)[..., :-1]
        if labels == columns:
            return self.logits.sigmoid()
        raise ExplainerError(
            f'the detector scores {columns} labels, and {labels} have names: name each of them, without "nothing"'
        )


@dataclass(frozen=True)
class Found:
    """Detections in one image, as a list: boxes in pixels, one label each."""

    boxes: Float[Tensor, "found 4"]
    scores: Float[Tensor, "found"]
    labels: Float[Tensor, "found"]


def queries_in(raw: Any, size: Sequence[int]) -> Queries | None:
    """What a transformer of Hugging Face found, its boxes in pixels; None for another answer."""
    logits, boxes = (
        raw.get(part) if isinstance(raw, dict) else getattr(raw, part, None)
        for part in ("logits", "pred_boxes")
    )
    if not isinstance(logits, Tensor) or not isinstance(boxes, Tensor):
        return None
    height, width = size
    centre, extent = boxes[..., :2], boxes[..., 2:]
    corners = torch.cat([centre - extent / 2, centre + extent / 2], -1)
    return Queries(logits, corners * corners.new_tensor([width, height, width, height]))


def found_in(raw: Any, images: int) -> list[Found]:
    """What a detector found in each image. Raises `ExplainerError` for an answer that is none of a detector."""
    if isinstance(raw, dict) or _is_one(raw):
        raw = [raw]
    try:
        count = len(raw)
    except TypeError:
        count = -1
    if count != images:
        what = f"{count} parts" if count >= 0 else f"a {type(raw).__name__}"
        raise ExplainerError(
            f"Box explains detections; the model returns {what} for {images} images, not {TAKEN}"
        )
    return [_of_image(each) for each in raw]


def _is_one(raw: Any) -> bool:
    return hasattr(raw, "boxes") and not isinstance(raw, list | tuple)


def _of_image(each: Any) -> Found:
    if isinstance(each, dict) and {"boxes", "labels", "scores"} <= set(each):
        return _checked(each["boxes"], each["scores"], each["labels"])
    boxes = getattr(each, "boxes", None)
    if boxes is not None and all(hasattr(boxes, part) for part in ("xyxy", "conf", "cls")):
        return _checked(boxes.xyxy, boxes.conf, boxes.cls)
    try:
        rows = _tensor(each)
    except (TypeError, ValueError, RuntimeError):
        rows = torch.empty(0)
    if rows.numel() == 0 and isinstance(each, list | tuple | Tensor):
        rows = rows.reshape(0, 6).float()
    if rows.dim() != 2 or rows.shape[1] != 6:
        what = (
            f"a dict with {', '.join(map(str, each))}"
            if isinstance(each, dict)
            else f"a {type(each).__name__}"
        )
        raise ExplainerError(f"Box explains detections; the model returns {what} for an image, not {TAKEN}")
    return _checked(rows[:, :4], rows[:, 4], rows[:, 5])


def _checked(boxes: Any, scores: Any, labels: Any) -> Found:
    boxes, scores, labels = (_tensor(each) for each in (boxes, scores, labels))
    count = len(scores)
    if boxes.shape != (count, 4) or scores.shape != (count,) or labels.shape != (count,):
        if count or boxes.numel():
            raise ExplainerError(
                f"the detector returns boxes {tuple(boxes.shape)}, scores {tuple(scores.shape)} and labels "
                f"{tuple(labels.shape)} for an image; they must be (found, 4), (found,) and (found,)"
            )
        boxes = boxes.reshape(0, 4)
    return Found(boxes, scores, labels)


def _tensor(numbers: Any) -> Tensor:
    return numbers if isinstance(numbers, Tensor) else torch.as_tensor(numbers, dtype=torch.float32)


def scored(
    answer: Answer, number: int
) -> tuple[Float[Tensor, "images found 4"], Float[Tensor, "images found"]]:
    """All boxes, and how sure the detector is of a label in each; an image with fewer has boxes without size."""
    queries = queries_in(answer.raw, answer.size)
    if queries is not None:
        probabilities = queries.probabilities(answer.labels.count)
        if not 0 <= number < probabilities.shape[2]:
            raise ExplainerError(
                f"label {number} is out of range: the detector knows {probabilities.shape[2]}"
            )
        return queries.boxes, probabilities[..., number]
    found = found_in(answer.raw, answer.images)
    nothing = torch.zeros(1, 4)
    boxes = [torch.cat([each.boxes, nothing.to(each.boxes)]) for each in found]
    scores = [
        torch.cat([torch.where(each.labels == number, each.scores, 0.0), nothing[:, 0].to(each.scores)])
        for each in found
    ]
    return pad_sequence(boxes, batch_first=True), pad_sequence(scores, batch_first=True)


def names_in(raw: Any) -> tuple[str, ...]:
    """The labels' names, where a detection brings them, as those of Ultralytics do."""
    first = raw[0] if isinstance(raw, list | tuple) and raw else raw
    names = getattr(first, "names", None)
    if isinstance(names, dict):
        return tuple(str(names[number]) for number in sorted(names))
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def labels_of(labels: Any) -> Labels:
    """Names as a list in order, or as the `id2label` of Hugging Face."""
    if not labels:
        return Labels()
    names = [labels[number] for number in sorted(labels, key=int)] if isinstance(labels, dict) else labels
    return Labels(tuple(map(str, names)), len(names))
