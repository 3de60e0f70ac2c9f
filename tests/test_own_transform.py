"""A user's transform: the picture, the colours and the place of what a model sees are found by asking it."""

from __future__ import annotations

import random

import albumentations
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from shapsight.data.framing import Cropped, Frame, Stretched, seen_places
from shapsight.errors import DataError, ModelError
from shapsight.models.own_transform import OwnTransform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISE = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]


def photograph(height: int = 90, width: int = 120) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + y / 17), np.cos(y / 8), np.sin((x - y) / 11)]
    return (127 + 100 * np.stack(waves, 2)).astype(np.uint8)


def composed(*steps: object) -> transforms.Compose:
    return transforms.Compose(list(steps))


def own(*steps: object, **options: object) -> OwnTransform:
    return OwnTransform.of(composed(*steps), **options)


def prepared(found: OwnTransform, pixels: np.ndarray) -> np.ndarray:
    return found.colours.numbers(found.see(pixels).numpy() / 255)


@pytest.mark.parametrize(
    "transform",
    [
        composed(transforms.Resize(64), transforms.CenterCrop(56), *NORMALISE),
        composed(transforms.Resize((40, 72)), transforms.Pad(3), *NORMALISE),
        composed(transforms.Resize((40, 72)), *NORMALISE, transforms.Pad(3)),
        composed(transforms.Grayscale(), transforms.Resize((28, 28)), transforms.ToTensor()),
        v2.Compose([v2.Resize((50, 60)), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]),
        lambda image: np.asarray(image.resize((60, 50)), np.float32)[..., ::-1] - [103.9, 116.8, 123.7],
        lambda array: torch.from_numpy(np.asarray(array)[10:80, 20:100] / 127.5 - 1).permute(2, 0, 1).float(),
    ],
    ids=["crop", "pad", "pad after", "grey", "v2", "BGR array", "sliced"],
)  # fmt: skip
def test_the_picture_and_the_colours_give_the_transforms_own_numbers(transform):
    found = OwnTransform.of(transform)
    pixels = photograph()
    expected = found.call(pixels)
    # Half a level of 255 is what rounding to 8 bits may take away.
    step = np.abs(found.colours.mixing).sum(1) / found.colours.std / 255 * (found.rounding + 0.01)
    assert (np.abs(prepared(found, pixels) - expected).max((1, 2)) <= np.abs(step) + 1e-5).all()
    assert found.see(pixels).shape == (3, *found.size)


def test_means_and_deviations_are_those_that_were_written():
    colours = own(transforms.Resize((32, 32)), *NORMALISE).colours
    assert tuple(colours.mean) == MEAN
    assert tuple(colours.std) == STD
    assert colours.is_plain


def test_what_our_own_framings_do_is_seen_alike():
    steps = [transforms.Resize((48, 48)), *NORMALISE]
    pixels = photograph()
    assert torch.equal(own(*steps).see(pixels), Stretched(48).see(pixels))
    assert own(*steps).frame(90, 120) == Stretched(48).frame(90, 120)
    square = [transforms.CenterCrop(90), transforms.Resize((48, 48)), *NORMALISE]
    cropped = own(*square, size=(90, 120))
    assert torch.equal(cropped.see(pixels), Cropped(48).see(pixels))
    edges = [(f.frame(90, 120).left, f.frame(90, 120).right) for f in (cropped, Cropped(48))]
    np.testing.assert_allclose(*edges, atol=0.2)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([transforms.Resize((45, 60))], Frame(0, 0, 120, 90)),
        ([transforms.Resize((45, 60)), transforms.RandomHorizontalFlip(1.0)], Frame(120, 0, 0, 90)),
        ([transforms.CenterCrop((50, 40))], Frame(40, 20, 80, 70)),
        ([transforms.Resize((45, 60)), transforms.Pad(15)], Frame(-30, -30, 150, 120)),
        ([lambda image: image.crop((12, 6, 84, 78)), transforms.Resize((24, 24))], Frame(12, 6, 84, 78)),
    ],
    ids=["resized", "mirrored", "cropped", "padded", "cropped and resized"],
)  # fmt: skip
def test_where_the_picture_lies_in_the_image_is_read_off_ramps(steps, expected):
    found = own(*steps, *NORMALISE, size=(90, 120)).frame(90, 120)
    for name in ("left", "top", "right", "bottom"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=0.6)


def test_a_mask_goes_through_the_transform_and_padding_is_outside():
    mask = np.zeros((90, 120), bool)
    mask[:, 60:] = True
    found = own(transforms.Resize((45, 60)), transforms.Pad(5, fill=255), *NORMALISE)
    expected = np.zeros((55, 70), bool)
    expected[5:50, 35:65] = True
    np.testing.assert_array_equal(found.mask(mask), expected)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (composed(transforms.Resize((32, 32)), transforms.RandomHorizontalFlip(), *NORMALISE), "is random.*Flip"),
        (composed(transforms.Resize((32, 32)), transforms.ColorJitter(0.4), *NORMALISE), "is random"),
        (composed(transforms.Resize((32, 32))), r"makes a Image.*ToTensor\(\)"),
        (composed(*NORMALISE), r"size=\(height, width\)"),
        (composed(transforms.Resize((32, 32)), transforms.functional.equalize, *NORMALISE), "changes colours"),
        (composed(transforms.Resize((9, 9)), NORMALISE[0], lambda t: (t - t.mean()) / t.std()), "changes colours"),
        (lambda image: np.asarray(image.resize((32, 32)), np.float32) ** 2, "changes colours"),
        (lambda image: torch.zeros(2, 3, 32, 32), r"shape \(2, 3, 32, 32\)"),
        (lambda image: torch.zeros(5), r"shape \(5,\)"),
        (lambda image: {"pixels": 1}, "makes a dict"),
        (lambda image: image.nothing(), "fails on a picture given as a PIL image.*nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_undone_is_refused_with_the_reason(transform, message):
    with pytest.raises(ModelError, match=message):
        OwnTransform.of(transform)


def test_a_rotation_has_no_place_in_the_image_that_could_be_told():
    found = own(transforms.Resize((32, 32)), lambda image: image.rotate(20), *NORMALISE)
    with pytest.raises(ModelError, match="turns or warps"):
        found.frame(90, 120)


def test_images_of_another_size_than_said_are_refused():
    found = own(*NORMALISE, size=(90, 120))
    assert found.see(photograph()).shape == (3, 90, 120)
    with pytest.raises(DataError, match="all images need the same size"):
        found.see(photograph(80, 120))


def test_asking_a_random_transform_changes_nobodys_random_numbers():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    jumping = lambda image: (random.random(), np.random.rand(), NORMALISE[0](image.resize((9, 9))))[2]  # noqa: E731
    OwnTransform.of(jumping)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_values_laid_on_an_image_keep_their_sum_and_their_place():
    values = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    frame = Frame(10, 5, 70, 45)
    laid = frame.on_image(values, 50, 80)
    torch.testing.assert_close(laid.sum((2, 3)), values.sum((2, 3)))
    assert laid[..., :5, :].abs().max() == laid[..., :, :10].abs().max() == 0
    torch.testing.assert_close(laid[..., 5:7, 10:12].sum((2, 3)), values[..., 0, 0])
    mirrored = Frame(70, 5, 10, 45).on_image(values, 50, 80)
    torch.testing.assert_close(mirrored[..., 10:70], laid[..., 10:70].flip(-1))


def test_what_lies_outside_the_image_is_left_out():
    values = torch.ones(4, 4, dtype=torch.float64)
    laid = Frame(-2, -2, 2, 2).on_image(values, 2, 2)
    torch.testing.assert_close(laid, torch.ones(2, 2, dtype=torch.float64))


def test_a_pil_image_or_array_arrives_as_the_transform_takes_it():
    kinds: list[type] = []

    def noting(given):
        kinds.append(type(given))
        return transforms.ToTensor()(given.resize((16, 16)))

    assert OwnTransform.of(noting).takes == "a PIL image"
    assert set(kinds) == {Image.Image}


@pytest.mark.parametrize(
    "steps",
    [
        [transforms.Resize((45, 60))],
        [transforms.CenterCrop((60, 80)), transforms.Pad((4, 6, 2, 0)), transforms.RandomHorizontalFlip(1.0)],
        [transforms.Resize(48), transforms.CenterCrop(40)],
    ],
)
def test_a_place_of_the_image_is_where_the_transform_shows_it(steps):
    found = own(*steps, *NORMALISE)
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[42:50, 66:74] = 255  # its middle is (70, 46)
    shown = found.see(pixels).float().mean(0)
    down, across = (
        float((shown.sum(1 - axis) * torch.arange(shown.shape[axis])).sum() / shown.sum()) for axis in (0, 1)
    )
    assert seen_places(found, np.array([70.0, 46.0]), (90, 120)) == pytest.approx([across, down], abs=0.1)


def test_a_place_is_not_known_where_images_are_turned():
    turned = OwnTransform.of(
        composed(transforms.Lambda(lambda image: image.rotate(20)), *NORMALISE), (90, 120)
    )
    assert np.isnan(seen_places(turned, np.array([70.0, 46.0]), (90, 120))).all()


def test_albumentations_are_called_with_an_array_and_random_ones_are_refused():
    steps = [albumentations.Resize(40, 56), albumentations.Normalize(MEAN, STD)]
    found = OwnTransform.of(albumentations.Compose(steps))
    assert found.layout == "channels last"
    pixels = photograph()
    expected = albumentations.Compose(steps)(image=pixels)["image"].transpose(2, 0, 1)
    np.testing.assert_allclose(prepared(found, pixels), expected, atol=1e-5)
    with pytest.raises(ModelError, match="is random"):
        OwnTransform.of(albumentations.Compose([albumentations.HorizontalFlip(p=0.5), *steps]))
