"""`evaluate`, `compare` and `diagnose` on a device without float64 say what they say on the processor."""

import json

import numpy as np
import pandas as pd
import pytest
import software_device
from typer.testing import CliRunner

from discs import write_discs
from shapsight.cli import app
from shapsight.store.store import open_store

DEVICE = software_device.installed()


def shapsight(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("software")
    for number, room in enumerate(("red", "green")):
        write_discs(folder / "data" / room, 14, seed=number)
    common = ["--train-on", "red", "--arch", "small_cnn", "--epochs", 2, "--references", 3, "--device", "cpu"]
    shapsight("train", folder / "data", "--out", folder / "run", *common)
    return folder / "run"


def test_a_model_evaluated_on_the_device_predicts_the_same(run, tmp_path):
    for device in ("cpu", DEVICE):
        shapsight("evaluate", run, "--device", device, "--out", tmp_path / str(device))
    one, two = (pd.read_parquet(tmp_path / str(device) / "predictions.parquet") for device in ("cpu", DEVICE))
    np.testing.assert_allclose(one["predicted_x"], two["predicted_x"], atol=1e-4)


def test_a_data_set_explained_on_the_device_gives_the_same_store(run, tmp_path):
    stores = []
    for device in ("cpu", DEVICE):
        place = tmp_path / f"{device}.zarr".replace(":", "_")
        how = ["--method", "deep", "--outputs", "all", "--dtype", "float32", "--roi", "below:16"]
        shapsight("explain", run, "--store", place, *how, "--device", device)
        stores.append(open_store(place))
    assert len(stores[0]) == len(stores[1]) > 0
    np.testing.assert_allclose(stores[0][:].values, stores[1][:].values, atol=1e-4)
    parts = [store.outputs["part_region"].to_numpy(float) for store in stores]
    np.testing.assert_allclose(*parts, atol=1e-3)


def test_models_compared_on_the_device_are_as_far_apart(run, tmp_path):
    found = []
    for device in ("cpu", DEVICE):
        out = tmp_path / str(device)
        shapsight("compare", run, run, "--roi", "below:16", "--explain", 2, "--device", device, "--out", out)
        found.append([pd.read_parquet(out / f"{name}_second.parquet") for name in ("errors", "relevance")])
    for one, two in zip(*found, strict=True):
        pd.testing.assert_frame_equal(one, two, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("part", ["look", "why", "strategies", "trust"])
def test_a_part_of_a_diagnosis_made_on_the_device_finds_the_same(run, tmp_path, part):
    facts = []
    for device in ("cpu", DEVICE):
        out = tmp_path / str(device)
        shapsight(
            "diagnose", run, "--roi", "below:16", "--images", 12, "--references", 2, "--only", part,
            "--device", device, "--out", out,
        )  # fmt: skip
        facts.append(json.loads((out / part / "facts.json").read_text())["facts"])
    assert facts[0].keys() == facts[1].keys()
    for name, value in facts[0].items():
        if isinstance(value, float):
            assert facts[1][name] == pytest.approx(value, rel=0.02, abs=0.02), name
        else:
            assert facts[1][name] == value, name
