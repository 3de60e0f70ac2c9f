"""Models that select by their activations: the image's selection is kept for the references."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from deep_parts import pictures, small
from shapsight import DeepShap
from shapsight.attribution.deep import SelectionWarning
from shapsight.errors import ExplainerError

Read = Callable[[Tensor, Any], Tensor]


def corners(x: Tensor) -> Tensor:
    """Six boxes of each image, moved and scored by what is in it."""
    centre = 2 + 4 * x[:, 0, :2, :3].flatten(1).sigmoid()
    half = 1 + x[:, 1, :2, :3].flatten(1).sigmoid()
    return torch.stack([centre - half, centre - half, centre + half, centre + half], -1)


def kept_boxes(x: Tensor) -> Tensor:
    """Of each image the boxes that suppress the others, by their numbers."""
    boxes, scores = corners(x), x[:, 2, :2, :3].flatten(1)
    return torch.stack([torchvision.ops.nms(b, s, 0.3)[:2] for b, s in zip(boxes, scores, strict=True)])


def numbered(boxes: Tensor) -> Tensor:
    numbers = torch.arange(len(boxes)).to(boxes).reshape(-1, 1, 1).expand(-1, boxes.shape[1], 1)
    return torch.cat([numbers, boxes], 2).flatten(0, 1)


def pooled(x: Tensor, boxes: Tensor) -> Tensor:
    y = torchvision.ops.roi_align(x.tanh(), numbered(boxes), 2, sampling_ratio=2)
    return y.reshape(len(x), -1)


# What is chosen of an image, and what is read of one by a choice that may be another's.
SELECTIONS: dict[str, tuple[Callable[[Tensor], Any], Read]] = {
    "argmax": (
        lambda x: x.flatten(2).argmax(2, keepdim=True),
        lambda x, p: x.flatten(2).gather(2, p).tanh().repeat(1, 1, 8),
    ),
    "argsort": (lambda x: x[:, 0].argsort(2), lambda x, p: x[:, 1].gather(2, p).square()),
    "max with its places": (
        lambda x: x.flatten(2).max(2, keepdim=True)[1],
        lambda x, p: x.flatten(2).tanh().gather(2, p).repeat(1, 1, 8),
    ),
    "places above a threshold": (
        lambda x: (x > 0.5).nonzero(as_tuple=True)[1:],
        lambda x, p: x.tanh()[(0, *p)].sum().expand(1, 16),
    ),
    "indexing by a mask": (lambda x: x > 0, lambda x, p: x.exp()[p].mean().expand(1, 16)),
    "an assignment at places": (
        lambda x: x.flatten(1).argsort(1)[0, :5],
        lambda x, p: torch.stack([*x.flatten(1).index_fill(1, p, 0.0)]).tanh(),
    ),
    "max unpooling": (
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
        lambda x, p: F.max_unpool2d(F.avg_pool2d(x, 2).exp(), p, 2),
    ),
    "suppression of boxes": (kept_boxes, lambda x, p: corners(x)[:, p[0]].square()),
    "pooling in boxes of the model's own": (corners, pooled),
}


class Selecting(nn.Module):
    def __init__(self, choose: Callable[[Tensor], Any], read: Read) -> None:
        super().__init__()
        self.choose, self.read, self.head = choose, read, nn.Linear(16, 3)

    def reading(self, x: Tensor, choice: Any) -> Tensor:
        return self.head(F.adaptive_avg_pool1d(self.read(x, choice).flatten(1).unsqueeze(1), 16).squeeze(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.reading(i, self.choose(i)) for i in x.split(1)])


@pytest.mark.parametrize("name", SELECTIONS)
def test_the_base_value_is_that_of_the_references_under_the_images_selection(name: str) -> None:
    model, images, references = (
        Selecting(*SELECTIONS[name]).double(),
        pictures(2, seed=3),
        pictures(3, seed=4),
    )
    with pytest.warns(SelectionWarning, match="the base value is that of the references under the image's"):
        explanation = DeepShap(model, references)(images)
    for number, image in enumerate(images.split(1)):
        choice = model.choose(image)
        base = torch.cat([model.reading(b, choice) for b in references.split(1)]).mean(0)
        torch.testing.assert_close(explanation.base_values[number], base)
    torch.testing.assert_close(explanation.predictions, model(images))
    change = explanation.predictions - explanation.base_values
    torch.testing.assert_close(explanation.values.sum((2, 3, 4)), change, rtol=1e-9, atol=1e-12)
    assert "the image's" in explanation.settings["selection"]


FOLLOWED: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "topk": lambda m, x: x.tanh().flatten(1).topk(32, 1)[0],
    "topk, the smallest, in place of the last dimension": lambda m, x: x.topk(3, largest=False).values,
    "sort": lambda m, x: x.flatten(1).sort(descending=True, dim=1)[0],
    "kthvalue": lambda m, x: x.flatten(2).kthvalue(5, keepdim=True)[0].repeat(1, 1, 8),
    "median": lambda m, x: x.flatten(2).median(2).values.repeat(1, 8),
    "median of everything": lambda m, x: torch.stack([i.median() for i in x]).reshape(-1, 1).repeat(1, 16),
    "attention to the largest only": lambda m, x: (
        x.masked_fill(x < x.topk(2)[0][..., -1:], -torch.inf).softmax(-1) @ x.tanh()
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.filterwarnings("ignore::shapsight.attribution.deep.SelectionWarning")
def test_calls_that_select_keep_the_sum(name: str) -> None:
    model, images, references = small(FOLLOWED[name]), pictures(2, seed=3), pictures(3, seed=4)
    explanation = DeepShap(model, references)(images)
    torch.testing.assert_close(explanation.predictions, model(images))
    change = explanation.predictions - explanation.base_values
    assert (explanation.completeness_gap.abs() < 1e-9 * change.abs()).all()


def test_the_largest_values_are_read_where_the_image_has_them() -> None:
    class Largest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).topk(3)[0].sum(1, keepdim=True)

    images, references = pictures(2, seed=3), pictures(4, seed=4)
    with pytest.warns(SelectionWarning, match="topk in the model itself"):
        values = DeepShap(Largest(), references)(images).values[:, 0]
    for image, value in zip(images, values, strict=True):
        largest = image >= image.flatten().topk(3)[0][-1]
        expected = torch.where(largest, image - references.mean(0), 0.0)
        torch.testing.assert_close(value, expected)


def test_a_gate_made_by_comparing_another_tensor_is_no_selection_and_stays_refused() -> None:
    model = small(lambda m, x: x * (x.mean((2, 3), keepdim=True) > 0))
    with pytest.raises(ExplainerError, match="may only meet the tensor that was compared"):
        DeepShap(model, pictures(3))(pictures(1, seed=1))


def looped(body: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    return lambda m, x: torch.cat([body(m, image) for image in x.split(1)])


BODIES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "activations": lambda m, x: F.gelu(m.c(x)) * x.sigmoid(),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, m.c(x), x),
    "a norm seen through a view of one image": lambda m, x: (
        m.n(x.exp()).flatten(2).transpose(1, 2) * torch.arange(3).to(x)
    ).tanh(),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_loop_over_the_images_gives_what_the_whole_batch_gives(name: str) -> None:
    torch.manual_seed(0)
    parts = {"c": nn.Conv2d(3, 3, 3, padding=1), "n": nn.BatchNorm2d(3)}
    parts["n"].running_var.uniform_(0.5, 2.0)
    together, alone = small(BODIES[name], **parts), small(looped(BODIES[name]), **parts)
    alone.head.load_state_dict(together.head.state_dict())
    images, references = pictures(2, seed=3), pictures(3, seed=4)
    expected, found = (DeepShap(model, references)(images) for model in (together, alone))
    torch.testing.assert_close(found.values, expected.values, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.base_values, expected.base_values)


def test_patches_in_a_random_order_that_changes_no_prediction_get_what_they_get_in_order() -> None:
    def body(order: Callable[[int], Tensor]) -> Callable[[Any, Tensor], Tensor]:
        def run(m: Any, x: Tensor) -> Tensor:
            patches = x.flatten(2).transpose(1, 2)
            patches = torch.stack([image[order(64)] for image in patches])
            return (patches @ patches.transpose(1, 2)).softmax(2).matmul(patches.exp()).mean(1)

        return run

    shuffled, ordered = small(body(torch.randperm)), small(body(torch.arange))
    ordered.head.load_state_dict(shuffled.head.state_dict())
    images, references, state = pictures(2, seed=3), pictures(3, seed=4), torch.get_rng_state()
    found = DeepShap(shuffled, references)(images)
    torch.testing.assert_close(found.values, DeepShap(ordered, references)(images).values)
    assert torch.equal(torch.get_rng_state()[:8], state[:8])


class Head(nn.Module):
    """The three best scores that a detector of torchvision's gives an image."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([found["scores"][:3] for found in self.detector(list(x))])


def faster_rcnn() -> nn.Module:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.GELU(), nn.Conv2d(8, 8, 3, 2, 1), nn.GELU())
    backbone.out_channels = 8  # type: ignore[assignment]
    anchors = torchvision.models.detection.rpn.AnchorGenerator(((16, 32),), ((0.5, 1.0, 2.0),))
    pool = torchvision.ops.MultiScaleRoIAlign(["0"], 3, 2)
    return torchvision.models.detection.FasterRCNN(
        backbone,
        num_classes=4,
        rpn_anchor_generator=anchors,
        box_roi_pool=pool,
        min_size=64,
        max_size=64,
        box_score_thresh=0.0,
        rpn_post_nms_top_n_test=20,
    )


def test_the_scores_of_a_two_stage_detector_are_explained_under_its_own_proposals() -> None:
    torch.manual_seed(0)
    model = Head(faster_rcnn()).eval().double()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=2 * parameter[0].numel() ** -0.5)
    images, references = torch.rand(2, 3, 64, 64).double(), torch.rand(2, 3, 64, 64).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        explanation = DeepShap(model, references)(images)
    torch.testing.assert_close(explanation.predictions, model(images))
    change = (explanation.predictions - explanation.base_values).abs()
    assert (explanation.completeness_gap.abs() < 1e-9 * change.max()).all()
    for call in ("topk", "nms", "roi_align"):
        assert call in explanation.settings["selection"]
