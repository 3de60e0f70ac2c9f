"""What a reader finds out by itself: splits, targets in names, the order of taking; and that it says so."""

import random
import uuid
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from shapsight.data.readers import read_dataset
from shapsight.data.splits import split_names, split_of
from shapsight.errors import DataError


def write(root: Path, *paths: str, size: tuple[int, int] = (100, 100)) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (90, 90, 90)).save(root / path)
    return root


def class_folders(root: Path, *splits: str) -> Path:
    names = [f"{split}/{kind}/{n}.png" for split in splits for kind in ("cat", "dog") for n in range(4)]
    return write(root, *names)


@pytest.mark.parametrize(
    ("training", "judging", "split"),
    [
        ("Train", "Test", "test"),
        ("TRAIN", "TEST", "test"),
        ("training_set", "test_set", "test"),
        ("TrainingData", "TestData", "test"),
        ("seg_train", "seg_test", "test"),
        ("train", "eval", "validation"),
        ("train2017", "val2017", "validation"),
        ("train-images", "holdout", "test"),
    ],
)
def test_split_words_in_any_spelling_are_splits_and_the_folders_below_are_classes(
    tmp_path, training, judging, split
):
    manifest = read_dataset(class_folders(tmp_path, training, judging))
    assert manifest.class_names == ("cat", "dog")
    given = manifest.table[manifest.table["path"].str.startswith(f"{judging}/")]
    assert set(given["split"]) == {split}
    assert set(manifest.table["split"]) == {"train", "validation", split}
    assert f"the folders {', '.join(sorted((training, judging)))}" in manifest.notes[0]


def test_a_third_folder_beside_the_splits_is_listed_and_not_learned(tmp_path):
    class_folders(tmp_path, "train", "test")
    write(tmp_path, "pred/1.png", "pred/more/2.png", "cover.png")
    manifest = read_dataset(tmp_path)
    assert manifest.class_names == ("cat", "dog")
    assert len(manifest) == 16
    assert set(manifest.skipped["path"]) == {"pred/1.png", "pred/more/2.png", "cover.png"}
    assert set(manifest.skipped["reason"]) == {
        "it lies beside the split folders test, train, in none of them"
    }


def test_splits_that_repeat_their_folder_or_lie_below_the_classes_are_found(tmp_path):
    """As the archives of Kaggle's scenes unpack: seg_train/seg_train/forest."""
    class_folders(tmp_path / "one", "seg_train/seg_train", "seg_test/seg_test")
    assert read_dataset(tmp_path / "one").class_names == ("cat", "dog")
    write(
        tmp_path / "two",
        *(f"{k}/{s}/{n}.png" for k in ("cat", "dog") for s in ("train", "test") for n in "123"),
    )
    manifest = read_dataset(tmp_path / "two")
    assert manifest.class_names == ("cat", "dog")
    assert set(manifest.split("test")["path"].str.split("/").str[1]) == {"test"}
    class_folders(tmp_path / "three", "photos/train", "photos/val")
    assert read_dataset(tmp_path / "three").class_names == ("cat", "dog")


def test_images_in_split_folders_without_classes_are_listed_with_the_reason(tmp_path):
    write(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(DataError, match="2 × it lies in no class folder"):
        read_dataset(tmp_path, task="classification")


def test_a_train_among_other_vehicles_is_a_class(tmp_path):
    write(tmp_path, *(f"{kind}/{n}.png" for kind in ("bus", "car", "train") for n in range(3)))
    assert read_dataset(tmp_path).class_names == ("bus", "car", "train")


def test_the_users_own_rule_is_stronger_than_split_words(tmp_path):
    class_folders(tmp_path, "train", "test")
    assert read_dataset(tmp_path, label="folder:1").class_names == ("test", "train")
    assert read_dataset(tmp_path, split="folder:1").class_names == ("cat", "dog")


def test_x_y_names_below_split_folders_keep_their_splits_and_environments(tmp_path):
    rooms = [
        f"{split}/{room}/{n}_5_a.png"
        for split in ("train", "test")
        for room in ("hall", "lab")
        for n in range(5)
    ]
    manifest = read_dataset(write(tmp_path / "rooms", *rooms))
    assert manifest.environments == ("hall", "lab")
    assert len(manifest.split("test")) == 10
    flat = [f"{split}/{n}_5_a.png" for split in ("Train", "Test") for n in range(5)]
    manifest = read_dataset(write(tmp_path / "flat", *flat))
    assert manifest.environments == ("flat",)
    assert set(manifest.split("test")["path"].str.split("/").str[0]) == {"Test"}


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("Training Set", "train"),
        ("testset", "test"),
        ("VALID", "validation"),
        ("contest", None),
        ("trainer", None),
    ],
)
def test_a_word_is_a_split_as_a_whole_only(word, split):
    assert split_of(word) == split


def test_two_kinds_of_split_folders_are_no_splits():
    assert split_names(["cats_train", "cats_test", "dogs_train", "dogs_test"]) == {}


def test_jetbots_names_are_known_and_percent_are_asked_for(tmp_path):
    write(tmp_path / "small", "lab/xy_050_030_u.jpg", "hall/xy_010_100_v.jpg", "hall/XY_010_099_v.jpg")
    manifest = read_dataset(tmp_path / "small")
    assert manifest.targets == ("x", "y")
    assert manifest.environments == ("hall", "lab")
    row = manifest.table.set_index("path").loc["lab/xy_050_030_u.jpg"]
    assert (row["x"], row["y"]) == (0, 2 * 30 / 100 - 1)
    assert any("--scale x=0:100 --scale y=0:100" in note for note in manifest.notes)
    percent = read_dataset(tmp_path / "small", scales={"x": "0:100", "y": "0:100"})
    assert percent.table.set_index("path").loc["lab/xy_050_030_u.jpg", "x"] == 50
    write(tmp_path / "large", "lab/xy_150_030_u.jpg", "lab/xy_050_030_u.jpg", size=(200, 200))
    assert not any("percent" in note for note in read_dataset(tmp_path / "large").notes)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["x50_y30_a", "x7_y31_b"], "x{x}_y{y}_{}"),
        (["92-98-7da0ce8a", "12-9-91d8d460"], "{x}-{y}-{}"),
        (["steering_0.35_1", "steering_-0.2_2"], "steering_{steering}_{}"),
        (["00001_speed_12.5_angle_-3.5", "00002_speed_1.0_angle_3.0"], "{}_speed_{speed}_angle_{angle}"),
        (["Y5X6", "Y7X8"], "Y{y}X{x}"),
    ],
)
def test_names_that_look_like_targets_are_refused_with_a_pattern_that_reads_them(tmp_path, names, pattern):
    write(tmp_path, *(f"{room}/{name}.png" for room in ("hall", "lab") for name in names))
    with pytest.raises(DataError, match="look as if they held targets") as refused:
        read_dataset(tmp_path)
    assert f"--pattern '{pattern}'" in str(refused.value)
    assert len(read_dataset(tmp_path, pattern=pattern, validation_share=0)) == 4
    assert read_dataset(tmp_path, task="classification").class_names == ("hall", "lab")
    with pytest.raises(DataError, match="look as if they held targets"):
        read_dataset(tmp_path / "hall")


@pytest.mark.parametrize(
    "name",
    ["IMG_20240101_12000{}", "sim_n02010272_{}", "2024-01-0{}", "cat.{}", "frame_000{}", "max_{}", "DSC0{}"],
)
def test_ordinary_names_of_photographs_are_not_taken_for_targets(tmp_path, name):
    write(tmp_path, *(f"{kind}/{name.format(n)}.png" for kind in ("cat", "dog") for n in range(3)))
    assert read_dataset(tmp_path).class_names == ("cat", "dog")


def test_a_few_names_that_begin_with_numbers_leave_the_task_open(tmp_path):
    write(
        tmp_path, "hall/1_2_a.png", *(f"{room}/photo {n}.png" for room in ("hall", "lab") for n in range(3))
    )
    with pytest.raises(DataError, match=r"1 of the 7 names .* --task regression .* --task classification"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, task="regression").skipped) == 6
    assert read_dataset(tmp_path, task="classification").class_names == ("hall", "lab")


def neighbours_torn_apart(manifest, order: list[str]) -> list[int]:
    """For each group, how many of its rows stand beside a row of another one, in the true order of taking."""
    group = manifest.table.set_index("path")["group"].loc[order]
    changes = (group.ne(group.shift()) | group.ne(group.shift(-1))).groupby(group).sum()
    return changes.tolist()


def test_blocks_follow_frame_numbers_not_their_text(tmp_path):
    order = [f"run/frame_{number}.png" for number in range(120)]
    write(tmp_path / "photos", *order)
    manifest = read_dataset(tmp_path / "photos", pattern="frame_{frame}", group="block:10")
    assert max(neighbours_torn_apart(manifest, order)) <= 2
    assert manifest.table["group"].nunique() == 12
    classes = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(60)]
    manifest = read_dataset(write(tmp_path / "pets", *classes), group="block:10")
    assert max(neighbours_torn_apart(manifest, classes)) <= 2


@pytest.mark.parametrize("kind", ["number", "time-based uuid"])
def test_blocks_of_x_y_names_follow_what_comes_after_the_numbers(tmp_path, kind):
    draw = random.Random(3)

    def name(number: int) -> str:
        if kind == "number":
            return str(number)
        ticks = 0x1EDA47BA46BB607 + number * 0xFFFFFFF  # the first of a UUID's parts begins anew now and then
        fields = (ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF, 0, 0, 1)
        return str(uuid.UUID(fields=fields, version=1))

    order = [f"room/{draw.randrange(100)}_{draw.randrange(100)}_{name(number)}.png" for number in range(120)]
    assert order != sorted(order)
    manifest = read_dataset(write(tmp_path, *order), group="block:10")
    assert max(neighbours_torn_apart(manifest, order)) <= 2


def test_blocks_of_a_table_follow_its_rows(tmp_path):
    paths = [f"{number * 37 % 120}.png" for number in range(120)]
    write(tmp_path, *paths)
    pd.DataFrame({"path": paths, "steering": [number % 7 / 3 for number in range(120)]}).to_csv(
        tmp_path / "drive.csv", index=False
    )
    manifest = read_dataset(tmp_path / "drive.csv", group="block:10")
    assert max(neighbours_torn_apart(manifest, paths)) <= 2


def test_the_first_note_says_what_was_found_out(tmp_path):
    write(tmp_path / "a", *(f"{room}/{n}_5_a.png" for room in ("hall", "lab") for n in range(5)))
    assert read_dataset(tmp_path / "a", train_on="lab").notes[0] == (
        "Read as a regression of x, y (the names, X_Y_anything); 2 environments, hall 5, lab 5 (folder level 1); "
        "splits train 4, unseen 5, validation 1."
    )
    class_folders(tmp_path / "b", "Train", "Test")
    assert read_dataset(tmp_path / "b").notes[0] == (
        "Read as a classification into 2 classes, cat, dog (folder level 2); one environment, b; splits test 8, "
        "train 6, validation 2 (the folders Test, Train)."
    )
    write(tmp_path, *(f"{n}.png" for n in range(4)))
    frame = {
        "path": [f"{n}.png" for n in range(4)],
        "steering": [0.1, 0.2, 0.3, 0.5],
        "note": ["a", "b", "c", "d"],
    }
    pd.DataFrame(frame | {"camera": list("llrr")}).to_csv(tmp_path / "drive.csv", index=False)
    assert read_dataset(tmp_path / "drive.csv", environment="camera").notes[0] == (
        "Read as a regression of steering (columns of numbers; the paths are in column path); 2 environments, l 2, "
        "r 2 (column camera); splits train 2, validation 2; not used: column note."
    )
