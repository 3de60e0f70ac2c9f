"""What is an image in a folder: links, hidden folders, suffixes, and what is said of everything else."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shapsight.compat.shap import datasets
from shapsight.data import image_files
from shapsight.data.image_files import find_images
from shapsight.data.images import decode_image
from shapsight.data.readers import read_dataset
from shapsight.data.roi import read_roi
from shapsight.studies.shared.material import photographs


def write(path: Path, level: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (level, level, level)).save(path)
    return path


@pytest.mark.parametrize(
    "suffix", [".tif", ".TIFF", ".gif", ".jfif", ".webp", ".avif", ".png", ".JPG", ".ppm"]
)
def test_images_of_every_suffix_that_can_be_decoded_are_found(tmp_path, suffix):
    write(tmp_path / "cats" / f"a{suffix}")
    assert find_images(tmp_path) == ([f"cats/a{suffix}"], {})
    np.testing.assert_allclose(decode_image(tmp_path / "cats" / f"a{suffix}"), 90, atol=3)


def test_a_class_of_tif_is_a_class_like_any_other(tmp_path):
    for number in range(3):
        write(tmp_path / "cat" / f"{number}.tif")
        write(tmp_path / "dog" / f"{number}.png")
    assert read_dataset(tmp_path).class_names == ("cat", "dog")


def test_hidden_files_and_thumbnails_are_no_images(tmp_path):
    for name in (
        ".a.png",
        "._b.png",
        ".thumbnails/c.png",
        "red/.ipynb_checkpoints/d.png",
        "__MACOSX/red/e.png",
        "red/@eaDir/f.png",
    ):
        write(tmp_path / name)
    write(tmp_path / "red" / "5_3_a.png")
    assert find_images(tmp_path) == (["red/5_3_a.png"], {})


def test_a_folder_that_is_hidden_itself_is_read_when_it_is_named(tmp_path):
    write(tmp_path / ".cache" / "a.png")
    assert find_images(tmp_path / ".cache") == (["a.png"], {})


def test_everything_else_is_counted_by_suffix_or_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(
        image_files, "image_suffixes", lambda: (".png",)
    )  # a machine that decodes nothing else
    write(tmp_path / "a.png")
    for name in ("notes.txt", "more.TXT", "film.mp4", "README", "photo.heic"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere", target_is_directory=True)
    found, left_out = find_images(tmp_path)
    assert found == ["a.png", "gone.png"]  # the second is listed with its reason when it is opened
    assert left_out == {
        ".txt": 2,
        ".mp4": 1,
        "without a suffix": 1,
        ".heic, which cannot be decoded here": 1,
        "broken links": 1,
    }


def test_links_to_folders_are_followed_at_every_level(tmp_path):
    """A class of train/ and of test/ may be a link to a folder elsewhere, and two links to the same one."""
    for number in range(3):
        write(tmp_path / "store" / "cats" / f"{number}.png")
        write(tmp_path / "photos" / "train" / "dog" / f"{number}.png")
    for split in ("train", "test"):
        (tmp_path / "photos" / split).mkdir(exist_ok=True)
        (tmp_path / "photos" / split / "cat").symlink_to(
            tmp_path / "store" / "cats", target_is_directory=True
        )
    manifest = read_dataset(tmp_path / "photos")
    assert manifest.class_names == ("cat", "dog")
    assert manifest.table.groupby("split").size().to_dict() == {"test": 3, "train": 4, "validation": 2}


def test_links_back_to_a_folder_above_are_counted_and_end(tmp_path):
    write(tmp_path / "a" / "b" / "1.png")
    (tmp_path / "a" / "b" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    assert find_images(tmp_path) == (["a/b/1.png"], {"links that lead back to a folder above them": 1})


def test_folders_that_link_to_each_other_come_to_an_end(tmp_path):
    names = [f"room_{number}" for number in range(6)]
    for name in names:
        write(tmp_path / name / "1.png")
    for name in names:
        for other in names:
            if other != name:
                (tmp_path / name / other).symlink_to(tmp_path / other, target_is_directory=True)
    found, left_out = find_images(tmp_path)
    assert {f"{name}/1.png" for name in names} < set(found)
    assert left_out["links behind 2 other links"] == 6 * 5 * 4 * 3


def test_a_folder_that_cannot_be_opened_is_counted(tmp_path, monkeypatch):
    write(tmp_path / "a" / "1.png")
    write(tmp_path / "locked" / "2.png")
    iterdir = Path.iterdir

    def refuse(path: Path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert find_images(tmp_path) == (["a/1.png"], {"folders that cannot be opened (permission denied)": 1})


def test_scenes_masks_and_shaps_photographs_follow_the_same_rule(tmp_path):
    write(tmp_path / "imagenet50" / "._a.png")
    write(tmp_path / "imagenet50" / "b.tif", 40)
    assert photographs(tmp_path / "imagenet50", 4).shape == (1, 3, 4, 4)
    with pytest.warns(UserWarning, match="class numbers"):
        assert len(datasets.imagenet50(4, folder=tmp_path)[0]) == 1
    write(tmp_path / "masks" / "a.tif", 255)
    assert read_roi(tmp_path / "masks").mask({"path": "a.png", "width": 8, "height": 6}).all()
