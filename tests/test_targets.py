"""Targets: what is explained, as an object; against formulas written here, brute force or the model's own words."""

from __future__ import annotations

import inspect
import itertools
import math
import re
import textwrap
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.transforms import v2

import shapsight as ss
from shapsight.attribution.targets import (
    Box,
    Contrast,
    Entropy,
    Mask,
    Pixel,
    Region,
    Similarity,
    Target,
    Text,
)
from shapsight.attribution.targets.aim import Answer, Labels
from shapsight.attribution.targets.anchors import head_logits
from shapsight.attribution.targets.spoken import spoken
from shapsight.compat import shap
from shapsight.errors import ExplainerError
from targets_world import RedThings, names, small_clip, small_detr, small_segformer, small_ssd, tokens

NAMES = ("nothing", "red thing")
SQUARE = (4.0, 6.0, 14.0, 12.0)
LABELS = {0: "cat", 1: "dog", 2: "bird"}


def with_square() -> Tensor:
    image = torch.full((1, 3, 20, 20), 0.5)
    left, top, right, bottom = map(int, SQUARE)
    image[:, :, top:bottom, left:right] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    return image


def shapley(worth, players: int) -> list[float]:
    """Shapley's formula as it stands."""
    shares = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        total = 0.0
        for size in range(players):
            for coalition in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
                total += weight * (worth({*coalition, player}) - worth(set(coalition)))
        shares.append(total)
    return shares


def test_a_box_is_shared_among_regions_by_shapleys_formula():
    image, box = with_square(), Box("red thing", (4, 6, 12, 14))
    labels = torch.arange(4).reshape(2, 2).repeat_interleave(10, 0).repeat_interleave(10, 1)

    def worth(visible: set[int]) -> float:
        shown = torch.isin(labels, torch.tensor(sorted(visible), dtype=torch.long))
        red = torch.zeros(20, 20, dtype=torch.bool)
        red[6:12, 4:14] = True
        rows, columns = ((red & shown).any(side).nonzero().flatten() for side in (1, 0))
        if not len(rows):
            return 0.0
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        shared = max(0, min(right, 12) - max(left, 4)) * max(0, min(bottom, 14) - max(top, 6))
        union = 64 + (right - left) * (bottom - top) - shared
        return float(shared / union * (red & shown).sum() / 60)

    explainer = ss.RegionShap(RedThings(), 0.5, labels, output_names=NAMES)
    found = explainer.by_region(image, box)
    assert found.values[0, 0].tolist() == pytest.approx(shapley(worth, 4), abs=1e-6)
    assert found.output_names == ("red thing at 4, 6, 12, 14",)


def test_the_square_that_a_detector_sees_has_all_of_its_boxs_score():
    found = ss.PartitionShap(RedThings(), 0.5, max_evals=400)(with_square(), Box(1, SQUARE))
    inside = found.outline_of(0, 0)
    assert found.predictions.item() == pytest.approx(1.0)
    assert found.base_values.item() == 0.0
    assert inside.sum() == 60
    assert found.heatmap()[0, 0][inside].sum().item() == pytest.approx(1.0, abs=0.02)


def ultralytics(found: list[tuple[list[float], float, int]]) -> SimpleNamespace:
    boxes, scores, labels = zip(*found, strict=True)
    own = SimpleNamespace(
        xyxy=torch.tensor(boxes), conf=torch.tensor(scores), cls=torch.tensor(labels).float()
    )
    return SimpleNamespace(boxes=own, names=LABELS)


def test_every_kind_of_detections_is_read_to_the_same_score():
    found = [([0.0, 0.0, 4.0, 4.0], 0.9, 1), ([2.0, 2.0, 8.0, 8.0], 0.6, 1), ([2.0, 2.0, 8.0, 8.0], 0.99, 0)]
    boxes, scores, labels = zip(*found, strict=True)
    as_dict = {"boxes": torch.tensor(boxes), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}
    rows = [[*edges, score, label] for edges, score, label in found]
    box = Box("dog", (2, 2, 8, 10))
    expected = max(0.9 * 4 / (48 + 16 - 4), 0.6 * 36 / 48)
    for raw in (as_dict, ultralytics(found), np.array(rows), rows):
        answer = Answer([raw, raw], 2, (20, 20), Labels(tuple(LABELS.values()), 3))
        assert box.read(answer).tolist() == pytest.approx([expected] * 2)
    assert box.read(Answer([ultralytics(found)], 1, (20, 20))).item() == pytest.approx(expected)
    assert Box.of([ultralytics(found)], 0) == Box("cat", (2, 2, 8, 8))
    assert Box.of([as_dict], 1, labels=LABELS) == Box("dog", (0, 0, 4, 4))


@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_a_transformers_queries_count_by_overlap_times_probability(is_sigmoid):
    logits = torch.randn(2, 5, 3 + (not is_sigmoid))
    shares = torch.rand(2, 5, 4) * 0.5 + 0.2  # centre x, centre y, width, height
    answer = Answer({"logits": logits, "pred_boxes": shares}, 2, (40, 60), Labels(tuple(LABELS.values()), 3))
    probability = logits.sigmoid() if is_sigmoid else logits.softmax(2)
    for image in range(2):
        best = 0.0
        for query in range(5):
            x, y, width, height = (shares[image, query] * torch.tensor([60, 40, 60, 40])).tolist()
            across = max(0, min(x + width / 2, 40) - max(x - width / 2, 10))
            down = max(0, min(y + height / 2, 30) - max(y - height / 2, 5))
            overlap = across * down / (30 * 25 + width * height - across * down)
            best = max(best, overlap * probability[image, query, 2].item())
        assert Box("bird", (10, 5, 40, 30)).read(answer)[image].item() == pytest.approx(best, abs=1e-6)


def test_deepshap_is_complete_for_a_querys_logit_and_for_a_boxs_score():
    model, images, references = small_detr(), torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        raw = model(images)
    box = Box.of(raw, 0, size=(32, 32), labels=model.config.id2label)
    assert box == box.loose.anchored(model, images[0])
    number = list(LABELS.values()).index(box.label)
    found = ss.DeepShap(model, references)(images, [box, box.loose], on_gap="raise")
    assert found.predictions[0, 0].item() == pytest.approx(raw.logits[0, box.query, number].item(), abs=1e-5)
    sums = found.base_values + found.values.sum((2, 3, 4))
    assert torch.allclose(sums, found.predictions, atol=1e-5)
    assert found.values[0].abs().sum((1, 2, 3)).min() > 0


@pytest.mark.parametrize(
    "name", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssdlite320_mobilenet_v3_large"]
)
def test_logits_of_all_anchors_together_are_those_that_the_models_own_head_gives(name):
    torch.manual_seed(0)
    sides = {} if name.startswith("ssd") else {"min_size": 80, "max_size": 120}
    options = {"weights": None, "weights_backbone": None, "num_classes": 4}
    model = getattr(detection, name)(**options, **sides).eval()
    images, caught = torch.rand(2, 3, 70, 50), []
    handle = model.head.register_forward_hook(
        lambda _head, _args, answer: caught.append(answer["cls_logits"])
    )
    with torch.no_grad():
        model(images)
        handle.remove()
        assert torch.allclose(head_logits(model, images), caught[0], atol=1e-4)


def test_deepshap_is_complete_for_an_anchor_of_torchvisions_ssd():
    model = small_ssd()
    images, references = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        raw = model(images)
        box = Box.of(raw).anchored(model, images[0])
        logit = head_logits(model, images)[0, box.query, box.label]
    assert logit.softmax(0).isfinite()
    found = ss.DeepShap(model, references)(images, box, on_gap="raise")
    assert found.predictions.item() == pytest.approx(logit.item(), abs=1e-6)


class Neighbours(nn.Module):
    """A segmenter that sums the red of a pixel and its eight neighbours, and twice the green of the pixel itself."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        red = F.conv2d(images[:, :1], torch.ones(1, 1, 3, 3).to(images), padding=1)
        return {"out": F.avg_pool2d(torch.cat([red, 2 * images[:, 1:2]], 1), self.stride)}


def corner() -> Tensor:
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[2:4, 3:6] = True
    return region


def test_a_mask_is_the_mean_over_its_region_and_finds_the_neighbourhood_that_is_summed():
    images, region = torch.rand(1, 3, 8, 8), corner()
    found = ss.DeepShap(Neighbours(), torch.zeros(1, 3, 8, 8))(images, [Mask(0, region), Mask(1, region)])
    reach = F.conv2d(region[None, None].float(), torch.ones(1, 1, 3, 3), padding=1)[0, 0] / 6
    assert torch.allclose(found.values[0, 0, 0], images[0, 0] * reach, atol=1e-6)
    assert torch.allclose(found.values[0, 1, 1], 2 * images[0, 1] * region / 6, atol=1e-6)
    assert found.values[0, 0, 1:].abs().max() == 0
    by_regions = ss.RegionShap(Neighbours(), 0.0, region)(images, Mask(1, region))
    assert by_regions.heatmap()[0, 0][region].sum().item() == pytest.approx(
        found.predictions[0, 1].item(), abs=1e-6
    )


def test_on_a_coarser_answer_a_cell_counts_by_its_share_of_the_region():
    images, region = torch.rand(2, 3, 8, 8), corner()
    answer = Answer(Neighbours(2)(images), 2, (8, 8))
    cells = torch.zeros(4, 4)
    for row, column in region.nonzero().tolist():
        cells[row // 2, column // 2] += 1
    expected = (answer.raw["out"][:, 1] * cells).sum((1, 2)) / cells.sum()
    assert torch.allclose(Mask(1, region).read(answer), expected, atol=1e-6)
    assert torch.equal(Pixel(1, y=5, x=2).read(answer), answer.raw["out"][:, 1, 2, 1])
    assert torch.allclose(Region(region, channel=1).read(answer), expected, atol=1e-6)


def test_a_pixel_and_a_region_of_a_volume_are_what_their_formula_says():
    images = torch.rand(1, 3, 8, 8)
    found = ss.DeepShap(Neighbours(), torch.zeros(1, 3, 8, 8))(images, Pixel(0, y=2, x=7))
    expected = torch.zeros(8, 8)
    expected[1:4, 6:8] = images[0, 0, 1:4, 6:8]
    assert torch.allclose(found.values[0, 0, 0], expected, atol=1e-6)
    region = torch.zeros(4, 6, 6, dtype=torch.bool)
    region[1, 2:4, 2:4] = True
    volumes = torch.rand(1, 1, 4, 6, 6)
    of_volume = ss.DeepShap(nn.Conv3d(1, 1, 1, bias=False), torch.zeros(1, 1, 4, 6, 6))(
        volumes, Region(region)
    )
    assert of_volume.heatmap()[0, 0].reshape(4, 6, 6)[~region].abs().max() == 0
    assert torch.equal(of_volume.outlines[0], region)
    assert len(of_volume.plot(slices=1).axes[1].collections) == 1


def test_segformers_labels_have_names():
    model = small_segformer(*LABELS.values())
    images, region = torch.rand(1, 3, 32, 32), torch.zeros(32, 32, dtype=torch.bool)
    region[:16, :20] = True
    found = ss.GradientShap(model, torch.rand(2, 3, 32, 32), samples=8)(
        images, Mask("dog", region), on_gap="ignore"
    )
    with torch.no_grad():
        own = model(images).logits[0, 1]
    assert found.predictions.item() == pytest.approx(own[:4, :5].mean().item(), abs=1e-6)
    assert found.names() == [["dog in the region"]]


class Corners(nn.Module):
    """An embedding that only sees the colour of the upper left quarter."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, :8, :8].mean((2, 3)) - 0.3


def test_likeness_to_an_embedding_is_the_cosine_and_lies_in_the_planted_patch():
    images, anchor = torch.rand(1, 3, 16, 16), torch.tensor([0.3, 0.1, -0.2])
    found = ss.RegionShap(Corners(), 0.1, "grid(2,2)")(images, Similarity(anchor))
    own = Corners()(images)[0]
    cosine = float(own @ anchor / own.norm() / anchor.norm())
    assert found.predictions.item() == pytest.approx(cosine, abs=1e-6)
    heat = found.heatmap()[0, 0]
    assert heat[:8, :8].sum().item() == pytest.approx(cosine - found.base_values.item(), abs=1e-5)
    deep = ss.DeepShap(Corners(), torch.full((1, 3, 16, 16), 0.1))(images, Similarity(anchor), on_gap="raise")
    assert deep.heatmap()[0, 0, 8:].abs().max() == 0


def test_a_text_is_compared_by_the_cosine_that_the_models_logit_is_a_multiple_of():
    model, images, references = small_clip(), torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32)
    model.train()
    contrast = Contrast(Text("a cat", tokens), Text("a dog", tokens))
    found = ss.DeepShap(model, references)(images, [Text("a cat", tokens), contrast], on_gap="raise")
    assert all(module.training for module in model.modules())
    model.eval()
    with torch.no_grad():
        logits = [model(tokens([text]), images).logits_per_image.item() for text in ("a cat", "a dog")]
    cat, dog = (logit / model.logit_scale.exp().item() for logit in logits)
    assert found.predictions[0].tolist() == pytest.approx([cat, cat - dog], abs=1e-5)
    assert found.names()[0][1] == "similarity to “a cat” rather than similarity to “a dog”"


def test_an_image_text_model_is_wrapped_for_targets():
    model = small_clip().eval()
    transform = v2.Compose([v2.ToImage(), v2.Resize((32, 32)), v2.ToDtype(torch.float32, scale=True)])
    bundle = ss.Bundle.wrap(model, transform, task="targets")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = ss.explain(bundle, image, "regions", Text("a cat", tokens), masker="mean", regions="grid(2,2)")
    with torch.no_grad():
        logit = model(tokens(["a cat"]), transform(Image.fromarray(image))[None]).logits_per_image.item()
    assert found.predictions.item() == pytest.approx(logit / model.logit_scale.exp().item(), abs=1e-5)


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)).eval()


def test_a_contrast_is_the_difference_of_two_explanations_and_other_targets_stand_beside_columns():
    model, images, references = classifier(), torch.rand(2, 3, 8, 8), torch.rand(3, 3, 8, 8)
    explainer = ss.DeepShap(model, references, output_names=("ant", "bee", "cow", "dog"))
    plain = explainer(images)
    largest = Target(lambda answer: answer.amax(1), "largest")
    found = explainer(images, [Contrast("cow", "ant"), 3, largest, Entropy()])
    assert found.output_names == ("cow rather than ant", "output 3", "largest", "entropy")
    assert torch.allclose(found.values[:, 0], plain.values[:, 2] - plain.values[:, 0], atol=1e-6)
    assert torch.allclose(found.values[:, 1], plain.values[:, 3], atol=1e-6)
    with torch.no_grad():
        logits = model(images)
    assert torch.allclose(found.predictions[:, 2], logits.amax(1), atol=1e-6)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(found.predictions[:, 3], entropy, atol=1e-5)
    assert Entropy("probabilities").read(Answer(logits.softmax(1), 2, (8, 8))).tolist() == pytest.approx(
        entropy.tolist(), abs=1e-5
    )
    assert found.outlines is None


@pytest.mark.parametrize("kind", ["deep", "gradient", "partition", "regions"])
def test_explain_takes_targets_with_every_method_and_leaves_the_model_as_it_is(kind):
    model, images = classifier(), torch.rand(1, 3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"references": torch.rand(2, 3, 8, 8)} if kind in ("deep", "gradient") else {"masker": 0.5}
    found = ss.explain(model, images, kind, Contrast(1, 2), **options)
    sums = found.base_values + found.values.sum((2, 3, 4)) + found.completeness_gap
    assert torch.allclose(sums, found.predictions, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert found.settings["model"] == "Sequential"


def test_a_layers_input_is_explained_for_a_target():
    model, images, references = classifier(), torch.rand(1, 3, 8, 8), torch.rand(3, 3, 8, 8)
    plain = ss.DeepShap(model, references, layer="1", spread_layer=False)(images)
    found = ss.DeepShap(model, references, layer="1", spread_layer=False)(images, Contrast(1, 2))
    assert torch.allclose(found.values[:, 0], plain.values[:, 1] - plain.values[:, 2], atol=1e-6)


def test_outlines_are_saved_and_drawn(tmp_path):
    region = corner()
    targets = [Mask(0, region), Pixel(1, 5, 5), Mask(0, ~region)]
    found = ss.RegionShap(Neighbours(), 0.0, "grid(2,2)")(torch.rand(1, 3, 8, 8), targets)
    assert found.output_names[2] == "label 0 in the region (2)"
    again = ss.Explanation.load(found.save(tmp_path / "e.safetensors"))
    assert torch.equal(again.outlines, found.outlines)
    assert torch.equal(again[:, 1].outline_of(0, 0), found.outlines[1])
    lines = [len(axes.collections) for axes in found.plot().axes[:4]]
    assert lines == [3, 1, 1, 1]
    maps = found.view().content["images"][0]["maps"]
    assert [each["about"]["width"] for each in maps] == [8, 8, 8]
    with pytest.raises(ExplainerError, match="about other pixels"):
        other = ss.RegionShap(Neighbours(), 0.0, "grid(2,2)")(
            torch.rand(1, 3, 8, 8), [Mask(0, ~region), *targets[1:]]
        )
        ss.Explanation.concatenate([found, other])


def test_targets_on_an_image_are_carried_to_what_a_bundle_sees_and_back():
    image = np.full((40, 80, 3), 128, np.uint8)
    image[12:24, 36:56] = (230, 20, 20)
    transform = v2.Compose([v2.ToImage(), v2.CenterCrop(40), v2.ToDtype(torch.float32, scale=True)])
    bundle = ss.Bundle.wrap(RedThings(), transform, outputs=NAMES, task="targets")
    box = Box("red thing", (36, 12, 56, 24))
    found = ss.explain(bundle, Image.fromarray(image), "partition", box, masker=128, max_evals=200)
    assert found.predictions.item() == pytest.approx(240 / 60)
    assert found.output_names == ("red thing at 36, 12, 56, 24",)
    inside = torch.zeros(40, 80, dtype=torch.bool)
    inside[12:24, 36:56] = True
    assert torch.equal(found.outlines[0], inside)
    assert found.heatmap()[0, 0][inside].sum().item() == pytest.approx(4.0, abs=0.02)
    with pytest.raises(ss.ShapsightError, match="explain it with a target"):
        bundle.predict(Image.fromarray(image))


def test_targets_are_read_from_text(tmp_path):
    Image.fromarray((corner().numpy() * 255).astype(np.uint8)).save(tmp_path / "region.png")
    assert spoken("box(red thing, 4, 6, 14, 12, query=3)") == Box("red thing", SQUARE, 3)
    assert spoken("box(tench, Tinca tinca, 4,6,14,12)") == Box("tench, Tinca tinca", SQUARE)
    assert spoken("pixel(3, 5, 6)") == Pixel(3, 5, 6)
    assert spoken('contrast("tench, Tinca tinca", 7)') == Contrast("tench, Tinca tinca", 7)
    assert spoken("contrast(box(1, 4,6,14,12), entropy())") == Contrast(Box(1, SQUARE), Entropy())
    mask = spoken(f"mask(road, {tmp_path / 'region.png'})")
    assert mask.label == "road"
    assert torch.equal(mask.region, corner())
    assert spoken(f"region({tmp_path / 'region.png'}, channel=2)").channel == 2
    for wrong in (
        "blob(3)",
        "box(1, 2)",
        "contrast(a)",
        "mask(1, none.png)",
        "text(a, no_module:x)",
        "pixel(1, a, b)",
    ):
        with pytest.raises(ExplainerError):
            spoken(wrong)


def test_shaps_names_take_targets_as_outputs():
    images = with_square().permute(0, 2, 3, 1).numpy()

    def detector(given: np.ndarray) -> list[dict[str, Tensor]]:
        return RedThings()(torch.from_numpy(given).permute(0, 3, 1, 2))

    masker = shap.maskers.Image(np.full((20, 20, 3), 0.5, np.float32), images[0].shape)
    values = shap.PartitionExplainer(detector, masker)(
        images, max_evals=100, outputs=Box(1, SQUARE), silent=True
    )
    assert values.values.shape == (1, 20, 20, 3, 1)
    assert values.values.sum() == pytest.approx(1.0, abs=1e-5)
    assert values.output_names == ["label 1 at 4, 6, 14, 12"]
    network = shap.DeepExplainer(classifier(), torch.rand(2, 3, 8, 8))
    assert network(torch.rand(1, 3, 8, 8), outputs=Contrast(0, 1)).values.shape == (1, 3, 8, 8, 1)


CASES = {
    "unknown label": (
        Box("red thin", SQUARE),
        "no label 'red thin'; the nearest of its 2 names: 'red thing'",
    ),
    "outside": (Box(1, (30, 2, 40, 8)), "outside of the image, which is 20 pixels wide and 20 high"),
    "no overlap": (
        Box(1, (0, 0, 2, 2)),
        "image 0: the detector finds no label 1 .* red thing 1.00 at 4, 6, 14, 12",
    ),
    "no detector": (Mask(1, torch.ones(20, 20)), "the model returns a list"),
    "other size": (
        Mask(1, corner()),
        r"the region is \(8, 8\) and the images that the model is given \(20, 20\)",
    ),
    "two stages": (Box(1, SQUARE, query=3), "no logit of a query"),
    "pixel outside": (Pixel(0, 3, 20), "outside of the image, which has 20 rows and 20 columns"),
    "no numbers": (Target(lambda answer: "much", "much"), "gives a str"),
    "one for all": (Target(lambda answer: torch.zeros(()), "loss"), "one number an image"),
    "a column": ([Box(1, SQUARE), "red thing"], "say with output= which part"),
    "no text model": (Text("a cat", tokens), "needs a model of images and texts"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_explained_is_told(name):
    target, words = CASES[name]
    with pytest.raises(ExplainerError, match=words):
        ss.PartitionShap(RedThings(), 0.5, max_evals=10, output_names=NAMES)(with_square(), target)


def test_an_image_without_any_detection_is_told_by_its_number():
    images = torch.cat([with_square(), torch.full((1, 3, 20, 20), 0.5)])
    with pytest.raises(ExplainerError, match=r"image 1: .* it finds nothing at all in this image"):
        ss.PartitionShap(RedThings(), 0.5, max_evals=10)(images, Box(1, SQUARE))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mask(1, torch.zeros(8, 8)), "the region is empty"),
        (lambda: Region(torch.rand(8, 8)), "other numbers than 0 and 1"),
        (lambda: Region(torch.ones(8)), r"\(height, width\), not \(8,\)"),
        (lambda: Box(1, (10, 20, 5, 30)), "not left, top, width, height"),
        (lambda: Box(1, (10, 20, 30)), "four numbers"),
        (lambda: Box(1, SQUARE, query=-1), "a whole number from 0"),
        (lambda: Similarity(torch.zeros(4)), "not all 0"),
        (lambda: Text(" ", tokens), "say what the image is compared with"),
        (lambda: Entropy("scores"), "'logits' or 'probabilities'"),
        (lambda: Contrast(1.5, 2), "none of what can be explained"),
        (lambda: Target("scores", "x"), "cannot be called"),
        (lambda: Box.of(RedThings()(with_square()), 4), "finds 1 things in image 0"),
        (lambda: Text("a cat on a very long mat", tokens).bound(small_clip()), "26 tokens, and the model takes 12"),
        (lambda: ss.RegionShap(Corners(), 0.1, "grid(2,2)")(torch.rand(1, 3, 16, 16), Similarity(torch.ones(4))),
         "the one given has 4 numbers"),
    ],
)  # fmt: skip
def test_a_target_that_is_none_is_refused(make, words):
    with pytest.raises(ExplainerError, match=words):
        make()


def test_a_detector_that_gradients_do_not_pass_is_referred_to_black_box_methods():
    for explainer in (ss.GradientShap, ss.DeepShap):
        with pytest.raises(ExplainerError, match="PartitionShap"):
            explainer(RedThings(), torch.rand(1, 3, 20, 20))(with_square(), Box(1, SQUARE))


EXAMPLES = {
    "targets": ss.targets,
    **{name: getattr(ss.targets, name) for name in ss.targets.__all__ if name != "Aim"},
    "Box.of": Box.of,
    "Box.anchored": Box.anchored,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_docstrings_run(name):
    told = inspect.getdoc(EXAMPLES[name])
    examples = re.findall(r"\n\n((?:    .*\n)+)", told)
    given = names()
    assert examples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random networks that hardly react
        exec(textwrap.dedent(examples[0]), given)
