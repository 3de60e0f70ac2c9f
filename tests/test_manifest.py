"""The manifest: a table that can be written, read again, and asked for its splits."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.errors import DataError


@pytest.fixture
def manifest() -> Manifest:
    table = pd.DataFrame(
        {
            "path": ["b/1_2_ü.jpg", "a/3_4,5.jpg", "a/5_6.jpg"],
            "environment": ["b", "a", "a"],
            "split": ["unseen", "train", "validation"],
            "width": [10, 20, 20],
            "height": [10, 20, 20],
            "x": [-0.1, 1 / 3, 1.0],
            "y": [0.0, -1.0, 0.25],
        }
    )
    skipped = pd.DataFrame({"path": ["a/x.jpg"], "reason": ["the file is empty, it has 0 bytes"]})
    return Manifest(Path("data"), table, ("x", "y"), skipped, ("One note.",), ("a",))


def test_a_manifest_comes_back_from_its_folder_as_it_was(tmp_path, manifest):
    manifest.save(tmp_path / "run")
    again = Manifest.load(tmp_path / "run")
    pd.testing.assert_frame_equal(again.table, manifest.table)
    pd.testing.assert_frame_equal(again.skipped, manifest.skipped)
    assert (again.targets, again.notes) == (manifest.targets, manifest.notes)
    assert again.root == manifest.root.resolve()
    assert again.train_on == ("a",)
    assert len(again) == 3


def test_people_find_the_same_table_as_csv_and_no_unfinished_file(tmp_path, manifest):
    manifest.save(tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "manifest.csv"), manifest.table)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.csv",
        "manifest.parquet",
        "skipped.csv",
    ]


def test_a_manifest_without_skipped_images_keeps_the_columns_of_the_list(tmp_path, manifest):
    from shapsight.data.manifest import no_skipped

    Manifest(manifest.root, manifest.table, manifest.targets, no_skipped()).save(tmp_path)
    skipped = Manifest.load(tmp_path).skipped
    assert skipped.empty
    assert list(skipped.columns) == ["path", "reason"]


def test_a_failing_write_leaves_the_manifest_that_was_there(tmp_path, manifest, monkeypatch):
    manifest.save(tmp_path)
    before = (tmp_path / "manifest.parquet").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("shapsight.data.manifest.pq.write_table", fail)
    with pytest.raises(OSError, match="no space"):
        manifest.save(tmp_path)
    assert (tmp_path / "manifest.parquet").read_bytes() == before
    assert Manifest.load(tmp_path).environments == ("a", "b")


def test_a_manifest_that_was_just_read_can_be_copied_and_sent_to_another_process(tmp_path):
    write_discs(tmp_path / "red", 4)
    manifest = read_dataset(tmp_path)
    assert len(manifest.decoded) == 4
    paths = list(manifest.table["path"])
    expected = load_images(tmp_path, paths, 8)
    for copied in (copy.deepcopy(manifest), copy.copy(manifest), pickle.loads(pickle.dumps(manifest))):
        pd.testing.assert_frame_equal(copied.table, manifest.table)
        assert copied.scales == manifest.scales
        assert torch.equal(load_images(copied, paths, 8), expected)
    assert len(pickle.dumps(manifest)) < 20_000  # without the pixels


def test_a_manifest_is_shown_in_a_line(manifest):
    assert repr(manifest) == (
        "Manifest(data: 3 images, regression of x, y; 1 train, 1 validation, 1 unseen; "
        "environments b 1, a 2; 1 left out)"
    )


def test_many_classes_and_environments_are_shown_as_a_few_and_their_number(manifest):
    names = tuple("abcdefghij")
    table = pd.concat([manifest.table.assign(label=name, environment=name, group="g") for name in names])
    many = Manifest(Path("data"), table, (), manifest.skipped.iloc[:0], class_names=names, roi="below:5")
    assert repr(many) == (
        "Manifest(data: 30 images, classification of a, b, c, d, e, f and 4 more; 10 train, 10 validation, 10 unseen; "
        "environments a 3, b 3, c 3, d 3, e 3, f 3 and 4 more; 1 groups; roi below:5)"
    )


def test_splits_give_rows_and_positions_that_agree(manifest):
    assert manifest.environments == ("a", "b")
    assert manifest.split("train")["path"].tolist() == ["a/3_4,5.jpg"]
    for split in ("train", "validation", "unseen"):
        rows = manifest.rows(split)
        assert manifest.table.iloc[rows]["path"].tolist() == manifest.split(split)["path"].tolist()
    assert np.allclose(manifest.target_values(), manifest.table[["x", "y"]])


def test_a_word_that_is_no_split_is_refused_with_the_splits(manifest):
    with pytest.raises(DataError, match=r"'exam' is not a split.*train, validation, test, unseen"):
        manifest.split("exam")


def test_a_table_without_its_columns_is_refused(manifest):
    with pytest.raises(DataError, match="width"):
        Manifest(Path("data"), manifest.table.drop(columns="width"), ("x", "y"), manifest.skipped)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"no manifest\.parquet"), (b"PAR1 but no more", "damaged"), (b"", "damaged")],
)
def test_a_missing_or_damaged_file_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.parquet").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Manifest.load(tmp_path)


def test_a_parquet_file_of_somebody_else_is_refused(tmp_path, manifest):
    manifest.table.to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(DataError, match="not one that shapsight wrote"):
        Manifest.load(tmp_path)


def test_a_manifest_of_another_format_is_refused(tmp_path, manifest, monkeypatch):
    monkeypatch.setattr("shapsight.data.manifest.FORMAT", "shapsight.manifest/9")
    manifest.save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"shapsight\.manifest/9.*shapsight\.manifest/1"):
        Manifest.load(tmp_path)
