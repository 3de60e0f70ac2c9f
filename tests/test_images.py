"""Decoding: whatever the file holds, 8-bit RGB of the stored pixels comes out, or a reason why not."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from discs import disc, write_discs
from shapsight.data.images import ImageTargets, decode_image, inspect_images, load_images
from shapsight.errors import DataError


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def test_an_rgb_png_comes_back_pixel_for_pixel(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert np.array_equal(decode_image(tmp_path / "a.png"), picture)


def test_greyscale_becomes_three_equal_channels(tmp_path, picture):
    Image.fromarray(picture[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(decode_image(tmp_path / "a.png"), np.repeat(picture[..., :1], 3, axis=2))


def test_black_and_white_becomes_0_and_255(tmp_path, picture):
    Image.fromarray(picture[..., 0] > 127).save(tmp_path / "a.png")
    assert np.array_equal(decode_image(tmp_path / "a.png")[..., 1], (picture[..., 0] > 127) * 255)


def test_a_cmyk_jpeg_has_the_colours_of_its_inks(tmp_path):
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, :16] = (0, 255, 255, 0)  # magenta and yellow make red
    inks[:, 16:] = (255, 0, 0, 128)  # cyan, half black
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.jpg", quality=100)
    pixels = decode_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(pixels[8, 4] - (255, 0, 0)).max() <= 4
    assert np.abs(pixels[8, 28] - (0, 127, 127)).max() <= 4


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = (255, 0, 51)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    expected = [round(alpha * red + (1 - alpha) * 255) for alpha, red in ((1, 200), (0, 200), (0.2, 200))]
    assert decode_image(tmp_path / "a.png")[0, :, 0].tolist() == expected


def test_grey_with_alpha_is_laid_on_white(tmp_path):
    Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA").save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png")[0].tolist() == [[10] * 3, [255] * 3]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_palette_with_transparency_is_laid_on_white_without_a_warning(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(tmp_path / "a.png")[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_sixteen_bits_are_scaled_down_not_clipped(tmp_path):
    values = np.array([[0, 257, 1000, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert decode_image(tmp_path / "a.png")[0, :, 0].tolist() == [round(v / 257) for v in values[0].tolist()]


def test_an_exif_orientation_is_reported_and_not_applied(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(picture).save(tmp_path / "plain.png")
    assert np.array_equal(decode_image(tmp_path / "turned.png"), picture)
    turned, plain = inspect_images(tmp_path, ["turned.png", "plain.png"])
    assert (turned.width, turned.height, turned.has_orientation) == (20, 12, True)
    assert not plain.has_orientation


def test_webp_and_bmp_can_be_read(tmp_path, picture):
    for name in ("a.bmp", "a.webp"):
        Image.fromarray(picture).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
        assert np.array_equal(decode_image(tmp_path / name), picture)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("I am a text"), "not an image"),
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
    ],
)
def test_a_file_that_is_no_image_is_refused_with_its_path_and_the_reason(tmp_path, make, reason):
    make(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=rf"a\.jpg.*{reason}"):
        decode_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp"])
def test_a_file_cut_in_half_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        decode_image(path)
    assert inspect_images(tmp_path, [path.name])[0].reason


def test_images_damaged_at_random_are_read_or_refused_but_never_crash(tmp_path, picture):
    generator = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "bmp"):
        Image.fromarray(picture).save(tmp_path / f"whole.{suffix}")
        whole = np.frombuffer((tmp_path / f"whole.{suffix}").read_bytes(), np.uint8)
        for number in range(40):
            damaged = whole.copy()
            damaged[generator.integers(len(whole), size=6)] = generator.integers(256, size=6)
            (tmp_path / f"{number}.{suffix}").write_bytes(damaged.tobytes())
        found = inspect_images(tmp_path, [f"{number}.{suffix}" for number in range(40)])
        assert all(inspection.reason or inspection.width for inspection in found)


def test_a_picture_of_absurd_size_is_refused(tmp_path, picture, monkeypatch):
    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="too large"):
        decode_image(tmp_path / "a.png")


def test_images_of_all_sizes_are_loaded_in_the_order_of_their_paths(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    for number, (colour, size) in enumerate(zip(colours, [(20, 30), (300, 200), (64, 64)], strict=True)):
        Image.new("RGB", size, colour).save(tmp_path / f"{number}.png")
    images = load_images(tmp_path, ["2.png", "0.png", "1.png"], 64)
    assert images.shape == (3, 3, 64, 64)
    assert images.dtype == torch.uint8
    assert images[:, :, 10, 50].tolist() == [[0, 0, 250], [250, 0, 0], [0, 250, 0]]


@pytest.mark.parametrize(("width", "height"), [(97, 61), (20, 24), (48, 48)])
def test_resizing_is_bilinear_with_antialias(tmp_path, width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    exact = F.interpolate(
        torch.from_numpy(noise).permute(2, 0, 1)[None].double(), (48, 48), mode="bilinear", antialias=True
    )
    assert (load_images(tmp_path, ["a.png"], 48) - exact).abs().max() <= 1


def test_loading_nothing_gives_an_empty_tensor_and_progress_counts_up(tmp_path):
    assert load_images(tmp_path, [], 16).shape == (0, 3, 16, 16)
    paths = [path.name for path in write_discs(tmp_path, 5)]
    steps = []
    load_images(tmp_path, paths, 16, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 5) for done in range(1, 6)]


def test_loading_names_the_image_that_cannot_be_read(tmp_path):
    paths = [path.name for path in write_discs(tmp_path, 3)]
    (tmp_path / paths[1]).write_bytes(b"")
    with pytest.raises(DataError, match=f"{paths[1]}.*empty"):
        load_images(tmp_path, paths, 16)


def test_the_dataset_gives_images_with_their_targets_and_transforms_them_each_time():
    images = torch.from_numpy(np.stack([disc(x, 5, 16, 16, (9, 9, 9)) for x in (2, 9)])).permute(0, 3, 1, 2)
    dataset = ImageTargets(
        images, torch.tensor([[0.1], [0.2]], dtype=torch.float64), lambda image: 255 - image
    )
    image, target = dataset[1]
    assert len(dataset) == 2
    assert torch.equal(image, 255 - images[1])
    assert target.dtype == torch.float32
    assert target.item() == pytest.approx(0.2)
    with pytest.raises(DataError, match="2 images came with 3"):
        ImageTargets(images, torch.zeros(3, 1))


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        load_images(Path(tmp_path / "nowhere"), ["a.png"], 16)
