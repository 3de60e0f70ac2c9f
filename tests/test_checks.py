"""Checks of a dataset: what was planted is found, and a sound dataset passes."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from discs import write_discs
from shapsight.data.checks import check_dataset
from shapsight.data.fingerprints import fingerprints, near_pairs, thumbnails
from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
from shapsight.errors import DataError


def noise(seed: int, size: int = 48) -> Image.Image:
    """A picture with coarse and fine structure of its own."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((size, size), Image.Resampling.BICUBIC)


def checked(folder, **options) -> pd.DataFrame:
    manifest = read_dataset(folder, **options)
    return check_dataset(manifest, load_images(manifest, list(manifest.table["path"]), 48)).set_index("check")


@pytest.fixture
def rooms(tmp_path):
    """Two rooms of thirty pictures that differ, with targets all over them."""
    generator = np.random.default_rng(0)
    for room in ("one", "two"):
        (tmp_path / room).mkdir()
        for number in range(30):
            x, y = generator.integers(0, 49, 2)
            noise(100 * len(room) + number + (50 if room == "two" else 0)).save(
                tmp_path / room / f"{x}_{y}_{number:02}.png"
            )
    return tmp_path


def test_a_sound_dataset_passes_all_that_is_serious(rooms):
    found = checked(rooms, train_on="one")
    assert not (found["found"] == "problem").any()
    assert found.loc["the same picture in two splits", "detail"] == "none"
    assert found.loc["few images", "found"] == "ok"


def test_exact_and_near_duplicates_across_splits_are_told_apart(rooms):
    first, second = sorted((rooms / "one").iterdir())[:2]
    Image.open(first).save(rooms / "two" / "1_1_same.png")
    Image.open(second).convert("RGB").save(rooms / "two" / "1_1_near.jpg", quality=85)
    found = checked(rooms, train_on="one")
    exact, near = (found.loc[f"{kind} picture in two splits"] for kind in ("the same", "nearly the same"))
    assert (exact["found"], exact["images"]) == ("problem", 1)
    assert first.name in exact["detail"]
    assert "1_1_same.png" in exact["detail"]
    assert (near["found"], near["images"]) == ("note", 1)
    assert "1_1_near.jpg" in near["detail"]


def test_duplicates_within_a_split_are_no_concern(rooms):
    Image.open(next((rooms / "two").iterdir())).save(rooms / "two" / "1_1_same.png")
    assert checked(rooms, train_on="one").loc["the same picture in two splits", "found"] == "ok"


def test_constant_dark_and_odd_pictures_are_named(rooms):
    Image.new("RGB", (48, 48), (90, 90, 90)).save(rooms / "one" / "1_1_flat.png")
    dark = np.zeros((48, 48, 3), np.uint8)
    dark[:8, :8] = 120
    Image.fromarray(dark).save(rooms / "one" / "1_1_dark.png")
    noise(999, 64).save(rooms / "one" / "1_1_large.png")
    found = checked(rooms)
    assert found.loc["constant pictures", "detail"] == "one/1_1_flat.png"
    assert found.loc["nearly black pictures", "detail"] == "one/1_1_dark.png"
    assert found.loc["pictures of another size than 48 × 48", "detail"] == "one/1_1_large.png: 64 × 64"


def test_unreadable_files_and_targets_outside_are_counted(rooms):
    (rooms / "one" / "1_1_empty.jpg").write_bytes(b"")
    noise(5).save(rooms / "one" / "49_1_out.png")
    found = checked(rooms)
    assert found.loc["files that cannot be used", "images"] == 1
    assert "1_1_empty.jpg: the file is empty" in found.loc["files that cannot be used", "detail"]
    assert "X = 49 lies outside" in found.loc["targets outside the image", "detail"]


def test_few_images_and_empty_ranges_are_noted(tmp_path):
    write_discs(tmp_path / "red", 30)
    write_discs(tmp_path / "green", 5)
    for path in list((tmp_path / "red").iterdir()):
        if int(path.name.split("_")[0]) < 16:
            path.unlink()
    found = checked(tmp_path, train_on="red")
    assert "environment green: 5" in found.loc["few images", "detail"]
    assert "-1 to -0.6: 0" in found.loc["few training images in a range of x", "detail"]


@pytest.mark.parametrize(("shift", "is_found"), [(0, False), (18, True)])
def test_a_split_with_other_targets_is_found_and_one_with_the_same_is_not(tmp_path, shift, is_found):
    generator = np.random.default_rng(1)
    for room, low in (("red", 0), ("green", shift)):
        (tmp_path / room).mkdir()
        for number in range(40):
            x, y = generator.integers(low, 30), generator.integers(0, 30)
            noise(number + 1000 * low + len(room), 30).save(tmp_path / room / f"{x}_{y}_{number}.png")
    row = checked(tmp_path, train_on="red").loc[
        "a split whose targets are distributed otherwise than training's"
    ]
    assert (row["found"] == "note") == is_found
    assert ("x in unseen" in row["detail"]) == is_found


def test_classes_that_are_drawn_otherwise_and_rare_ones_are_noted(tmp_path):
    for split, counts in {"train": {"a": 40, "b": 40, "c": 3}, "test": {"a": 40, "b": 5, "c": 1}}.items():
        for label, count in counts.items():
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(count):
                noise(number + 977 * len(split) + ord(label), 24).save(
                    tmp_path / split / label / f"{number}.png"
                )
    found = checked(tmp_path)
    assert "class c, training: 2" in found.loc["few images", "detail"]
    drift = found.loc["a split whose targets are distributed otherwise than training's", "detail"]
    assert "label in test" in drift


def test_fingerprints_survive_compression_and_light_but_not_another_picture(tmp_path):
    pictures = []
    for seed in range(8):
        plain = noise(seed)
        plain.save(tmp_path / "a.jpg", quality=60)
        lighter = Image.fromarray(np.clip(np.asarray(plain).astype(int) + 12, 0, 255).astype(np.uint8))
        pictures += [np.asarray(p.convert("RGB")) for p in (plain, Image.open(tmp_path / "a.jpg"), lighter)]
    signs = fingerprints(thumbnails(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)))
    differing = (64 - signs @ signs.T) / 2
    for first in range(0, 24, 3):
        assert differing[first, first : first + 3].max() <= 6
        others = [row for row in range(24) if not first <= row < first + 3]
        assert differing[first, others].min() > 10


def test_every_pair_is_compared_whatever_the_chunks(monkeypatch):
    images = torch.from_numpy(np.stack([np.asarray(noise(seed)) for seed in (1, 2, 3, 1, 2, 4)])).permute(
        0, 3, 1, 2
    )
    monkeypatch.setattr("shapsight.data.fingerprints.CHUNK", 2)
    pairs = near_pairs(thumbnails(images), np.arange(3), np.arange(3, 6))
    assert pairs[:, :2].astype(int).tolist() == [[0, 3], [1, 4]]


def test_an_image_for_every_row_is_needed(rooms):
    manifest = read_dataset(rooms)
    with pytest.raises(DataError, match="3 images came with a manifest of 60 rows"):
        check_dataset(manifest, torch.zeros(3, 3, 8, 8, dtype=torch.uint8))


def test_pictures_that_look_the_same_with_other_labels_are_a_problem_and_it_says_what_that_costs():
    generator = np.random.default_rng(0)
    coarse = [Image.fromarray(generator.integers(0, 256, (12, 12, 3)).astype(np.uint8)) for _ in range(6)]
    pictures = [np.asarray(image.resize((48, 48), Image.Resampling.BICUBIC)) // 2 + 9 for image in coarse]
    pictures.append(pictures[0] + generator.integers(0, 2, pictures[0].shape).astype(np.uint8))
    x = [-0.8, -0.4, 0.0, 0.3, 0.6, 0.9]

    def checked(last: float | None) -> pd.DataFrame:
        targets = list("abababb") if last is None else {"x": np.array([*x, last])}
        scales = {} if last is None else {"x": "half"}
        manifest = read_dataset((pictures, targets), validation_share=0, scales=scales)
        return check_dataset(manifest, load_images(manifest, manifest.table["path"], 64)).set_index("check")

    name = "nearly the same picture with labels that disagree"
    apart = checked(-0.6).loc[f"{name}, x"]
    assert (apart["found"], apart["images"]) == ("problem", 2)
    assert "costs an MSE of 0.01 at least;" in apart["detail"]
    assert checked(-0.75).loc[f"{name}, x", "found"] == "ok"
    assert checked(None).loc[name, "images"] == 2


@pytest.mark.parametrize("is_told", [True, False])
def test_compression_that_goes_with_the_target_is_a_problem(tmp_path, is_told):
    """As in room_3 of docs/story.md: what lies low is saved better; or half of everything is."""
    (tmp_path / "one").mkdir()
    for number in range(40):
        y = 5 + number
        quality = 95 if (y > 25 if is_told else number % 2) else 75
        noise(number).save(tmp_path / "one" / f"{(7 * number) % 48}_{y}_{number:02}.jpg", quality=quality)
    found = checked(tmp_path, train_on="one").loc["JPEG compression that goes with the target"]
    assert found["found"] == ("problem" if is_told else "ok")
    assert ("in one 19 files of high quality and 21 of lower" in found["detail"]) == is_told
    assert ("differ in y (distance 1.00), such as" in found["detail"]) == is_told
