"""Datasets of every kind become the same table: names, tables, class folders, IDX, and what is wrong with them."""

import gzip
import json
import struct
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.data.rules import column_by_rule
from shapsight.data.scale import Scale
from shapsight.data.sources.idx import read_idx
from shapsight.data.sources.names import compile_pattern
from shapsight.data.splits import draw_splits
from shapsight.errors import DataError, MissingDependency


def write_picture(path, level: int = 100, size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def write_idx(path, array: np.ndarray) -> None:
    content = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def drives(tmp_path):
    """A table of twelve pictures of two drives with steering and speed."""
    for number in range(12):
        write_picture(tmp_path / "frames" / f"{number}.png", 20 * number)
    table = pd.DataFrame(
        {
            "path": [f"frames/{number}.png" for number in range(12)],
            "steering": np.linspace(-0.8, 0.8, 12),
            "speed": np.linspace(5, 27, 12),
            "drive": ["a"] * 6 + ["b"] * 6,
        }
    )
    return tmp_path, table


def written(folder, table: pd.DataFrame, kind: str = "csv"):
    path = folder / f"drives.{kind}"
    if kind == "csv":
        table.to_csv(path, index=False)
    elif kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_table_in_any_format_gives_the_same_manifest(drives, kind):
    folder, table = drives
    manifest = read_dataset(written(folder, table, kind), targets=["steering", "speed"])
    assert manifest.targets == ("steering", "speed")
    again = manifest.table.set_index("path").loc[table["path"]]
    np.testing.assert_allclose(again[["steering", "speed"]], table[["steering", "speed"]])
    assert set(again["width"]) == {20}


def test_all_columns_of_numbers_are_targets_unless_some_are_named(drives):
    folder, table = drives
    assert read_dataset(written(folder, table)).targets == ("steering", "speed")
    assert read_dataset(written(folder, table), targets=["speed"]).targets == ("speed",)


def test_targets_keep_their_unit_and_scales_are_the_training_range_or_as_given(drives):
    folder, table = drives
    manifest = read_dataset(written(folder, table), scales={"speed": "0:30:km/h"})
    training = manifest.split("train")
    assert manifest.scales["speed"] == Scale(0, 30, "km/h")
    assert manifest.scales["steering"] == Scale(training["steering"].min(), training["steering"].max())
    assert manifest.table["speed"].max() == 27
    assert any("steering from" in note for note in manifest.notes)


def test_a_manifest_keeps_scales_classes_and_groups_on_disk(drives, tmp_path):
    folder, table = drives
    manifest = read_dataset(written(folder, table), scales={"speed": "0:30:km/h"}, group="drive")
    manifest.save(tmp_path / "run")
    again = Manifest.load(tmp_path / "run")
    assert again.scales == manifest.scales
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert "group" in again.table


def test_groups_are_never_torn_apart(drives):
    folder, table = drives
    for seed in range(5):
        manifest = read_dataset(written(folder, table), group="column:drive", seed=seed)
        assert (manifest.table.groupby("group")["split"].nunique() == 1).all()
        assert set(manifest.table["split"]) == {"train", "validation"}


def test_time_blocks_are_consecutive(drives):
    folder, table = drives
    manifest = read_dataset(written(folder, table), group="block:3")
    assert manifest.table["group"].nunique() == 4
    sizes = manifest.table.groupby("group")["split"].agg(["nunique", "size"])
    assert sizes.to_numpy().tolist() == [[1, 3]] * 4


def test_environments_come_from_a_column_a_folder_a_rule_on_the_name_or_a_function(drives):
    folder, table = drives
    path = written(folder, table)
    assert read_dataset(path, environment="drive").environments == ("a", "b")
    assert read_dataset(path).environments == ("frames",)
    assert read_dataset(path, environment=r"name:(1)?\d\.png").environments == ("", "1")
    assert read_dataset(path, environment=lambda p: f"room {len(p)}").environments == ("room 12", "room 13")


def test_held_out_environments_are_unseen_and_the_others_are_trained_on(drives):
    folder, table = drives
    manifest = read_dataset(written(folder, table), environment="drive", hold_out=["b"])
    assert manifest.train_on == ("a",)
    assert set(manifest.split("unseen")["environment"]) == {"b"}
    with pytest.raises(DataError, match="'c' to hold out does not exist"):
        read_dataset(written(folder, table), environment="drive", hold_out="c")


def test_splits_of_a_table_are_kept_and_missing_validation_is_drawn_from_training(drives):
    folder, table = drives
    table = table.assign(split=["training"] * 9 + ["test"] * 3)
    manifest = read_dataset(written(folder, table))
    assert manifest.table["split"].value_counts().to_dict() == {"train": 7, "test": 3, "validation": 2}
    with pytest.raises(DataError, match="'exam' is not a split"):
        read_dataset(written(folder, table.assign(split="exam")))


def test_rows_that_cannot_be_used_are_listed_with_the_reason(drives):
    folder, table = drives
    table = table.astype({"speed": object})
    table.loc[0, "speed"] = np.nan
    table.loc[1, "speed"] = "fast"
    table.loc[2, "path"] = "frames/lost.png"
    table.loc[3, "path"] = None
    table.loc[4, "steering"] = np.inf
    manifest = read_dataset(written(folder, table), targets=["steering", "speed"])
    reasons = dict(zip(manifest.skipped["path"], manifest.skipped["reason"], strict=True))
    assert reasons["frames/0.png"] == "speed is missing"
    assert reasons["frames/1.png"] == "speed = 'fast' is no finite number"
    assert reasons["frames/lost.png"] == "there is no such file"
    assert reasons["frames/4.png"] == "steering = inf is no finite number"
    assert "there is no path (row 4)" in reasons.values()
    assert len(manifest) == 7


def test_paths_outside_the_folder_are_followed_only_when_asked(drives, tmp_path_factory):
    folder, table = drives
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    write_picture(elsewhere)
    (folder / "link.png").symlink_to(elsewhere)
    for row, path in enumerate((str(elsewhere), f"../{elsewhere.parent.name}/secret.png", "link.png")):
        table.loc[row, "path"] = path
    table.loc[3, "path"] = str(folder / "frames" / "3.png")  # absolute, but inside
    manifest = read_dataset(written(folder, table))
    assert len(manifest) == 9
    assert manifest.skipped["reason"].str.contains("--allow-outside").sum() == 3
    followed = read_dataset(written(folder, table), allow_outside=True)
    assert len(followed.skipped) in (0, 1)  # where the two folders lie apart, ../ may lead nowhere
    assert load_images(followed, list(followed.table["path"]), 8).shape[0] == len(followed)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            lambda t: t.drop(columns="path"),
            {},
            "no column path or file .* its columns are steering, speed, drive",
        ),
        (lambda t: t, {"targets": ["sped"]}, "no target column 'sped'; there are speed"),
        (lambda t: t.assign(speed="fast"), {"targets": ["speed"]}, "'speed' holds no numbers: .* 'fast'"),
        (lambda t: t.assign(speed=np.nan), {"targets": ["speed"]}, "'speed' holds no numbers"),
        (lambda t: t.iloc[:0], {}, "has no rows"),
        (lambda t: t.assign(speed=7.0), {"targets": ["speed"]}, "nothing to learn: speed is 7 in all"),
        (lambda t: t, {"scales": {"height": "0:1"}}, "a scale was given for 'height', which is no target"),
        (lambda t: t, {"scales": {"speed": "fast"}}, "'fast' is no scale"),
        (lambda t: t, {"scales": {"speed": "3:1:m"}}, "from 3 to 1 is empty"),
        (lambda t: t, {"environment": "column:room"}, "no column 'room'; there are"),
        (lambda t: t, {"environment": "flder:1"}, "'flder:1' cannot be read. A rule is folder:N"),
        (lambda t: t, {"environment": "name:(day"}, "no regular expression"),
        (lambda t: t, {"group": "name:night"}, "does not match frames/"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_is_wrong(drives, change, options, message):
    folder, table = drives
    with pytest.raises(DataError, match=message):
        read_dataset(written(folder, change(table)), **options)


def test_one_constant_target_of_several_is_noted(drives):
    folder, table = drives
    manifest = read_dataset(written(folder, table.assign(speed=7.0)))
    assert any("speed is 7 in all" in note for note in manifest.notes)


def test_an_empty_file_and_a_damaged_one_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        read_dataset(tmp_path / "a.csv")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_dataset(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"path": "a.png", "speed"')
    with pytest.raises(DataError, match="cannot be read as jsonl"):
        read_dataset(tmp_path / "a.jsonl")


def test_pixel_targets_of_a_table_are_scaled_by_the_image_and_fractions_are_not(drives):
    folder, table = drives
    pixels = table.drop(columns=["steering", "speed"]).assign(x=np.arange(12), y=5)
    manifest = read_dataset(written(folder, pixels)).table.set_index("path").loc[table["path"]]
    np.testing.assert_allclose(manifest["x"], 2 * np.arange(12) / 20 - 1)
    assert (manifest["y"] == 0).all()
    halves = pixels.assign(x=np.linspace(-0.9, 0.9, 12))
    np.testing.assert_allclose(
        read_dataset(written(folder, halves)).table.set_index("path").loc[table["path"]]["x"], halves["x"]
    )
    named = pixels.rename(columns={"x": "left"}).drop(columns="y")
    manifest = read_dataset(written(folder, named), scales={"left": "width"})
    assert manifest.table["left"].min() == -1


def test_name_patterns_make_targets_of_their_fields(tmp_path):
    for number, (speed, angle) in enumerate(((3, -0.5), (12.5, 0.25), (30, 1), (7, -1), (9, 0))):
        write_picture(tmp_path / "room" / f"{speed}km_{angle}_night_{number}.jpg")
    manifest = read_dataset(tmp_path, pattern="{speed}km_{angle}_{environment}_{id}")
    assert manifest.targets == ("speed", "angle")
    assert manifest.environments == ("night",)
    assert sorted(manifest.table["speed"]) == [3, 7, 9, 12.5, 30]


@given(
    st.lists(
        st.tuples(st.integers(-99, 99), st.floats(-9, 9).map(lambda v: round(v, 2))), min_size=1, max_size=4
    )
)
def test_a_pattern_reads_back_what_was_written(rows):
    pattern = compile_pattern("{speed}_{angle}_{id}")
    for number, (speed, angle) in enumerate(rows):
        match = pattern.fullmatch(f"{speed}_{angle:.2f}_{number}")
        assert match is not None
        assert (float(match["speed"]), float(match["angle"]), match["id"]) == (speed, angle, str(number))


@pytest.mark.parametrize("pattern", ["nothing", "{x}_{x}", "{1x}_{y}"])
def test_a_pattern_that_makes_no_sense_is_refused(pattern):
    with pytest.raises(DataError, match="no name pattern"):
        compile_pattern(pattern)


@pytest.fixture
def classes(tmp_path):
    for label, level in {"cat": 30, "dog": 200}.items():
        for number in range(10):
            write_picture(tmp_path / label / f"{number}.png", level)
    return tmp_path


def test_class_folders_are_labels_in_alphabetical_order(classes):
    manifest = read_dataset(classes)
    assert (manifest.task, manifest.class_names) == ("classification", ("cat", "dog"))
    assert (manifest.table["path"].str.split("/").str[0] == manifest.table["label"]).all()
    assert manifest.label_numbers().tolist() == [0] * 10 + [1] * 10
    assert manifest.split("validation")["label"].value_counts().to_dict() == {"cat": 2, "dog": 2}
    assert read_dataset(classes, class_names=["dog", "cat"]).label_numbers().tolist() == [1] * 10 + [0] * 10


def test_splits_above_the_class_folders_are_kept(classes):
    for split, label in (("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")):
        (classes / split).mkdir(exist_ok=True)
        for number in range(3):
            write_picture(classes / split / label / f"{number}.png")
    for label in ("cat", "dog"):
        for path in (classes / label).iterdir():
            path.unlink()
        (classes / label).rmdir()
    manifest = read_dataset(classes, task="classification")
    assert manifest.class_names == ("cat", "dog")
    assert manifest.table["split"].value_counts().to_dict() == {"train": 6, "validation": 6}
    write_picture(classes / "val" / "fox" / "0.png")
    with pytest.raises(DataError, match="'fox' is seen only in validation"):
        read_dataset(classes, task="classification")


def test_one_class_or_an_unknown_one_is_refused(classes):
    with pytest.raises(DataError, match=r"have the label 'cat': to tell classes apart takes two"):
        read_dataset(classes / "cat", task="classification", label=lambda _: "cat")
    (classes / "dog").rename(classes / "cat" / "dog")
    with pytest.raises(DataError, match="have the label 'cat'"):
        read_dataset(classes, task="classification")
    with pytest.raises(DataError, match="'cat' is none of the class names bird"):
        read_dataset(classes, task="classification", class_names=["bird", "dog"])


def test_a_table_with_labels_is_a_classification_unless_targets_are_named(drives):
    folder, table = drives
    table = table.assign(label=["left", "right"] * 6)
    assert read_dataset(written(folder, table)).class_names == ("left", "right")
    assert read_dataset(written(folder, table), targets=["speed"]).class_names == ()


@pytest.fixture
def digits(tmp_path):
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 30), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 12, 10))
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) % 3)
    return tmp_path


@pytest.mark.parametrize("prefix", ["", "idx:"])
def test_idx_files_give_their_pixels_labels_and_test_split(digits, prefix):
    manifest = read_dataset(f"{prefix}{digits}")
    assert manifest.class_names == ("0", "1", "2")
    assert manifest.table["split"].value_counts().to_dict() == {"train": 24, "test": 10, "validation": 6}
    raw = read_idx(digits / "train-images-idx3-ubyte.gz")
    row = manifest.table.index[manifest.table["path"] == "train-images-idx3-ubyte.gz#17"][0]
    assert manifest.table.loc[row, "label"] == str(17 % 3)
    assert (manifest.table.loc[row, "width"], manifest.table.loc[row, "height"]) == (10, 12)
    Image.fromarray(raw[17]).save(digits / "seventeen.png")
    loaded = load_images(manifest, list(manifest.table["path"]), 12)[row]
    assert (loaded == load_images(digits, ["seventeen.png"], 12)[0]).all()


def test_plain_idx_files_are_read_like_gzipped_ones(digits):
    for path in list(digits.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(read_dataset(digits)) == 40


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "train-labels-idx1-ubyte.gz").unlink(), "no labels beside"),
        (lambda f: write_idx(f / "train-labels-idx1-ubyte.gz", np.zeros(7)), "30 images, but .* labels of"),
        (lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip"), "cannot be read"),
        (lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03")), "cut off"),
        (lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"abcd")), "no IDX file"),
        (
            lambda f: (f / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x0d\x01")),
            "type 0x0d",
        ),
        (lambda f: write_idx(f / "train-images-idx3-ubyte.gz", np.zeros((0, 4, 4))), "holds 0 images"),
    ],
)
def test_damaged_idx_files_are_named(digits, damage, message):
    damage(digits)
    with pytest.raises(DataError, match=message):
        read_dataset(digits)


def test_a_hugging_face_folder_without_the_library_names_it(tmp_path, monkeypatch):
    (tmp_path / "state.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependency, match="pip install datasets"):
        read_dataset(tmp_path)


def saved_images(folder, several: bool = False):
    """A folder as Hugging Face's library saves it: ten grey pictures, each with an answer, or with several."""
    import datasets

    datasets.disable_progress_bars()
    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features(
        {"picture": datasets.Image(), "answer": datasets.List(label) if several else label}
    )
    rows = {
        "picture": [Image.new("L", (8, 6), 20 * n) for n in range(10)],
        "answer": [[n % 2, 1] if several else n % 2 for n in range(10)],
    }
    train = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": train, "test": train.select(range(4))}).save_to_disk(str(folder))
    return folder


def test_a_hugging_face_folder_gives_pictures_labels_and_splits(tmp_path):
    manifest = read_dataset(saved_images(tmp_path / "saved"))
    assert manifest.class_names == ("no", "yes")
    assert len(manifest.split("test")) == 4
    row = manifest.table.index[manifest.table["path"] == "train#7"][0]
    assert (load_images(manifest, list(manifest.table["path"]), 6)[row] == 140).all()


def test_several_labels_of_an_image_are_refused_with_their_column(tmp_path, drives):
    """In a folder of Hugging Face's, and in any table that holds lists."""
    with pytest.raises(DataError, match=r"'answer' holds several values in one row.* column of 0 and 1"):
        read_dataset(saved_images(tmp_path / "saved", several=True))
    folder, table = drives
    path = written(folder, table.assign(tags=[["wet", "dark"]] * 12), "jsonl")
    for options in ({"label": "tags"}, {"environment": "tags"}, {"targets": ["tags"]}, {"group": "tags"}):
        with pytest.raises(DataError, match="'tags' holds several values in one row"):
            read_dataset(path, **options)
    assert read_dataset(path).targets == ("steering", "speed")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), min_size=1, max_size=40),
    st.floats(0, 0.6),
    st.floats(0, 0.3),
    st.integers(0, 5),
)
def test_splits_keep_groups_whole_train_on_something_and_repeat(rows, validation, test, seed):
    table = pd.DataFrame(rows, columns=["environment", "group"])
    table["group"] = table["environment"] + table["group"].astype(str)
    trained = sorted(table["environment"].unique())[:2]
    options = {"validation_share": validation, "test_share": test, "seed": seed}
    splits = draw_splits(table, trained, **options)
    assert splits == draw_splits(table, trained, **options)
    drawn = table.assign(split=splits)
    assert (drawn.groupby("group")["split"].nunique() == 1).all()
    for environment, group in drawn.groupby("environment"):
        assert ("train" in set(group["split"])) == (environment in trained)
        assert ("unseen" in set(group["split"])) == (environment not in trained)


def test_what_the_reader_decoded_is_not_decoded_again(tmp_path, monkeypatch):
    write_discs(tmp_path / "red", 6)
    manifest = read_dataset(tmp_path)
    expected = load_images(tmp_path, list(manifest.table["path"]), 16)
    assert len(manifest.decoded) == 6

    def fail(*_: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr("shapsight.data.decoding._decode", fail)
    assert (load_images(manifest, list(manifest.table["path"]), 16) == expected).all()
    assert len(manifest.decoded) == 0


def test_images_beyond_the_memory_lie_in_a_file_with_the_same_pixels(tmp_path):
    paths = [path.name for path in write_discs(tmp_path, 5)]
    expected = load_images(tmp_path, paths, 16)
    mapped = load_images(tmp_path, paths, 16, memory=100)
    assert (mapped == expected).all()
    assert isinstance(mapped.numpy().base, np.memmap) or mapped.numpy().base is not None


def test_rules_name_folders_from_both_ends():
    table = pd.DataFrame({"path": ["a/b/c.png", "a/d.png", "e.png"]})
    assert column_by_rule("folder:1", table, "all").tolist() == ["a", "a", "all"]
    assert column_by_rule("folder:-1", table, "all").tolist() == ["b", "a", "all"]
    assert column_by_rule("folder:2", table, "all").tolist() == ["b", "all", "all"]


def test_a_rule_for_a_column_of_whole_numbers_writes_them_without_a_point():
    table = pd.DataFrame({"path": ["a", "b"], "camera": [1.0, np.nan]})
    assert column_by_rule("camera", table, "").tolist() == ["1", ""]


def test_test_data_are_unseen_and_need_nothing_to_learn(drives):
    folder, table = drives
    manifest = read_dataset(written(folder, table.assign(speed=7.0)), targets=["speed"], for_training=False)
    assert set(manifest.table["split"]) == {"unseen"}
    assert manifest.train_on == ()


def test_a_json_file_that_is_no_table_is_no_dataset(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([1]))
    with pytest.raises(DataError, match="is a file, not a folder"):
        read_dataset(tmp_path / "a.json")
