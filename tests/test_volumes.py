"""Volumes and clips: maskers, trees and regions in three dimensions, what explainers find in them, and pictures."""

import itertools
import math
import warnings

import numpy as np
import psutil
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

import shapsight as ss
from shapsight import DeepShap, Explanation, GradientShap, PartitionShap, RegionShap
from shapsight.attribution import trees
from shapsight.attribution.maskers import as_masker
from shapsight.attribution.segments import label_map
from shapsight.errors import ExplainerError

INSIDE = (slice(2, 4), slice(4, 8), slice(0, 4))  # the supervoxel that decides


def volume() -> Tensor:
    """Grey noise, and a bright box in it: (1, 1, 4, 8, 8)."""
    found = 0.1 * torch.rand(1, 1, 4, 8, 8)
    found[0, 0][INSIDE] += 0.8
    return found


class Box(nn.Module):
    """Twice the mean of the box, and the mean of all."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([2 * x[:, 0, *INSIDE].mean((1, 2, 3)), x.mean((1, 2, 3, 4))], 1)


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Flatten(),
            nn.Linear(4 * 2 * 4 * 4, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@pytest.mark.parametrize("tree", ["axis", "regions"])
@pytest.mark.parametrize("masker", ["constant(0)", "mean", "blur(3,3)", "blur(3,3,3)", "references"])
def test_partition_finds_the_supervoxel_that_decides(tree, masker):
    masker = torch.rand(3, 1, 4, 8, 8) if masker == "references" else masker
    found = PartitionShap(Box(), masker, tree, max_evals=250)(volume(), 0)
    heat, change = found.heatmap()[0, 0], float(found.predictions - found.base_values)
    assert found.values.shape == (1, 1, 1, 4, 8, 8)
    assert float(heat[INSIDE].sum()) == pytest.approx(change, abs=1e-5)
    assert float(heat.sum()) == pytest.approx(change, abs=1e-5)


@pytest.mark.parametrize("regions", ["grid(2,2,2)", (2, 2, 2), "slic(12)"])
def test_regions_find_the_supervoxel_that_decides(regions):
    given = volume()
    explainer = RegionShap(Box(), "constant(0)", regions)
    found = explainer(given, 0)
    share = float(found.heatmap()[0, 0][INSIDE].sum() / found.values.sum())
    assert share == pytest.approx(1, abs=1e-4) if regions != "slic(12)" else share > 0.95
    assert explainer.by_region(given, 0).labels.shape == (1, 4, 8, 8)


def test_two_numbers_of_a_grid_go_through_all_slices():
    labels = label_map("grid(2,2)", volume()[0], 0, 1)
    assert torch.equal(labels[0], labels[3]) and int(labels.max()) == 3
    with pytest.raises(ExplainerError, match="5 × 2 × 2 slices, rows and columns does not fit"):
        label_map((5, 2, 2), volume()[0], 0, 1)


def test_owen_values_of_a_small_volume_are_those_of_all_coalitions():
    given, model = (
        torch.rand(1, 1, 2, 2, 2),
        nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 1)),
    )
    found = PartitionShap(model, 0.0, "axis", max_evals=10_000, contexts="both")(given).values.flatten()

    def worth(visible: list[int]) -> float:
        mask = torch.zeros(8)
        mask[visible] = 1
        return float(model(given * mask.view(1, 1, 2, 2, 2)).detach())

    # Owen's formula: all orders of the tree's halves, slices, then rows, then columns.
    expected, orders = np.zeros(8), 0
    for flips in itertools.product([0, 1], repeat=7):
        order, steps = [], iter(flips)

        def walk(block: np.ndarray) -> list[int]:
            if block.size == 1:
                return [int(block.flat[0])]
            side = int(np.argmax(block.shape))
            halves = np.array_split(block, 2, side)
            first, second = halves[:: -1 if next(steps) else 1]  # noqa: B023
            return walk(first) + walk(second)

        order = walk(np.arange(8).reshape(2, 2, 2))
        values = [worth(order[:n]) for n in range(9)]
        for place, pixel in enumerate(order):
            expected[pixel] += values[place + 1] - values[place]
        orders += 1
    assert found.detach().numpy() == pytest.approx(expected / orders, abs=1e-5)


def test_exact_region_values_of_a_volume_are_those_of_all_coalitions():
    given, labels = volume(), label_map((2, 2, 1), volume()[0], 0, 1)
    model = Conv()
    found = RegionShap(model, 0.3, labels).by_region(given, 0).values[0, 0]

    def worth(parts: tuple[int, ...]) -> float:
        shown = torch.isin(labels, torch.tensor(parts, dtype=torch.long))
        return float(model(torch.where(shown, given, torch.tensor(0.3)))[0, 0].detach())

    for player in range(4):
        others = [other for other in range(4) if other != player]
        value = sum(
            math.factorial(len(some))
            * math.factorial(3 - len(some))
            / 24
            * (worth((*some, player)) - worth(some))
            for count in range(4)
            for some in itertools.combinations(others, count)
        )
        assert float(found[player]) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_gradients_are_complete_and_keep_the_depth(explainer):
    model, references = Conv().double(), torch.rand(6, 1, 4, 8, 8).double()
    options = {"samples": 600} if explainer is GradientShap else {}
    found = explainer(model, references, **options)(volume().double())
    change = found.predictions - found.base_values
    assert found.values.shape == (1, 2, 1, 4, 8, 8)
    assert float((found.values.flatten(2).sum(2) - change).abs().max()) < (
        1e-9 if explainer is DeepShap else 0.02
    )


def test_a_function_of_clips_gets_them_with_channels_last():
    shapes = set()

    def predict(clips: np.ndarray) -> np.ndarray:
        shapes.add(clips.shape[1:])
        return clips[:, 2:4, 4:8, 0:4].mean((1, 2, 3, 4))

    clips = np.random.default_rng(0).random((1, 4, 8, 8, 3)).astype(np.float32)
    found = PartitionShap(predict, "inpaint_diffuse", max_evals=40)(clips)
    assert shapes == {(4, 8, 8, 3)} and found.images.shape == (1, 3, 4, 8, 8)


def test_a_blur_in_three_dimensions_is_the_mean_of_a_box():
    image = torch.rand(2, 6, 7, 8, dtype=torch.float64)
    nothing = torch.zeros(1, 1, 6, 7, 8, dtype=torch.bool)
    found = as_masker("blur(3,5,3)").hide(image, nothing)[0]
    expected = scipy.ndimage.uniform_filter(image.numpy(), (0, 3, 5, 3), mode="mirror")
    assert np.allclose(found.numpy(), expected)
    with pytest.raises(ExplainerError, match="has 6 slices"):
        as_masker("blur(3,3,7)").hide(image, nothing)


@pytest.mark.parametrize(
    "masker", ["inpaint_telea", "inpaint_ns", "inpaint_diffuse", "mean", "constant(0.5)"]
)
def test_visible_voxels_stay_and_hidden_ones_do_not_tell_of_the_volume(masker):
    image = torch.rand(2, 4, 12, 10)
    visible = torch.rand(5, 1, 4, 12, 10) > 0.4
    other = torch.where(visible[0], image, torch.rand_like(image))
    masked = as_masker(masker).hide(image, visible)
    assert torch.equal(masked[visible.expand_as(masked)], image.expand_as(masked)[visible.expand_as(masked)])
    if masker == "inpaint_diffuse":  # the others take the mean or the range of the whole image
        alike = as_masker(masker).hide(other, visible)[0]
        assert torch.allclose(masked[0], alike, atol=1e-6)


def test_the_pyramid_of_a_volume_of_equal_slices_fills_as_that_of_the_slice():
    image, visible = torch.rand(1, 9, 7), torch.rand(3, 1, 9, 7) > 0.5
    deep = as_masker("inpaint_diffuse").hide(
        image[:, None].expand(-1, 4, -1, -1), visible[:, :, None].expand(-1, -1, 4, -1, -1)
    )
    # In the volume two voxels of eight are a quarter as one pixel of four is, so it may fill from closer by.
    assert (deep - deep[:, :, :1]).abs().max() < 1e-6 and deep.min() >= 0 and deep.max() <= 1
    whole = as_masker("inpaint_diffuse").hide(torch.full((1, 4, 9, 7), 0.25), torch.rand(2, 1, 4, 9, 7) > 0.9)
    assert torch.allclose(whole, torch.tensor(0.25))


def test_opencv_fills_a_volume_slice_by_slice():
    image = (255 * torch.rand(3, 4, 12, 10)).round()
    visible = torch.rand(2, 1, 4, 12, 10) > 0.3
    visible[0, 0, 1] = False
    deep, flat = as_masker("inpaint_ns").hide(image, visible), as_masker("inpaint_ns")
    assert torch.equal(deep[:, :, 2], flat.hide(image[:, 2], visible[:, :, 2]))
    assert torch.allclose(
        deep[0, :, 1], image.mean((1, 2, 3))[:, None, None]
    )  # wholly hidden: the volume's mean


@pytest.mark.parametrize("make", [trees.axis, trees.regions])
def test_every_node_of_a_tree_holds_its_voxels_once(make):
    image = volume()[0, :, :3, :4, :5]
    root, held = make(image), torch.zeros(60, dtype=torch.long)
    numbers = torch.arange(60).view(1, 3, 4, 5)
    waiting = [root]
    while waiting:
        node = waiting.pop()
        assert node.size == numbers[node.index].numel()
        if (halves := node.halves()) is None:
            held[numbers[node.index].flatten()] += 1
        else:
            assert halves[0].size + halves[1].size == node.size
            waiting.extend(halves)
    assert torch.equal(held, torch.ones(60, dtype=torch.long))


def test_a_region_tree_keeps_a_bright_box_together():
    labels = trees.region_map(volume()[0], 2)
    assert len(labels[INSIDE].unique()) == 1
    assert int((labels == labels[INSIDE].flatten()[0]).sum()) == 2 * 4 * 4


@pytest.fixture(scope="module")
def explained() -> Explanation:
    torch.manual_seed(0)
    return PartitionShap(Box(), "constant(0)", max_evals=60, output_names=["box", "mean"])(volume())


def test_a_volume_is_saved_selected_summed_and_tabled_with_its_depth(explained, tmp_path):
    again = Explanation.load(explained.save(tmp_path / "volume.safetensors"))
    assert torch.equal(again.values, explained.values) and again.images.shape == (1, 1, 4, 8, 8)
    assert torch.allclose((explained + explained).values, 2 * explained[0, :].values)
    roi = torch.zeros(4, 8, 8, dtype=torch.bool)
    roi[INSIDE] = True
    parts = explained.parts(roi)
    assert torch.allclose(parts.values[0, :, 1], explained.heatmap()[0][:, roi].sum(1))
    assert torch.allclose(parts.values.sum(2), explained.values.flatten(2).sum(2), atol=1e-6)
    both = explained.parts(torch.stack([roi, ~roi])).values
    assert torch.equal(both.flip(2), parts.values)
    table = explained.regions_table()
    first = table.iloc[0]
    assert 2 <= first["front"] <= first["z"] <= first["back"] <= 3 and first["right"] < 4 <= first["top"]
    array = explained.to_xarray()
    assert array["shap_values"].sizes["depth"] == 4 and array["unresolved"].dims[2] == "depth"
    with warnings.catch_warnings(action="ignore"):  # of shap, when it is imported
        assert explained.to_shap().values.shape == (1, 4, 8, 8, 1, 2)


@pytest.mark.parametrize("detail", ["regions", "smooth", "pixels"])
def test_details_of_a_volume_keep_its_sum(explained, detail):
    heat = explained.heatmap(detail=detail)
    assert torch.allclose(heat.flatten(2).sum(2), explained.values.flatten(2).sum(2), atol=1e-5)


def test_a_plot_shows_the_slices_with_most_attribution_or_those_asked_for(explained):
    titles = [axes.get_title() for axes in explained[:, "box"].plot().axes]
    assert [t for t in titles if "slice" in t][-2:] == ["slice 2 of 0 to 3", "slice 3 of 0 to 3"]
    assert len(explained.plot(slices=1).axes) == 4
    with pytest.raises(ExplainerError, match="slices 0 to 3"):
        explained.plot(slices=[4])
    assert explained.overlay(0, "box").shape == (8, 8, 3)
    assert "png" in explained._repr_html_()


def test_slices_of_a_volume_share_a_scale(explained):
    figure = explained[:, "box"].plot(slices=[0, 2], detail="pixels")
    limits = {image.get_clim() for axes in figure.axes for image in axes.images if image.get_clim()[0] < 0}
    assert len(limits) == 1


def test_regions_of_a_volume_are_drawn_on_a_slice():
    found = RegionShap(Box(), "constant(0)", "grid(2,2,2)").by_region(volume(), 0)
    assert any("slice 3 of 0 to 3" in axes.get_title() for axes in found.plot().axes)
    together = RegionShap(Box(), "constant(0)", "grid(2,2,2)").interactions(volume(), 0)
    assert together.plot().axes


def test_the_viewer_is_given_each_slice_and_the_one_to_begin_with(explained):
    image = explained.view().content["images"][0]
    assert len(image["slices"]) == 4 and image["slice"] in (2, 3) and image["details"] == ["pixels"]
    assert (image["maps"][0]["height"], image["maps"][0]["width"]) == (8, 8)


def test_too_large_a_volume_is_refused_with_its_bytes_before_anything_is_allocated(monkeypatch):
    class Free:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Free)
    with pytest.raises(ExplainerError, match=r"\d+ bytes.*smaller batch_size"):
        RegionShap(Box(), "mean", "grid(2,2,2)")(volume())
    with pytest.raises(
        ExplainerError, match=r"region tree of an image of 4 × 8 × 8 pixels takes .*tree=\"axis\""
    ):
        trees.regions(volume()[0])


def test_explain_takes_volumes_in_one_call():
    given, references = volume(), torch.rand(3, 1, 4, 8, 8)
    for method in ("deep", "partition", "regions"):
        found = ss.explain(Conv(), given, method, 0, references=references)
        assert found.values.shape[3:] == (4, 8, 8)
