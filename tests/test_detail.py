"""Values summed over regions, under a Gaussian, or not at all: what stays, what is chosen, and what is drawn."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image

from pictures import assert_texts_have_room, drawn_texts, explained, heat_of, panels, photographs
from shapsight import Explanation, trees
from shapsight.attribution.explanation.heatmaps import atlas, compare_plot, image_plot
from shapsight.drawing import style
from shapsight.errors import ExplainerError

DETAILS = ["auto", "regions", "smooth", "pixels"]


def of(values, images, method="DeepSHAP"):
    """An explanation of these values, whatever they sum to."""
    base = torch.zeros(values.shape[:2])
    index = torch.arange(values.shape[1]).repeat(len(values), 1)
    return Explanation(values, base, values.sum((2, 3, 4)), base, index, images, method=method)


@settings(max_examples=60, deadline=None)
@given(
    detail=st.sampled_from(DETAILS),
    reduce=st.sampled_from(["sum", "abs", "positive"]),
    channels=st.sampled_from([1, 3, 4]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    is_flat=st.booleans(),
    holes=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_every_detail_keeps_the_total_of_each_image_and_output(
    detail, reduce, channels, size, is_flat, holes, seed
):
    chance = torch.Generator().manual_seed(seed)
    values = torch.randn(2, 2, channels, *size, generator=chance, dtype=torch.float64)
    values.flatten()[torch.randint(values.numel(), (holes,), generator=chance)] = torch.nan
    images = torch.full((2, channels, *size), 0.3) if is_flat else torch.rand(2, channels, *size)
    explanation = of(values, images)
    plain, found = explanation.heatmap(reduce), explanation.heatmap(reduce, detail)
    assert found.shape == plain.shape and found.dtype == plain.dtype
    assert torch.equal(found.isfinite(), plain.isfinite())
    torch.testing.assert_close(found.nansum((2, 3)), plain.nansum((2, 3)), rtol=1e-9, atol=1e-9)


def test_a_value_in_the_corner_stays_in_the_image_when_it_is_smoothed():
    values = torch.zeros(1, 1, 1, 50, 60, dtype=torch.float64)
    values[..., 0, 0] = 1
    found = of(values, torch.rand(1, 1, 50, 60)).heatmap(detail="smooth")[0, 0]
    # The mirror: both halves of the Gaussian, along each side, fall into the image.
    place = np.arange(-8, 9)
    bell = np.exp(-((place / 1.5) ** 2) / 2)
    bell /= bell.sum()
    side = np.array([bell[8 + d] + bell[8 + d + 1] for d in range(5)])
    np.testing.assert_allclose(found[:5, :5], np.outer(side, side), atol=1e-3)
    assert found.sum().item() == pytest.approx(1)


def test_what_is_not_a_number_spoils_neither_its_region_nor_its_neighbours():
    explanation = explained(1, 1)
    values = explanation.values.double()
    values[0, 0, :, 10, 12] = torch.inf
    known = torch.ones(40, 40, dtype=torch.bool)
    known[10, 12] = False
    for detail in ("regions", "smooth"):
        found = dataclasses.replace(explanation, values=values).heatmap(detail=detail)[0, 0]
        assert torch.equal(found.isfinite(), known)
        assert found[known].sum() == pytest.approx(values.sum((0, 1, 2))[known].sum().item())


def test_regions_never_cross_the_edge_between_two_areas_and_are_even():
    rows, columns = np.mgrid[:60, :60]
    inside = torch.from_numpy((rows - 25) ** 2 + (columns - 33) ** 2 < 220)
    chance = torch.Generator().manual_seed(1)
    image = torch.where(inside, 0.8, 0.3) + 0.02 * torch.rand(3, 60, 60, generator=chance)
    values = torch.where(inside, 2.0, -1.0).expand(1, 1, 1, 60, 60)
    noise = torch.randn(values.shape, generator=chance)
    for count in (2, 30, 100):
        labels = trees.region_map(image, count)
        assert sorted(labels.unique().tolist()) == list(range(count))
        assert all(inside[labels == label].float().std(correction=0) == 0 for label in range(count))
    labels = trees.region_map(image, 100)
    found = of(values + noise, image[None]).heatmap(detail="regions")[0, 0]
    for label in range(100):
        mean = (values + noise)[0, 0, 0][labels == label].mean()
        torch.testing.assert_close(
            found[labels == label], mean.expand(int((labels == label).sum())), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 3)])
def test_images_of_a_few_pixels_have_a_region_for_each(size):
    assert trees.region_map(torch.rand(3, *size), 100).unique().numel() == size[0] * size[1]
    explanation = of(torch.randn(1, 1, 3, *size), torch.rand(1, 3, *size))
    torch.testing.assert_close(explanation.heatmap(detail="regions"), explanation.heatmap())
    assert explanation.overlay().shape == (*size, 3)
    assert len(explanation.regions_table()) == size[0] * size[1]


def drawn_detail(explanation, monkeypatch, **options):
    said = " ".join(text.get_text() for text in drawn_texts(image_plot(explanation, **options), monkeypatch))
    return next((detail for detail in ("regions", "smooth") if detail in said), "pixels")


def test_plots_choose_pixels_of_small_images_and_of_sums_regions_of_photographs_and_say_so(monkeypatch):
    assert drawn_detail(explained(1, 1, (28, 28), 1), monkeypatch) == "pixels"
    photo = explained(1, 1, (48, 64))
    assert drawn_detail(photo, monkeypatch) == "regions"
    assert drawn_detail(dataclasses.replace(photo, method="PartitionSHAP"), monkeypatch) == "pixels"
    assert drawn_detail(photo, monkeypatch, cell=2) == "pixels"
    for detail in ("regions", "smooth", "pixels"):
        assert drawn_detail(photo, monkeypatch, detail=detail) == detail
    assert drawn_detail(dataclasses.replace(photo, images=photo.images * torch.nan), monkeypatch) == "smooth"


@pytest.mark.parametrize("detail", ["regions", "smooth"])
def test_sums_are_drawn_per_one_percent_of_the_area(detail, monkeypatch):
    explanation = explained(2, 2, (40, 60))
    figure = image_plot(explanation, detail=detail)
    for image, (_, *heats, _) in enumerate(panels(figure, 3)):
        for output, axes in enumerate(heats):
            drawn = heat_of(axes)
            # The sum of colour times area, in percent, is the total.
            assert drawn.mean() * 100 == pytest.approx(
                explanation.heatmap()[image, output].sum().item(), rel=1e-4
            )
            np.testing.assert_allclose(
                drawn, explanation.heatmap(detail=detail)[image, output] * 24, rtol=1e-4, atol=1e-6
            )
    said = " ".join(text.get_text() for text in drawn_texts(figure, monkeypatch)).replace("\n", " ")
    assert "SHAP value per 1 % of area, units of the output" in said
    assert_texts_have_room(figure, monkeypatch)


def test_two_models_and_the_mean_of_many_are_drawn_at_a_detail(monkeypatch):
    first, second = explained(2, 1), explained(2, 1) * 3
    figure = compare_plot(first, second, detail="smooth")
    np.testing.assert_allclose(
        heat_of(figure.axes[2]), second.heatmap(detail="smooth")[0, 0] * 16, rtol=1e-4, atol=1e-7
    )
    figure = atlas(first, cmap="viridis")
    expected = first.heatmap(detail="smooth")[:, 0].abs().mean(0) * 16
    np.testing.assert_allclose(heat_of(figure.axes[1]), expected, rtol=1e-4, atol=1e-7)
    for figure in (compare_plot(first, second), atlas(first, detail="regions")):
        assert_texts_have_room(figure, monkeypatch)


def test_images_of_another_size_are_cut_on_the_grid_of_the_values():
    layer = of(torch.randn(1, 1, 8, 14, 14), photographs(1, (56, 56)))
    labels = trees.region_map(
        torch.nn.functional.interpolate(layer.images.double(), (14, 14), mode="bilinear", antialias=True)[0],
        100,
    )
    found = layer.heatmap(detail="regions")[0, 0]
    assert all(found[labels == label].std(correction=0) < 1e-6 for label in range(100))
    assert layer.overlay().shape == (56, 56, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.empty(1, 0, 0, 0)}, "holds no images"),
        ({"images": torch.rand(1, 3, 40, 80)}, "40 × 80 pixels do not fit values of 40 × 40"),
        ({"images": torch.full((1, 3, 40, 40), torch.nan)}, "NaN"),
    ],
)
def test_regions_without_an_image_that_fits_are_refused_and_smooth_is_offered(change, words):
    bare = dataclasses.replace(explained(1, 1), **change)
    for ask in (lambda: bare.heatmap(detail="regions"), bare.regions_table):
        with pytest.raises(ExplainerError, match=words) as caught:
            ask()
        assert 'detail="smooth"' in str(caught.value)
    torch.testing.assert_close(bare.heatmap(detail="auto"), bare.heatmap(detail="smooth"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.heatmap(detail="superpixels"),
        lambda e: e.plot(detail="superpixels"),
        lambda e: e.overlay(detail="superpixels"),
        lambda e: atlas(e, detail="superpixels"),
        lambda e: compare_plot(e, e, detail="superpixels"),
    ],
)
def test_an_unknown_detail_is_refused_with_the_ones_that_there_are(ask):
    with pytest.raises(
        ExplainerError, match="'superpixels' is not one of 'auto', 'regions', 'smooth', 'pixels'"
    ):
        ask(explained(1, 1))


def test_cells_are_of_pixels():
    with pytest.raises(ExplainerError, match="cell=2"):
        image_plot(explained(1, 1), detail="regions", cell=2)


def test_the_table_of_regions_has_each_ones_sum_share_and_place():
    explanation = explained(3, 2, (40, 60))
    table = explanation.regions_table(1, "y")
    assert table["value"].sum() == pytest.approx(explanation.heatmap()[1, 1].sum().item(), rel=1e-4)
    assert table["share"].sum() == pytest.approx(1) and (table["share"] >= 0).all()
    assert table["value"].abs().is_monotonic_decreasing
    assert table["pixels"].sum() == 2400 and len(table) == 100
    labels = trees.region_map(explanation.images[1].double(), 100).numpy()
    for row in table.head(20).itertuples():
        rows, columns = np.nonzero(labels == row.region)
        value = explanation.heatmap()[1, 1].double().numpy()[rows, columns].sum()
        assert row.value == pytest.approx(value, rel=1e-5)
        assert (row.left, row.right, row.top, row.bottom) == (
            columns.min(), columns.max(), rows.min(), rows.max(),
        )  # fmt: skip
        assert (row.x, row.y) == pytest.approx((columns.mean(), rows.mean()))


def test_the_table_of_regions_takes_zeros_and_what_is_not_a_number():
    explanation = explained(1, 1)
    flat = dataclasses.replace(explanation, values=torch.zeros_like(explanation.values)).regions_table()
    assert (flat["share"] == 0).all()
    values = explanation.values.clone()
    values[..., 0, 0] = torch.nan
    spoiled = dataclasses.replace(explanation, values=values).regions_table()
    assert pd.notna(spoiled["value"]).all()
    assert spoiled["value"].sum() == pytest.approx(values.nansum().item(), rel=1e-4)
    with pytest.raises(ExplainerError, match="image 7 is out of range"):
        explanation.regions_table(7)


def test_an_overlay_is_what_the_picture_shows():
    explanation = explained(2, 2, (40, 60))
    array = explanation.overlay(1, "y", detail="smooth")
    assert array.shape == (40, 60, 3) and array.dtype == np.uint8
    alone = explanation.select(1, "y")
    _, axes, _ = panels(image_plot(alone, detail="smooth"), 2)[0]
    under, over = axes.images
    grey = np.asarray(under.get_array())[..., None]
    colours = over.cmap(over.norm(over.get_array()))
    expected = 255 * (colours[..., 3:] * colours[..., :3] + (1 - colours[..., 3:]) * grey)
    assert np.abs(array - expected).max() <= 1
    assert Image.fromarray(array).size == (60, 40)


def test_a_colour_map_is_used_everywhere_and_lets_the_image_show():
    explanation = explained(1, 1)
    _, axes, bar = panels(image_plot(explanation, cmap="PiYG"), 2)[0]
    used = axes.images[-1].cmap
    assert used(1.0)[:3] == colormaps["PiYG"](1.0)[:3] and used(0.5)[3] < 0.02
    assert bar.images[0].cmap is used
    key = image_plot(explanation, cmap="PiYG").legends[0].get_patches()
    assert [patch.get_facecolor()[:3] for patch in key[:2]] == [used(1.0)[:3], used(0.0)[:3]]
    own = style.see_through(style.MASS, style.HEAT)  # has an opacity of its own
    np.testing.assert_allclose(own(0.0)[3], 0)
    plain, other = (explanation.overlay(cmap=cmap).astype(int) for cmap in (None, "PiYG"))
    assert np.abs(plain - other).max() > 50
    for ask in (explanation.plot, explanation.overlay):
        with pytest.raises(ExplainerError, match="cmap='shiny' is no colour map of matplotlib"):
            ask(cmap="shiny")
