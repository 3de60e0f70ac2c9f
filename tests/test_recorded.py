"""Studies that read a store: the same numbers, without asking the model again, and only some images at a time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import shapsight as ss
from discs import WALLS, write_discs
from shapsight.attribution.deep import DeepShap
from shapsight.errors import StoreError
from shapsight.models.bundle import Bundle
from shapsight.store import arrays
from shapsight.studies.shared import recorded

SIZE = 32
HOW = {"method": "deep", "outputs": "all", "dtype": "float32", "roi": "below:16"}
QUIET = {"device": "cpu", "progress": False}


class Network(nn.Module):
    """Some numbers of a picture; `is_asked` counts images."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.asked = 0
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, outputs)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.asked += len(images)
        return self.layers(images)


def bundle_of(photos: Path, seed: int = 0, **told) -> Bundle:
    torch.manual_seed(seed)
    references = list(map(str, sorted((photos / "red").glob("*.png"))[:3]))
    return Bundle.wrap(
        Network(3 if "task" in told else 2),
        **(told or {"outputs": ["x", "y"]}),
        size=SIZE,
        references=references,
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures in three environments."""
    folder = tmp_path_factory.mktemp("discs")
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(folder / room, 20, seed=number)
    return folder


@pytest.fixture(scope="module")
def bundle(photos: Path) -> Bundle:
    return bundle_of(photos)


@pytest.fixture(scope="module")
def store(bundle: Bundle, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "e.zarr"
    ss.explain_dataset(bundle, photos, store=path, **HOW, **QUIET)
    return path


def test_a_store_is_evaluated_as_the_model_is_and_the_model_is_not_asked(bundle, photos, store):
    asked = ss.evaluate(bundle, photos, **QUIET)
    before = bundle.model.asked
    found = ss.evaluate(bundle, photos, store=store, **QUIET)
    assert bundle.model.asked == before
    columns = ["predicted_x", "predicted_y"]
    np.testing.assert_allclose(found.predictions[columns], asked.predictions[columns], atol=1e-6)
    pd.testing.assert_frame_equal(found.table, asked.table, rtol=1e-4)
    assert f"Read from {store}: 60 images, none of them explained again." in found.report().read_text()


def test_a_store_of_some_outputs_and_of_classes_can_be_evaluated(photos, tmp_path):
    of_x = bundle_of(photos)
    ss.explain_dataset(of_x, photos, store=tmp_path / "x.zarr", **{**HOW, "outputs": "x"}, **QUIET)
    found = ss.evaluate(of_x, photos, store=tmp_path / "x.zarr", **QUIET)
    pd.testing.assert_frame_equal(found.table, ss.evaluate(of_x, photos, **QUIET).table, rtol=1e-4)

    classes = bundle_of(photos, outputs=sorted(WALLS), task="classification")
    data = ss.read_dataset(photos, label="folder:1", environment="name:(.)", for_training=False)
    ss.explain_dataset(classes, data, store=tmp_path / "c.zarr", method="deep", outputs="top1", **QUIET)
    found = ss.evaluate(classes, data, store=tmp_path / "c.zarr", **QUIET)
    pd.testing.assert_frame_equal(found.table, ss.evaluate(classes, data, **QUIET).table, rtol=1e-4)


def test_a_diagnosis_of_all_images_says_the_same_with_a_store(bundle, photos, store, monkeypatch):
    options = {"images": 60, "roi": "below:16", "only": ["look", "strategies"], **QUIET}
    asked = ss.diagnose(bundle, photos, **options)
    monkeypatch.setattr("shapsight.studies.diagnose.explanations.attributions", None)  # nothing is explained
    found = ss.diagnose(bundle, photos, store=store, **options)
    assert found.tables.keys() == asked.tables.keys()
    for name in (
        "errors",
        "look.measures",
        "look.places",
        "look.contributions",
        "look.contributions_by_place",
    ):
        one, other = (each.tables[name].drop(columns=["x"], errors="ignore") for each in (found, asked))
        keys = [column for column in other if other[column].dtype == object]
        one, other = (each.sort_values(keys, ignore_index=True) for each in (one, other))
        pd.testing.assert_frame_equal(one, other, rtol=1e-3, atol=1e-5)
    facts = [each.facts.look.to_json() for each in (found, asked)]
    numbers = [{name: fact for name, fact in of.items() if isinstance(fact, float)} for of in facts]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-3, nan_ok=True)


def test_errors_shares_and_the_atlas_are_of_all_images_and_the_rest_of_some(
    bundle, photos, store, monkeypatch
):
    sizes = []
    read = arrays.read

    def noted(path, positions):
        sizes.append(len(positions))
        return read(path, positions)

    monkeypatch.setattr(arrays, "read", noted)
    monkeypatch.setattr(recorded, "BATCH", 16)
    found = ss.diagnose(bundle, photos, store=store, images=12, only=["look"], **QUIET)
    assert max(sizes) == 16  # the rest of 60 images wait on disk
    images = found.tables["look.contributions_per_image"]
    assert len(images) == 60 * 2 and len(found.tables["images"]) == 12
    kept = ss.open_store(store)
    rows = kept.outputs[kept.outputs["output"] == "x"].set_index("path")
    for part in ("scene", "region"):
        mine = images[images["part"] == part].set_index("path")["value"]
        np.testing.assert_allclose(mine, rows.loc[mine.index, f"part_{part}"].astype(float))
    page = found.report().read_text()
    assert "mean of 20 images" in page
    assert "of all 60 held-out images in the store" in page


def test_another_region_of_interest_is_summed_from_the_values(bundle, photos, store):
    options = {"images": 60, "roi": "below:20", "only": ["look"], **QUIET}
    asked = ss.diagnose(bundle, photos, **options).tables["look.contributions_by_place"]
    found = ss.diagnose(bundle, photos, store=store, **options).tables["look.contributions_by_place"]
    pd.testing.assert_frame_equal(found, asked, rtol=1e-3, atol=1e-5)


def test_a_light_store_gives_errors_and_sums_and_what_needs_pixels_is_explained(
    bundle, photos, tmp_path, monkeypatch
):
    path = tmp_path / "light.zarr"
    ss.explain_dataset(bundle, photos, store=path, light=True, **HOW, **QUIET)
    counts = []
    call = DeepShap.__call__
    monkeypatch.setattr(
        DeepShap,
        "__call__",
        lambda self, images, *a, **k: counts.append(len(images)) or call(self, images, *a, **k),
    )
    found = ss.diagnose(bundle, photos, store=path, images=12, only=["look"], **QUIET)
    assert counts[0] == 12  # and then randomised copies
    assert len(found.tables["look.contributions_per_image"]) == 60 * 2
    assert len(found.tables["look.measures_per_image"]) == 12
    assert "A light store has no values of pixels" in found.report().read_text()


def test_classes_are_diagnosed_from_a_store_by_the_class_that_was_said(photos, tmp_path):
    bundle = bundle_of(photos, outputs=sorted(WALLS), task="classification")
    data = ss.read_dataset(photos, label="folder:1", environment="name:(.)", for_training=False)
    path = tmp_path / "c.zarr"
    ss.explain_dataset(bundle, data, store=path, **{**HOW, "outputs": "top1"}, **QUIET)
    options = {"images": 60, "roi": "below:16", "only": ["look"], **QUIET}
    asked = ss.diagnose(bundle, data, **options)
    found = ss.diagnose(bundle, data, store=path, **options)
    keys = ["environment", "output", "part", "measure"]
    one, other = (
        each.tables["look.contributions_by_place"].sort_values(keys, ignore_index=True)
        for each in (found, asked)
    )
    pd.testing.assert_frame_equal(one, other, rtol=1e-3, atol=1e-5)


def test_a_store_that_does_not_fit_is_refused_with_what_to_do(bundle, photos, store, tmp_path):
    with pytest.raises(StoreError, match=r"another model than .* \(other weights\)"):
        ss.evaluate(bundle_of(photos, seed=1), photos, store=store, **QUIET)
    write_discs(tmp_path / "other" / "red", 4, seed=9)
    with pytest.raises(StoreError, match="none of the 4 images"):
        ss.evaluate(bundle, tmp_path / "other", store=store, **QUIET)
    ss.explain_dataset(bundle, photos, store=tmp_path / "x.zarr", **{**HOW, "outputs": "x"}, **QUIET)
    with pytest.raises(StoreError, match="no explanation of y for 60 images"):
        ss.diagnose(bundle, photos, store=tmp_path / "x.zarr", outputs="y", **QUIET)
    ss.explain_dataset(
        bundle, photos, store=tmp_path / "g.zarr", **{**HOW, "method": "gradient", "samples": 400}, **QUIET
    )
    with pytest.raises(StoreError, match="made with --method gradient"):
        ss.diagnose(bundle, photos, store=tmp_path / "g.zarr", **QUIET)


def test_images_that_are_not_in_the_store_are_left_out_and_said(bundle, photos, tmp_path):
    ss.explain_dataset(bundle, photos, store=tmp_path / "some.zarr", limit=16, **HOW, **QUIET)
    found = ss.evaluate(bundle, photos, store=tmp_path / "some.zarr", **QUIET)
    assert len(found.predictions) == 16
    assert "44 images of the dataset are not in" in found.report().read_text()
