"""shap.datasets: a folder first, the network second, and advice in the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shapsight.compat.shap import datasets
from shapsight.errors import DataError, ExplainerError

NOWHERE = "http://127.0.0.1:9/data/imagenet_class_index.json"  # nothing answers at this port


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No folder of the machine's, an empty cache, and no network."""
    monkeypatch.delenv("SHAPSIGHT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "SOURCE", "http://127.0.0.1:9/")


def photographs(folder, names, size=20):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.new("RGB", (size, size), (10 * number, 20, 30)).save(folder / name)


def test_photographs_come_in_the_order_of_their_names_at_one_size(tmp_path):
    photographs(tmp_path / "data" / "imagenet50", ["sim_n02_2.png", "sim_n01_9.png", "sim_n09_1.png"])
    (tmp_path / "data" / "imagenet_synsets.json").write_text(json.dumps(["n00", "n01", "n02"]))
    pixels, labels = datasets.imagenet50(folder=tmp_path / "data")
    assert pixels.shape == (3, 224, 224, 3) and pixels.dtype == np.float32
    assert pixels[:, 0, 0].tolist() == [[10, 20, 30], [0, 20, 30], [20, 20, 30]]
    assert labels[:2].tolist() == [1, 2] and np.isnan(labels[2])
    assert datasets.imagenet50(32, folder=tmp_path / "data")[0].shape == (3, 32, 32, 3)


def test_the_folder_of_the_environment_is_searched_with_its_subfolders(monkeypatch, tmp_path):
    photographs(tmp_path / "data" / "imagenet50", ["sim_n01_9.png"])
    (tmp_path / "models").mkdir()
    index = {"0": ["n00", "tench"], "1": ["n01", "goldfish"]}
    (tmp_path / "models" / "imagenet_class_index.json").write_text(json.dumps(index))
    monkeypatch.setenv("SHAPSIGHT_DATA", str(tmp_path))
    assert datasets.imagenet50()[1].tolist() == [1]
    found = json.loads(Path(datasets.cache(NOWHERE)).read_text())
    assert [v[1] for v in found.values()] == ["tench", "goldfish"]


def test_the_original_array_goes_before_photographs(tmp_path):
    photographs(tmp_path / "imagenet50", ["sim_n01_9.png"])
    array = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)
    np.save(tmp_path / "imagenet50_2x2.npy", array)
    np.savetxt(tmp_path / "imagenet50_labels.csv", np.arange(4))
    pixels, labels = datasets.imagenet50(2, folder=tmp_path)
    assert pixels.dtype == np.float32 and np.array_equal(pixels, array)
    assert labels.tolist() == [0, 1, 2, 3]
    some, of_some = datasets.imagenet50(2, n_points=2, folder=tmp_path)
    assert np.array_equal(some, array[of_some.astype(int)])


def test_an_array_of_pickled_objects_is_refused(tmp_path):
    np.save(tmp_path / "imagenet50_2x2.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        datasets.imagenet50(2, folder=tmp_path)


def test_unknown_classes_are_said_with_what_to_put_where(tmp_path):
    photographs(tmp_path / "imagenet50", ["sim_n01_9.png"])
    with pytest.warns(UserWarning, match=r"put imagenet_class_index\.json or imagenet_synsets\.json beside"):
        _, labels = datasets.imagenet50(folder=tmp_path)
    assert np.isnan(labels).all()


def test_the_argument_goes_before_the_environment(monkeypatch, tmp_path):
    for name in ("argument", "environment"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "names.json").write_text(name)
    monkeypatch.setenv("SHAPSIGHT_DATA", str(tmp_path / "environment"))
    url = "https://example.org/names.json"
    assert datasets.cache(url, folder=tmp_path / "argument") == str(tmp_path / "argument" / "names.json")
    assert datasets.cache(url) == str(tmp_path / "environment" / "names.json")
    assert datasets.cache("https://example.org/other", "names.json").endswith("names.json")


def test_a_download_is_kept(tmp_path):
    source = tmp_path / "names.json"
    source.write_text("first")
    found = datasets.cache(source.as_uri())
    source.write_text("second")
    assert found == datasets.cache(source.as_uri()) == str(tmp_path / "cache" / "shapsight" / "names.json")
    assert Path(found).read_text() == "first"


def test_without_a_network_the_error_says_which_file_to_put_where(monkeypatch, tmp_path):
    with pytest.raises(DataError) as caught:
        datasets.cache(NOWHERE)
    said = str(caught.value)
    assert "imagenet_class_index.json cannot be downloaded from http://127.0.0.1:9" in said
    assert str(tmp_path / "cache" / "shapsight" / "imagenet_class_index.json") in said
    assert "SHAPSIGHT_DATA" in said
    monkeypatch.setenv("SHAPSIGHT_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        datasets.imagenet50()
    assert f"Put it at {tmp_path / 'imagenet50_224x224.npy'}" in str(caught.value)
    assert "A folder imagenet50 of photographs there will do as well" in str(caught.value)
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_is_none_is_named(monkeypatch, tmp_path):
    with pytest.raises(DataError, match=r"folder='.*nowhere' is no folder"):
        datasets.cache(NOWHERE, folder=tmp_path / "nowhere")
    monkeypatch.setenv("SHAPSIGHT_DATA", "/nowhere")
    with pytest.raises(DataError, match="SHAPSIGHT_DATA=/nowhere is no folder"):
        datasets.imagenet50()


def test_what_is_no_address_is_told_as_well():
    with pytest.raises(DataError, match=r"names\.json cannot be downloaded from names\.json"):
        datasets.cache("names.json")


def test_tables_are_not_offered():
    with pytest.raises(ExplainerError, match=r"shap\.datasets\.california is not offered here"):
        datasets.california()


@pytest.mark.shared
def test_the_real_photographs_are_read(monkeypatch, shared):
    monkeypatch.setenv("SHAPSIGHT_DATA", str(shared))
    pixels, labels = datasets.imagenet50()
    assert pixels.shape == (30, 224, 224, 3) and pixels.min() >= 0 and 200 < pixels.max() <= 255
    assert len(labels) == 30 and np.nanmax(labels) < 1000
