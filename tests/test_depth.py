"""Pixels of more than 8 bits keep their brightness, or the image is listed with the reason."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from shapsight.data.checks import check_dataset
from shapsight.data.depth import to_eight_bits
from shapsight.data.images import decode_image, load_images
from shapsight.data.readers import read_dataset
from shapsight.errors import DataError

RAMP = np.linspace(0, 1, 24).reshape(4, 6)


def expected(share: np.ndarray) -> np.ndarray:
    return np.round(share * 255)


@pytest.mark.parametrize(
    ("dtype", "white"),
    [
        ("float32", 1), ("float32", 255), ("int32", 255), ("int32", 4095), ("int32", 65535), ("uint16", 255),
        ("uint16", 4095), ("uint16", 65535), ("uint8", 255), ("int16", 4095), ("uint32", 65535), ("float64", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [0, 3])
def test_grey_and_colour_tiffs_of_every_depth_keep_their_brightness(tmp_path, dtype, white, channels):
    share = np.stack([RAMP, RAMP[::-1], RAMP**2], axis=-1) if channels else RAMP
    photometric = "rgb" if channels else "minisblack"
    values = share * white if dtype.startswith("float") else np.round(share * white)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype), photometric=photometric)
    found = decode_image(tmp_path / "a.tif")
    np.testing.assert_allclose(found, expected(share if channels else np.stack([RAMP] * 3, -1)), atol=1)


@pytest.mark.parametrize("white", [255, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_pngs_in_grey_and_colour_keep_their_brightness(tmp_path, white, channels):
    grey = np.round(RAMP * white).astype(np.uint16)
    pixels = np.stack([grey, grey[::-1], grey, np.full_like(grey, 65535)][:channels], axis=-1)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    found = decode_image(tmp_path / "a.png")
    np.testing.assert_allclose(found[..., 0], expected(RAMP), atol=1)
    np.testing.assert_allclose(found[..., 1], expected(RAMP[::-1] if channels > 1 else RAMP), atol=1)


def test_a_png_that_tells_its_significant_bits_is_scaled_to_its_full_depth(tmp_path):
    """As the PNG specification asks writers to do (11.3.2.7): a dark picture then stays dark."""
    Image.fromarray(np.full((3, 3), 2000, np.uint16)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    chunk = b"sBIT" + bytes([12])
    where = content.index(b"IDAT") - 4
    chunk = struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(content[:where] + chunk + content[where:])
    assert (decode_image(tmp_path / "a.png") == round(2000 / 257)).all()


def test_a_tiff_that_tells_its_maximum_is_scaled_by_it(tmp_path):
    grey = np.full((3, 3), 500, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", grey, extratags=[(281, "H", 1, 1000, True)])
    assert (decode_image(tmp_path / "a.tif") == round(255 / 2)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[-3, 7]], np.int32), "run from -3 to 7"),
        (np.array([[0, 70_000]], np.int32), "run from 0 to 70000"),
        (np.array([[0.0, 300.0]], np.float32), "run from 0 to 300, where 0 to 1 or 255 can be read"),
        (np.array([[-0.5, 0.5]], np.float32), "run from -0.5 to 0.5"),
        (np.array([[0.0, np.nan]], np.float32), "run from nan"),
        (np.array([[0.0, np.inf]], np.float32), "run from 0 to inf"),
    ],
)
def test_pixels_without_a_white_are_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=message):
        decode_image(tmp_path / "a.tif")


def test_black_says_nothing_about_its_white():
    assert to_eight_bits(np.zeros((2, 2), np.uint16))[1] is None


def write_room(folder, levels: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, level in levels.items():
        Image.fromarray(np.array([[level // 2, level]] * 2, np.uint16)).save(folder / name)


def test_twelve_bits_are_read_bright_and_the_reader_and_check_say_so(tmp_path):
    write_room(tmp_path / "a", {f"{n % 2}_{n % 3}_{n}.png": 3000 + n for n in range(8)})
    manifest = read_dataset(tmp_path)
    assert any("8 images with more than 8 bits: 4095 was taken for white" in note for note in manifest.notes)
    images = load_images(manifest, list(manifest.table["path"]), 2)
    assert int(images.max()) == round(3007 / 4095 * 255)
    checks = check_dataset(manifest, images).set_index("check")
    assert checks.loc["nearly black pictures", "images"] == 0


def test_a_dark_image_among_deeper_ones_is_listed_because_its_white_is_not_known(tmp_path):
    write_room(
        tmp_path / "a", {f"{n % 2}_{n % 3}_{n}.png": 60_000 + n for n in range(7)} | {"1_1_dark.png": 3000}
    )
    manifest = read_dataset(tmp_path)
    assert manifest.skipped["path"].tolist() == ["a/1_1_dark.png"]
    assert "this one is dark, or of fewer bits" in manifest.skipped["reason"].item()
    assert not any("taken for white" in note for note in manifest.notes)


def test_a_file_of_several_pictures_is_counted(tmp_path):
    pages = [Image.new("L", (4, 4), level) for level in (50, 200)]
    for n in range(3):
        pages[0].save(tmp_path / f"{n}_{n}_a.tif", save_all=True, append_images=pages[1:])
    manifest = read_dataset(tmp_path)
    assert any("3 files hold several pictures" in note for note in manifest.notes)
    assert (decode_image(tmp_path / "1_1_a.tif") == 50).all()
