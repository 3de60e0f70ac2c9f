"""Maskers: the same pixels as shap's where shap has them, and what each says when it cannot be used."""

import inspect
import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F

from shapsight.attribution import maskers
from shapsight.attribution.inpainting import MARGIN, fill_by_pyramid, fill_with_opencv
from shapsight.attribution.maskers import Masker, as_masker
from shapsight.errors import ExplainerError

with warnings.catch_warnings(action="ignore"):  # of shap's own, about matplotlib
    import shap

METHODS = {"inpaint_telea": cv2.INPAINT_TELEA, "inpaint_ns": cv2.INPAINT_NS}
ALL = ("blur(5,8)", "inpaint_telea", "inpaint_ns", "inpaint_diffuse", "mean", "constant(7)")


def picture(height=40, width=52, channels=3, dtype=np.uint8):
    coarse = torch.rand(1, channels, 6, 8, generator=torch.Generator().manual_seed(3))
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)[0]
    return (smooth * 255).numpy().astype(np.uint8).astype(dtype).transpose(1, 2, 0)


def coalitions(height, width, channels=1, count=6, cells=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, cells, cells, generator=generator) > 0.5
    coarse[0], coarse[1] = False, True
    return F.interpolate(coarse.float(), size=(height, width)).bool()


def first(array):
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def by_shap(masker, image, visible):
    theirs = shap.maskers.Image(masker, image.shape)
    rows = visible.expand(-1, image.shape[2], -1, -1).permute(0, 2, 3, 1).reshape(len(visible), -1).numpy()
    return np.stack([theirs(row, image)[0][0] for row in rows])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masker", ["blur(5,8)", "blur(52,40)", "inpaint_telea", "inpaint_ns", 100])
def test_pixels_are_the_same_as_shaps(masker, channels, dtype):
    image = picture(channels=channels, dtype=dtype)
    for mask_channels in {1, channels}:
        visible = coalitions(40, 52, mask_channels)
        ours = as_masker(masker).hide(first(image), visible)
        assert ours.dtype == first(image).dtype
        # all but the mean colour, which shap sums up in float32, is equal to the last bit
        np.testing.assert_allclose(
            ours.permute(0, 2, 3, 1).numpy(),
            by_shap(masker, image, visible),
            rtol=1e-5 if dtype == np.float32 else 0,
        )


@pytest.mark.shared
@pytest.mark.parametrize("masker", ["blur(128,128)", "inpaint_telea", "inpaint_ns"])
def test_pixels_of_a_photograph_are_the_same_as_shaps(shared, masker):
    photograph = Image.open(shared / "data/imagenet50/sim_n02010272_1613.jpg").convert("RGB")
    image = np.asarray(photograph.resize((224, 180)), dtype=np.float32)
    visible = coalitions(180, 224)
    ours = as_masker(masker).hide(first(image), visible).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, by_shap(masker, image, visible), rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 47)] * 4), min_size=1, max_size=5), st.sampled_from(list(METHODS)))
def test_inpainting_around_the_hidden_pixels_only_gives_the_same_pixels(rectangles, method):
    image = picture(60, 60)
    mask = np.zeros((60, 60), np.uint8)
    for top, left, height, width in rectangles:
        mask[top : top + 1 + height // 4, left : left + 1 + width // 4] = 1
    whole = cv2.inpaint(image, mask, 3, METHODS[method])
    ours = fill_with_opencv(
        maskers.EightBits.of(first(image)), torch.from_numpy(mask).bool().unsqueeze(0), METHODS[method]
    )
    np.testing.assert_array_equal(ours[0], whole)


@pytest.mark.parametrize("method", METHODS)
def test_a_narrower_margin_would_change_pixels(method):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mask = np.zeros((40, 40), np.uint8)
    mask[12:28, 14:30] = 1
    whole = cv2.inpaint(noise, mask, 3, METHODS[method])
    for margin, is_same in ((MARGIN, True), (MARGIN - 1, False)):
        window = (slice(12 - margin, 28 + margin), slice(14 - margin, 30 + margin))
        part = cv2.inpaint(
            np.ascontiguousarray(noise[window]), np.ascontiguousarray(mask[window]), 3, METHODS[method]
        )
        assert np.array_equal(part, whole[window]) == is_same


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8])
@pytest.mark.parametrize("masker", ALL)
def test_visible_pixels_stay_exactly_as_they_are(masker, dtype):
    image = first(picture()).to(dtype) if dtype == torch.uint8 else torch.rand(3, 40, 52).to(dtype) * 4 - 2
    visible = coalitions(40, 52)
    hidden = as_masker(masker).hide(image, visible)
    assert hidden.dtype == dtype
    assert hidden.isfinite().all()
    assert torch.equal(hidden[1], image)
    assert torch.equal(hidden.where(visible, 0), image.where(visible, 0))


@pytest.mark.parametrize(
    ("masker", "reaches_the_edge"),
    [
        # near the image's edge OpenCV lets a few units of the hidden pixels through
        ("inpaint_telea", False),
        ("inpaint_ns", False),
        *[(masker, True) for masker in ("inpaint_diffuse", "constant(7)", torch.rand(2, 3, 40, 52))],
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_of_a_hidden_pixel_shows_through(masker, reaches_the_edge):
    image = first(picture(dtype=np.float32))
    visible = coalitions(40, 52)[2:]
    if not reaches_the_edge:
        edge = [0, 1, 2, -3, -2, -1]
        visible[:, :, edge] = visible[:, :, :, edge] = True
    changed = torch.where(visible[:1], image, 255 - image)[0]
    before, after = (as_masker(masker).hide(given, visible[:1]) for given in (image, changed))
    assert torch.equal(before, after)


@pytest.mark.parametrize("channels", [2, 5])
def test_opencv_fills_images_of_any_number_of_channels(channels):
    image = picture(channels=channels)
    visible = coalitions(40, 52)
    filled = as_masker("inpaint_telea").hide(first(image), visible)
    alone = as_masker("inpaint_telea").hide(first(image[:, :, 1:2]), visible)
    assert torch.equal(filled[:, 1:2], alone)


def test_an_image_from_0_to_1_is_filled_like_the_same_image_from_0_to_255():
    image = picture()
    image[0, 0], image[-1, -1] = 0, 255
    visible = coalitions(40, 52)
    wide, narrow = (
        as_masker("inpaint_telea").hide(first(i), visible) for i in (image, image.astype(np.float32) / 255)
    )
    assert (narrow * 255 - wide).abs().max() < 1.01  # the mean colour of integers is cut off, as shap's is
    normalised = (first(image).float() - 120) / 60
    filled = as_masker("inpaint_telea").hide(normalised, visible)
    torch.testing.assert_close(filled, (wide.float() - 120) / 60, atol=1.01 / 60, rtol=0)


def test_the_pyramid_fills_with_the_mean_of_what_is_visible_where_that_is_one_colour():
    image = torch.rand(3, 33, 20)
    visible = torch.zeros(2, 1, 33, 20, dtype=torch.bool)
    visible[0, :, 4:9, 5:6] = True
    image[:, 4:9, 5] = torch.tensor([0.2, 0.4, 0.9])[:, None]
    filled = as_masker("inpaint_diffuse").hide(image, visible)
    torch.testing.assert_close(filled[0], torch.tensor([0.2, 0.4, 0.9])[:, None, None].expand(3, 33, 20))
    torch.testing.assert_close(filled[1], image.mean((1, 2), keepdim=True).expand(3, 33, 20))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 1000))
def test_the_pyramid_stays_within_the_range_of_what_is_visible(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, height, width, generator=generator, dtype=torch.float64)
    visible = torch.rand(3, 2, height, width, generator=generator) > 0.8
    visible[:, :, 0, 0] = True
    filled = fill_by_pyramid(image, visible, image.mean((1, 2), keepdim=True))
    for number in range(3):
        for channel in range(2):
            seen = image[channel][visible[number, channel]]
            assert seen.min() - 1e-9 <= filled[number, channel].min()
            assert filled[number, channel].max() <= seen.max() + 1e-9


@pytest.mark.parametrize("masker", ALL)
def test_one_masker_serves_images_of_any_size_and_many_coalitions_are_hidden_like_one(masker):
    one = as_masker(masker)
    for height, width in ((40, 52), (17, 9), (9, 17)):
        image, visible = first(picture(height, width, dtype=np.float32)), coalitions(height, width, cells=3)
        together = one.for_image(image)(visible)
        assert together.shape == (6, 3, height, width)
        for number in range(6):
            torch.testing.assert_close(together[number], one.hide(image, visible[number : number + 1])[0])


def test_references_follow_one_another_for_each_coalition():
    references, image, visible = torch.rand(2, 3, 8, 8), torch.rand(3, 8, 8), coalitions(8, 8)[2:4]
    masker = as_masker(references)
    hidden = masker.hide(image, visible)
    assert (masker.variants, masker.name) == (2, "references(2)")
    for coalition in range(2):
        for reference in range(2):
            expected = torch.where(visible[coalition], image, references[reference])
            assert torch.equal(hidden[2 * coalition + reference], expected)
    assert torch.equal(as_masker(references.permute(0, 2, 3, 1).numpy()).hide(image, visible), hidden)
    with pytest.raises(ExplainerError, match=r"\(3, 8, 8\).*\(3, 9, 8\)"):
        masker.hide(torch.rand(3, 9, 8), coalitions(9, 8))


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (" blur( 16 , 9 ) ", "blur(16,9)"),
        ("inpaint_telea", "inpaint_telea"),
        ("inpaint_diffuse", "inpaint_diffuse"),
        ("mean", "mean"),
        ("constant(0.5)", "constant(0.5)"),
        ("constant(124, -1e1, 0)", "constant(124,-10,0)"),
        (0, "constant(0)"),
        (np.float32(0.25), "constant(0.25)"),
        ((1, 2.5, 3), "constant(1,2.5,3)"),
        (np.array([1, 2, 3]), "constant(1,2,3)"),
        (torch.tensor([1.0, 2.0, 3.0]), "constant(1,2,3)"),
    ],
)
def test_what_a_user_writes_becomes_a_masker_with_a_name_that_reads_back(written, name):
    assert as_masker(written).name == name
    assert as_masker(name).name == name


@pytest.mark.parametrize(
    "wrong",
    [
        *"blur blur(8) blur(8,8,8,8) blur(8.5,8) blur(8,x) inpaint mean(3) constant constant() telea".split(),
        "",
        "blur(8,8",
    ],
)
def test_a_masker_that_does_not_parse_shows_the_grammar(wrong):
    with pytest.raises(
        ExplainerError, match=r"blur\(WIDTH,HEIGHT\), inpaint_telea.*constant\(R,G,B\)"
    ) as error:
        as_masker(wrong)
    assert repr(wrong) in str(error.value)


@pytest.mark.parametrize("wrong", [None, {}, [], ["a"], object()])
def test_what_is_no_masker_is_refused(wrong):
    with pytest.raises(ExplainerError, match="a masker is"):
        as_masker(wrong)


def test_a_kernel_that_does_not_fit_is_refused_with_both_sizes():
    for size in ((53, 8), (8, 41)):
        with pytest.raises(
            ExplainerError, match=rf"blur\({size[0]},{size[1]}\).*52 pixels wide and 40 high.*blur\(26,20\)"
        ):
            as_masker(f"blur({size[0]},{size[1]})").for_image(first(picture()))
    for wrong in ("blur(0,5)", "blur(-3,5)", "blur(1,1)"):
        with pytest.raises(ExplainerError, match="hides nothing"):
            as_masker(wrong)


def test_a_colour_that_does_not_fit_is_refused():
    image = first(picture())
    with pytest.raises(ExplainerError, match="2 numbers, and the image 3 channels"):
        as_masker((1, 2)).for_image(image)
    with pytest.raises(ExplainerError, match=r"uint8"):
        as_masker(300).for_image(image)
    with pytest.raises(ExplainerError, match="finite"):
        as_masker(float("nan"))


def test_the_documented_example_of_an_own_masker_runs():
    docstring = inspect.getdoc(Masker) or ""
    lines = docstring.splitlines()
    start = next(number for number, line in enumerate(lines) if "class Checkerboard" in line)
    end = next(number for number in range(start, len(lines)) if not lines[number].strip())
    source = "\n".join(line.removeprefix(" " * 4) for line in lines[start:end])
    names = {"Masker": Masker, "torch": torch}
    exec(source, names)
    board = names["Checkerboard"]()
    image, visible = torch.rand(3, 20, 30), coalitions(20, 30)
    hidden = board.for_image(image)(visible)
    assert board.name == "Checkerboard"
    assert as_masker(board) is board
    assert torch.equal(hidden[1], image)
    assert torch.equal(hidden[0].unique(), torch.stack([torch.tensor(0.0), image.max()]))
