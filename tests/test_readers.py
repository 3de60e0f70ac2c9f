"""Reading a folder of environments: what becomes a row, what is skipped and why, and who is held out."""

import os

import numpy as np
import pytest
from PIL import Image

from discs import write_discs
from shapsight.data.images import decode_image
from shapsight.data.readers import read_dataset
from shapsight.errors import DataError


@pytest.fixture
def dataset(tmp_path):
    for number, name in enumerate(("red", "green", "blue")):
        write_discs(tmp_path / name, 10, seed=number)
    return tmp_path


def test_targets_are_scaled_by_the_size_of_their_own_image(tmp_path):
    write_discs(tmp_path / "small", 0)
    for name, size in {"0_0_a": (20, 10), "20_10_b": (20, 10), "20_10_c": (40, 80)}.items():
        Image.new("RGB", size).save(tmp_path / "small" / f"{name}.png")
    table = read_dataset(tmp_path).table
    assert table[["x", "y", "width", "height"]].to_numpy().tolist() == [
        [-1, -1, 20, 10],
        [1, 1, 20, 10],
        [0, -0.75, 40, 80],
    ]


def test_the_target_lies_on_the_disc_that_was_drawn_there(dataset):
    manifest = read_dataset(dataset)
    for _, row in manifest.table.iterrows():
        rows, columns = np.nonzero(decode_image(dataset / row["path"]).min(2) > 200)
        x, y = (row["x"] + 1) / 2 * row["width"], (row["y"] + 1) / 2 * row["height"]
        assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).max() < 32 / 6


def test_an_environment_is_a_folder_and_paths_are_sorted_posix(dataset):
    manifest = read_dataset(dataset)
    assert manifest.environments == ("blue", "green", "red")
    assert manifest.table["path"].tolist() == sorted(
        path.relative_to(dataset).as_posix() for path in dataset.rglob("*.png")
    )
    assert set(manifest.table["path"].str.split("/").str[0] == manifest.table["environment"]) == {True}


def test_images_in_deeper_folders_belong_to_the_outermost_environment(tmp_path):
    write_discs(tmp_path / "red" / "monday" / "lap_1", 2)
    assert read_dataset(tmp_path).table["environment"].tolist() == ["red", "red"]


def test_images_directly_in_the_folder_are_one_environment_named_after_it(dataset):
    manifest = read_dataset(dataset / "red")
    assert manifest.environments == ("red",)
    assert "/" not in "".join(manifest.table["path"])
    assert any(
        "one environment only (red): nothing unseen is left to test on" in note for note in manifest.notes
    )


def test_an_environment_may_be_a_link_to_a_folder_elsewhere_and_a_loop_ends(dataset, tmp_path):
    (dataset / "linked").symlink_to(dataset / "red", target_is_directory=True)
    (dataset / "red" / "loop").symlink_to(dataset, target_is_directory=True)
    counts = read_dataset(dataset).table["environment"].value_counts()
    assert counts.to_dict() == {"red": 10, "green": 10, "blue": 10, "linked": 10}


def test_twenty_percent_of_each_training_environment_validate_and_the_rest_is_unseen(dataset):
    table = read_dataset(dataset, train_on=["red", "blue"]).table
    counts = table.groupby("environment")["split"].value_counts().to_dict()
    assert counts == {
        ("red", "train"): 8,
        ("red", "validation"): 2,
        ("blue", "train"): 8,
        ("blue", "validation"): 2,
        ("green", "unseen"): 10,
    }


def test_training_on_all_leaves_nothing_unseen_and_says_so(dataset):
    manifest = read_dataset(dataset)
    assert manifest.train_on == ("blue", "green", "red")
    assert not len(manifest.split("unseen"))
    assert any("nothing unseen" in note for note in manifest.notes)
    assert not any("nothing unseen" in note for note in read_dataset(dataset, train_on="red").notes)


def test_the_split_is_drawn_by_the_seed_and_by_nothing_else(dataset):
    def held_out(**options: object) -> list[str]:
        table = read_dataset(dataset, **options).split("validation")
        return [path for path in table["path"] if path.startswith("red/")]

    assert held_out() == held_out()
    assert held_out(train_on="red") == held_out(train_on="all")
    assert len({tuple(held_out(seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(("count", "validating"), [(1, 0), (2, 1), (3, 1), (4, 1), (8, 2)])
def test_two_images_are_enough_for_one_to_validate(tmp_path, count, validating):
    write_discs(tmp_path / "red", count)
    manifest = read_dataset(tmp_path)
    assert len(manifest.split("validation")) == validating
    assert len(manifest.split("train")) == count - validating


def test_no_validation_images_can_be_asked_for_and_that_is_noted(dataset):
    manifest = read_dataset(dataset, validation_share=0)
    assert not len(manifest.split("validation"))
    assert any("no validation images" in note for note in manifest.notes)
    with pytest.raises(DataError, match=r"validation_share=1\.5"):
        read_dataset(dataset, validation_share=1.5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("left.png", "does not begin with two numbers"),
        ("12.png", "does not begin with two numbers"),
        ("12_left.png", "does not begin with two numbers"),
        ("33_5_a.png", "X = 33 lies outside the image, which is 32 pixels wide"),
        ("5_32.5_a.png", r"Y = 32\.5 lies outside the image, which is 32 pixels high"),
        ("-1_5_a.png", "X = -1 lies outside"),
    ],
)
def test_a_name_without_a_target_inside_is_skipped_with_the_reason(dataset, name, reason):
    Image.new("RGB", (32, 32)).save(dataset / "red" / name)
    manifest = read_dataset(dataset)
    assert manifest.skipped["path"].tolist() == [f"red/{name}"]
    assert manifest.skipped["reason"].str.contains(reason).all()
    assert len(manifest) == 30
    assert any(note.startswith("1 image left out") for note in manifest.notes)


@pytest.mark.parametrize(
    "name", ["32_32.png", "0_0_a.PNG", "1.5_2.5_a b.JPEG", "007_08-x.webp", "1_2_ü_3.bmp"]
)
def test_odd_names_with_two_numbers_inside_are_read(tmp_path, name):
    (tmp_path / "red").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "red" / name)
    assert len(read_dataset(tmp_path)) == 1


def test_files_that_cannot_be_decoded_are_skipped_and_nothing_else_is_lost(dataset):
    red = dataset / "red"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(red / "1_1_cut.jpg")
    (red / "1_1_cut.jpg").write_bytes((red / "1_1_cut.jpg").read_bytes()[:1000])
    (red / "1_1_empty.jpg").write_bytes(b"")
    (red / "1_1_text.jpg").write_text("I am a text")
    manifest = read_dataset(dataset)
    reasons = dict(zip(manifest.skipped["path"], manifest.skipped["reason"], strict=True))
    assert "cut off" in reasons["red/1_1_cut.jpg"]
    assert "empty" in reasons["red/1_1_empty.jpg"]
    assert "not an image" in reasons["red/1_1_text.jpg"]
    assert len(manifest) == 30


def test_a_file_name_that_is_no_utf8_is_skipped_and_can_still_be_written_down(dataset, tmp_path):
    Image.new("RGB", (32, 32)).save(dataset / "plain.png")
    try:
        (dataset / "plain.png").rename(dataset / "red" / os.fsdecode(b"1_1_\xff.png"))
    except OSError:  # a file system that takes no such names has no such problem
        return
    manifest = read_dataset(dataset)
    assert manifest.skipped["reason"].tolist() == ["the file name is not valid UTF-8"]
    manifest.save(tmp_path / "run")


def test_hidden_files_are_no_images_and_other_files_are_counted(dataset):
    (dataset / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (32, 32)).save(dataset / ".ipynb_checkpoints" / "1_1_a.png")
    (dataset / "red" / "._1_1_a.jpg").write_bytes(b"\0")
    (dataset / "notes.txt").write_text("hello")
    manifest = read_dataset(dataset)
    assert len(manifest) == 30
    assert manifest.skipped.empty
    assert any("1 .txt" in note for note in manifest.notes)


def test_an_exif_orientation_and_mixed_sizes_are_noted(dataset):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (48, 32)).save(dataset / "red" / "48_1_a.jpg", exif=exif)
    manifest = read_dataset(dataset)
    row = manifest.table[manifest.table["path"] == "red/48_1_a.jpg"].iloc[0]
    assert (row["width"], row["height"], row["x"]) == (48, 32, 1)
    notes = " ".join(manifest.notes)
    assert (
        "1 image carries an EXIF orientation, which is not applied: targets refer to the stored pixels"
        in notes
    )
    assert "2 sizes, 32 × 32 (30), 48 × 32 (1)" in notes


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "there is nothing at"),
        (lambda path: path.write_text("x"), "is a file, not a folder"),
        (lambda path: path.mkdir(), "there is no image in"),
        (lambda path: write_discs(path, 1)[0].rename(path / "a.txt"), r"only 1 \.txt"),
        (lambda path: write_discs(path, 1)[0].rename(path / "a.png"), r"none of the 1 images.*1 × the name"),
    ],
)
def test_a_source_without_a_usable_image_says_what_was_found_and_what_is_expected(tmp_path, prepare, message):
    prepare(tmp_path / "data")
    with pytest.raises(DataError, match=rf"{message}.*X_Y_anything\.jpg, such as DATA/room_1/112_98_a\.jpg"):
        read_dataset(tmp_path / "data")


def test_an_unknown_environment_is_answered_with_those_that_exist_nearest_first(dataset):
    with pytest.raises(DataError, match=r"'gren'.*does not exist; there are green, red, blue \(or all\)"):
        read_dataset(dataset, train_on="gren")
    with pytest.raises(DataError, match="names no environment"):
        read_dataset(dataset, train_on=[])


def test_an_environment_called_all_is_refused(dataset):
    (dataset / "red").rename(dataset / "all")
    with pytest.raises(DataError, match="the word for every one"):
        read_dataset(dataset)


def test_an_environment_of_bad_images_only_cannot_be_trained_on(dataset):
    (dataset / "dark").mkdir()
    (dataset / "dark" / "1_1_a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="'dark' to train on has no usable image"):
        read_dataset(dataset, train_on="dark")


def test_progress_counts_every_image(dataset):
    steps = []
    read_dataset(dataset, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 30) for done in range(1, 31)]


@pytest.mark.shared
def test_the_real_photographs_are_read(shared):
    manifest = read_dataset(shared / "data" / "jetracer_office", train_on="lockers")
    assert manifest.table["environment"].value_counts().to_dict() == {"hall": 44, "lockers": 33, "mural": 27}
    assert len(manifest.split("validation")) == 7
    assert manifest.skipped.empty
    assert manifest.table[["x", "y"]].abs().max().max() <= 1
