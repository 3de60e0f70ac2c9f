"""A detector's box as a target: is there still such a detection?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchvision.ops import box_iou

from shapsight.attribution.shared.numbers import is_whole
from shapsight.attribution.targets.aim import Aim, Answer, Ask, itself, module_of
from shapsight.attribution.targets.anchors import anchor_of, has_head, head_logits
from shapsight.attribution.targets.dense import flat, said
from shapsight.attribution.targets.detections import (
    found_in,
    labels_of,
    names_in,
    queries_in,
    scored,
)
from shapsight.data.framing import Frame
from shapsight.errors import ExplainerError

MOST_TOLD = 5  # detections that are told where none of the box's label is there


@dataclass(frozen=True)
class Box(Aim):
    """Why does a detector see this here? The score of the best detection of a label, weighted by overlap with a box.

        PartitionShap(detector, "blur(64,64)")(images, Box(18, (10, 20, 120, 200)))     # of torchvision: 18 is a dog
        box = Box.of(detector(images), k=0)                               # the surest detection of the first image
        RegionShap(detr, "mean", "grid(3,3)")(images, Box("dog", (10, 20, 120, 200)))
        DeepShap(detr, references)(images, Box("dog", (10, 20, 120, 200), query=3))
        PartitionShap(yolo, "mean")(photographs, Box("dog", (10, 20, 120, 200)))        # a function that returns boxes

    Without `query` it is the largest `IoU(box, detection) · probability` over all detections, from 0 to 1: D-RISE's
    score, with the probability of the box's label in place of the likeness of all labels' probabilities. Where a
    detector gives each query a probability of every label (DETR, YOLOS, RT-DETR) it is that; where it gives a
    detection one label and its score (torchvision, Ultralytics) it is the score, and 0 of other labels. It jumps where
    a detection goes below the detector's threshold or another one becomes the best, so black-box methods suit it.

    With `query` it is the logit of the label in that query of a transformer (`logits[:, query, label]`), or at that
    anchor of a one-stage detector of torchvision (RetinaNet, SSD, FCOS: `cls_logits[:, query, label]` of its head,
    before anything is thresholded). That is smooth, so DeepShap and GradientShap explain it.

    Arguments
        label: a number, or a name where the model or `output_names=` has names.
        xyxy: left, top, right, bottom, in pixels of the image that the model is given.

    Raises `ExplainerError` for a box without size or outside the image, and a label that is not known.
    Source: Petsiuk et al. 2021 (D-RISE).
    """

    label: int | str
    xyxy: tuple[float, float, float, float]
    query: int | None = None

    def __post_init__(self) -> None:
        given = self.xyxy.tolist() if isinstance(self.xyxy, Tensor | np.ndarray) else self.xyxy
        try:
            edges = tuple(float(edge) for edge in given)
        except (TypeError, ValueError):
            edges = ()
        if len(edges) != 4 or not all(map(math.isfinite, edges)):
            raise ExplainerError(
                f"Box(xyxy={given!r}): four numbers are needed, left, top, right and bottom in pixels"
            )
        if edges[0] >= edges[2] or edges[1] >= edges[3]:
            raise ExplainerError(
                f"Box(xyxy={edges}) has no size: it is left, top, right, bottom, not left, top, width, height"
            )
        if self.query is not None and (not is_whole(self.query) or self.query < 0):
            raise ExplainerError(f"Box(query={self.query!r}): a query or anchor is a whole number from 0")
        object.__setattr__(self, "xyxy", edges)

    @classmethod
    def of(
        cls,
        prediction: Any,
        k: int = 0,
        *,
        image: int = 0,
        size: Sequence[int] | None = None,
        labels: Sequence[str] | Mapping[int, str] | None = None,
    ) -> Box:
        """The kth surest detection that a model returned for an image.

            Box.of(detector(images))                                       # torchvision
            Box.of(detr(images), size=images.shape[2:], labels=detr.config.id2label)
            Box.of(yolo(photographs), k=0, image=1)                        # Ultralytics: the surest of the second image

        Arguments
            size: (height, width) of the image, for Hugging Face, whose boxes are shares of it.
            labels: their names in order, which the box then bears.

        Of Hugging Face's it is bound to its query, so that DeepShap and GradientShap can explain it; `.loose` is it
        without. Raises `ExplainerError` where there are not so many detections.
        """
        known = labels_of(labels)
        queries = None if size is None else queries_in(prediction, size)
        if queries is not None:
            probabilities = queries.probabilities(known.count)[image]
            surest = probabilities.amax(1).argsort(descending=True)
            query = int(surest[_kth(k, len(surest), image)])
            number, boxes = int(probabilities[query].argmax()), queries.boxes[image, query]
            return cls(_named(number, known.names), tuple(boxes.tolist()), query)
        is_transformers = size is None and queries_in(prediction, (1, 1)) is not None
        if is_transformers:
            raise ExplainerError(
                "Box.of: these boxes are shares of the image; give size=(height, width) in pixels"
            )
        count = 1 if isinstance(prediction, dict) or not hasattr(prediction, "__len__") else len(prediction)
        found = found_in(prediction, count)[image]
        names = known.names or names_in(prediction)
        at = int(found.scores.argsort(descending=True)[_kth(k, len(found.scores), image)])
        return cls(_named(int(found.labels[at]), names), tuple(found.boxes[at].tolist()))

    @property
    def loose(self) -> Box:
        """The same box, bound to no query: D-RISE's score."""
        return dataclasses.replace(self, query=None)

    def anchored(
        self, model: nn.Module, image: Float[Tensor, "channels height width"], labels: Sequence[str] = ()
    ) -> Box:
        """Bound to the query or anchor that this detection of an image came from.

            box = Box.of(retinanet(images)).anchored(retinanet, images[0])
            DeepShap(retinanet, references)(images[:1], box)

        It is that whose probability of the label times overlap with the box is the largest; of torchvision's one-stage
        detectors, whose anchors a prediction does not name, that whose logit gives the score of the best detection.
        Raises `ExplainerError` for detectors in two stages, and where there is no such detection.
        """
        return dataclasses.replace(self, query=anchor_of(self, model, image, labels))

    @property
    def name(self) -> str:
        at = ", ".join(f"{edge:.0f}" for edge in self.xyxy)
        return f"{said(self.label)} at {at}" + ("" if self.query is None else f" (query {self.query})")

    def asks(self, model: Any) -> Ask:
        return head_logits if self.query is not None and has_head(module_of(model)) else itself

    def read(self, answer: Answer) -> Float[Tensor, "images"]:
        return self._logit(answer) if self.query is not None else self._weighed(answer).amax(1)

    def _weighed(self, answer: Answer) -> Float[Tensor, "images found"]:
        """Overlap times probability of each detection."""
        names = answer.labels.names or names_in(answer.raw)
        number = dataclasses.replace(answer.labels, names=names).number(self.label)
        boxes, scores = scored(answer, number)
        overlaps = box_iou(boxes.flatten(0, 1), boxes.new_tensor([self.xyxy])).reshape(scores.shape)
        weighed: Tensor = overlaps * scores
        return weighed

    def _logit(self, answer: Answer) -> Float[Tensor, "images"]:
        """The logit of the query."""
        raw = answer.raw
        logits = raw.get("logits") if isinstance(raw, dict) else getattr(raw, "logits", raw)
        if not isinstance(logits, Tensor) or logits.dim() != 3:
            raise ExplainerError(
                f"{self.name}: this detector has no logit of a query or anchor (those of Hugging Face and the "
                "one-stage detectors of torchvision have): leave query= out, and use PartitionShap or RegionShap"
            )
        number = answer.labels.number(self.label)
        assert self.query is not None
        if self.query >= logits.shape[1] or not 0 <= number < logits.shape[2]:
            raise ExplainerError(
                f"{self.name}: the detector has {logits.shape[1]} queries or anchors and {logits.shape[2]} labels"
            )
        return logits[:, self.query, number]

    def check(self, size: Sequence[int]) -> None:
        height, width = flat(size, "Box")
        left, top, right, bottom = self.xyxy
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            raise ExplainerError(
                f"Box(xyxy={self.xyxy}) lies outside of the image, which is {width} pixels wide and {height} high"
            )

    @property
    def may_be_missing(self) -> bool:
        return self.query is None

    def refuse_nothing(self, answers: Callable[[Aim], Answer]) -> None:
        answer = answers(self)
        if self.query is None and not (self._weighed(answer).amax(1) > 0).all():
            raise ExplainerError(self._told(answer))

    def _told(self, answer: Answer) -> str:
        """What the detector finds in the first image instead."""
        nothing = f"the detector finds no {said(self.label)} there that overlaps with the box {self.xyxy}"
        if queries_in(answer.raw, answer.size) is not None:
            return nothing
        found = found_in(answer.raw, answer.images)[0]
        if not len(found.scores):
            return f"{nothing}: it finds nothing at all in this image"
        names = answer.labels.names or names_in(answer.raw)
        surest = found.scores.argsort(descending=True)[:MOST_TOLD].tolist()
        told = [
            f"{said(_named(int(found.labels[at]), names))} {found.scores[at]:.2f} at "
            f"{', '.join(f'{edge:.0f}' for edge in found.boxes[at].tolist())}"
            for at in surest
        ]
        return f"{nothing}. Its surest detections: {'; '.join(told)}"

    def outline(self, size: Sequence[int]) -> Bool[Tensor, "height width"]:
        left, top, right, bottom = self.xyxy
        rows, columns = (torch.arange(side) + 0.5 for side in size[-2:])
        inside: Tensor = ((rows >= top) & (rows <= bottom))[:, None] & (
            (columns >= left) & (columns <= right)
        )
        return inside

    def seen_in(self, frame: Frame, size: tuple[int, int], seen: tuple[int, int]) -> Aim:
        self.check(size)
        corners = np.array(self.xyxy, dtype=float).reshape(2, 2)
        (left, top), (right, bottom) = frame.seen_at(corners, seen) + 0.5
        (left, right), (top, bottom) = sorted(map(float, (left, right))), sorted(map(float, (top, bottom)))
        edges = (left, top, right, bottom)
        return dataclasses.replace(self, xyxy=edges)


def _named(number: int, names: Sequence[str]) -> int | str:
    return names[number] if 0 <= number < len(names) and list(names).count(names[number]) == 1 else number


def _kth(k: int, count: int, image: int) -> int:
    if not is_whole(k) or not 0 <= k < count:
        raise ExplainerError(
            f"Box.of(k={k!r}): the detector finds {count} things in image {image}, counted from 0, the surest first"
        )
    return int(k)
