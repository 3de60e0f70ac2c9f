"""Explanations of whole data sets: each image once and the same, however the work was cut, stopped or shared."""

import errno
import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import shapsight as ss
from discs import write_discs
from shapsight.cli import app
from shapsight.data.sources import folder
from shapsight.errors import DataError, ExplainerError, ModelError, SettingError, StoreError
from shapsight.models.bundle import Bundle
from shapsight.store import arrays, encoding, writer
from shapsight.store.export import export
from shapsight.store.merge import merge
from shapsight.store.store import Store
from shapsight.store.verify import verify
from shapsight.studies.dataset import work, workers
from shapsight.studies.shared.explained_model import ExplainedModel

shap = pytest.importorskip("shap")  # its import warns
SIZE = 32
HOW = {"method": "deep", "outputs": "all", "dtype": "float32", "device": "cpu", "progress": False}


class Steering(nn.Module):
    """Two numbers of a picture. Where there is a file `dies_by`, another process that runs it ends, as does it."""

    def __init__(self, dies_by: Path | None = None) -> None:
        super().__init__()
        self.dies_by = dies_by
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if (
            self.dies_by is not None
            and multiprocessing.parent_process() is not None
            and self.dies_by.exists()
        ):
            self.dies_by.unlink()
            os._exit(9)
        return self.layers(images)


def bundle_of(photos: Path, dies_by: Path | None = None, seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    references = sorted((photos / "red").glob("*.png"))[:3]
    return Bundle.wrap(
        Steering(dies_by), outputs=["x", "y"], size=SIZE, references=list(map(str, references))
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(folder / room, 14, seed=number)
    return folder


@pytest.fixture
def photos(original: Path, tmp_path: Path) -> Path:
    """42 pictures in three environments: three blocks, the last of them not full."""
    folder = tmp_path / "photos"
    for file in original.glob("*/*.png"):
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / file.parent.name / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def bundle(photos: Path) -> Bundle:
    return bundle_of(photos)


def explained(bundle: Bundle, photos: Path, store: Path, **options):
    return ss.explain_dataset(bundle, photos, store=store, **{**HOW, **options})


def same(one: Store, other: Store) -> bool:
    tables = [
        store.images.drop(columns="finished").sort_values("path", ignore_index=True) for store in (one, other)
    ]
    names = list(tables[0]["path"])
    if (
        not tables[0]
        .drop(columns="position")
        .astype(str)
        .equals(tables[1].drop(columns="position").astype(str))
    ):
        return False
    values = [
        store[[list(store.images["path"]).index(name) for name in names]].values for store in (one, other)
    ]
    return torch.equal(*values)


def counted(monkeypatch) -> list[int]:
    """How many images each call explains."""
    calls: list[int] = []
    explain = ExplainedModel.explain

    def noted(self, image, *arguments):
        calls.append(len(image))
        return explain(self, image, *arguments)

    monkeypatch.setattr(ExplainedModel, "explain", noted)
    return calls


def test_a_store_holds_what_explain_gives_of_each_image_to_the_bit(bundle, photos, tmp_path):
    store = explained(bundle, photos, tmp_path / "e.zarr").store
    assert len(store) == 42
    for number in (0, 20, 41):
        expected = ss.explain(bundle, bundle.pictures(str(photos / store.images["path"][number])), "deep")
        found = store[number]
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.images, expected.images)
        for name in ("predictions", "base_values", "completeness_gap", "output_index"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        assert found.names() == expected.names() == [["x", "y"]]
        assert found.method == expected.method
    error = (
        (store.images["predicted_x"] - store.images["x"]) ** 2
        + (store.images["predicted_y"] - store.images["y"]) ** 2
    ) / 2
    np.testing.assert_allclose(store.images["error"], error)


def test_half_precision_is_off_by_what_it_says_and_a_light_store_keeps_the_sums(bundle, photos, tmp_path):
    whole = explained(bundle, photos, tmp_path / "e.zarr").store[:]
    half = explained(bundle, photos, tmp_path / "h.zarr", dtype="float16").store
    off = (half[:].values - whole.values).abs().amax((2, 3, 4)) / whole.values.abs().amax((2, 3, 4))
    assert 0 < float(off.max()) <= half.images["stored_error"].max() < 3e-4
    light = explained(bundle, photos, tmp_path / "l.zarr", light=True).store[:]
    assert light.values.shape == (42, 2, 1, 28, 28)
    assert light.images.shape == (42, 3, 28, 28)
    torch.testing.assert_close(light.values.sum((2, 3, 4)), whole.values.sum((2, 3, 4)), rtol=1e-4, atol=1e-5)


def test_cells_of_a_light_map_share_pixels_by_their_area():
    heat = torch.arange(49.0).reshape(7, 7).double()
    assert torch.equal(encoding._cells(7), torch.eye(7, dtype=torch.float64))  # small images stay as they are
    cells = encoding._cells(56)
    assert torch.equal(cells, torch.eye(28, dtype=torch.float64).repeat_interleave(2, 1))
    assert torch.allclose(
        encoding._cells(45).sum(0), torch.ones(45).double()
    )  # nothing is lost or counted twice
    assert heat.sum() == (encoding._cells(7) @ heat @ encoding._cells(7).T).sum()


def test_parts_are_the_sums_of_the_values_over_scene_and_region(bundle, photos, tmp_path):
    store = explained(bundle, photos, tmp_path / "e.zarr", roi="below:20").store
    values = store[:].values.double().sum(2)
    scene, region = values[:, :, :20].sum((2, 3)), values[:, :, 20:].sum((2, 3))
    outputs = store.outputs
    np.testing.assert_allclose(outputs["part_scene"].to_numpy(float), scene.flatten(), atol=1e-6)
    np.testing.assert_allclose(outputs["part_region"].to_numpy(float), region.flatten(), atol=1e-6)
    assert list(outputs["output"][:2]) == ["x", "y"]


@pytest.mark.parametrize("moment", ["arrays", "rows", "middle of the arrays"])
def test_a_stop_at_any_moment_loses_no_finished_image_and_nothing_is_made_twice(
    bundle, photos, tmp_path, monkeypatch, moment
):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    place = tmp_path / "e.zarr"
    with monkeypatch.context() as patch:
        calls = counted(patch)
        home, name = (arrays, "write") if "arrays" in moment else (writer, "write_rows")
        real = getattr(home, name)

        def stopped(store, number, content):
            if number == (16 if "arrays" in moment else 1):
                if moment.startswith("middle"):
                    real(store, number, dict(list(content.items())[:1]))
                raise KeyboardInterrupt
            real(store, number, content)

        patch.setattr(home, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            explained(bundle, photos, place)
    assert len(ss.open_store(place)) == 16
    assert verify(place).is_whole
    calls = counted(monkeypatch)
    found = explained(bundle, photos, place)
    assert calls == [26]
    assert same(found.store, whole)
    assert "16 were finished before" in found.lines


def test_a_finished_store_asks_the_model_nothing(bundle, photos, tmp_path, monkeypatch):
    explained(bundle, photos, tmp_path / "e.zarr")
    calls = counted(monkeypatch)
    for file in photos.glob("*/*.png"):
        os.utime(file, (1, 1))  # another time, the same picture
    assert explained(bundle, photos, tmp_path / "e.zarr").lines[0].startswith("0 images explained")
    assert calls == []


def test_an_image_that_changed_is_explained_anew_and_said(bundle, photos, tmp_path, monkeypatch):
    explained(bundle, photos, tmp_path / "e.zarr")
    changed = sorted(photos.glob("green/*.png"))[3]
    Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(changed)
    calls = counted(monkeypatch)
    found = explained(bundle, photos, tmp_path / "e.zarr")
    assert calls == [1]
    assert any("1 image had changed" in line and changed.name in line for line in found.lines)
    assert same(found.store, explained(bundle, photos, tmp_path / "new.zarr").store)


def test_images_that_come_later_are_added_and_the_others_stay(bundle, photos, tmp_path, monkeypatch):
    later = sorted(photos.glob("blue/*.png"))[:5]
    kept = [file.read_bytes() for file in later]
    for file in later:
        file.unlink()
    explained(bundle, photos, tmp_path / "e.zarr")
    for file, content in zip(later, kept, strict=True):
        file.write_bytes(content)
    calls = counted(monkeypatch)
    found = explained(bundle, photos, tmp_path / "e.zarr")
    assert sum(calls) == 5
    assert same(found.store, explained(bundle, photos, tmp_path / "new.zarr").store)


def test_shards_and_limits_make_the_same_store(bundle, photos, tmp_path):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    for shard in ("2/3", "1/3", "3/3"):
        found = explained(bundle, photos, tmp_path / "shards.zarr", shard=shard)
    assert same(found.store, whole)
    assert len(explained(bundle, photos, tmp_path / "limit.zarr", limit=5).store) == 5
    assert same(explained(bundle, photos, tmp_path / "limit.zarr").store, whole)


def test_two_that_work_at_the_same_time_explain_each_image_once(bundle, photos, tmp_path, monkeypatch):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    calls = counted(monkeypatch)
    threads = [
        Thread(target=explained, args=(bundle_of(photos), photos, tmp_path / "e.zarr")) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == 42
    assert same(ss.open_store(tmp_path / "e.zarr"), whole)


def test_processes_make_the_same_store_and_the_images_of_one_that_dies_are_done_by_another(
    photos, tmp_path, capsys
):
    whole = explained(bundle_of(photos), photos, tmp_path / "whole.zarr").store
    dies_by = tmp_path / "dies"
    dies_by.touch()
    found = explained(bundle_of(photos, dies_by), photos, tmp_path / "e.zarr", workers=2, progress=True)
    assert not dies_by.exists()
    said = capsys.readouterr().err
    assert "ended by itself (exit code 9; -9 is usually memory): another one goes on" in said
    assert "went on with 32 images at a time" in said
    assert same(found.store, whole)


def killed(place: Path, block: int, times: int) -> None:
    """What processes leave that are killed one after the other while they explain a block."""
    (place / "table" / "begun").mkdir(parents=True, exist_ok=True)
    (place / "table" / "begun" / f"{block:08}").write_bytes(b"." * times)


@pytest.mark.parametrize(("times", "most"), [(1, 32), (4, 4), (6, 1)])
def test_images_whose_process_was_killed_are_explained_fewer_at_a_time_and_the_same(
    bundle, photos, tmp_path, monkeypatch, capsys, times, most
):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    killed(tmp_path / "e.zarr", 0, times)
    calls = counted(monkeypatch)
    found = explained(bundle, photos, tmp_path / "e.zarr", progress=True)
    assert max(calls) == most
    assert f"went on with {most} images at a time, and the same values" in capsys.readouterr().err
    assert same(found.store, whole)
    assert not list((tmp_path / "e.zarr" / "table" / "begun").iterdir())


def test_images_that_every_process_dies_of_end_in_a_message_and_the_same_command_begins_anew(
    bundle, photos, tmp_path, monkeypatch
):
    for block in (0, 1):
        killed(tmp_path / "e.zarr", block, 7)
    calls = counted(monkeypatch)
    with pytest.raises(
        StoreError, match="7 processes were killed one after the other, the last with one image"
    ):
        explained(bundle, photos, tmp_path / "e.zarr")
    assert calls == []
    assert len(explained(bundle, photos, tmp_path / "e.zarr").store) == 42


def test_processes_that_die_before_they_explain_anything_are_not_started_for_ever():
    told = "ended by itself (exit code -9; -9 is usually memory): another one goes on"
    assert told in workers._died(0, 2, -9, 15)
    with pytest.raises(StoreError, match="16 processes ended by themselves"):
        workers._died(0, 2, -9, 16)
    with pytest.raises(StoreError, match="process 1 of 2 ended with the error that it has printed"):
        workers._died(0, 2, 1, 1)


def test_a_model_that_cannot_be_sent_to_processes_is_said(bundle, photos, tmp_path):
    bundle.model.layers.register_forward_hook(lambda *_: None)
    with pytest.raises(ModelError, match="cannot be sent to other processes"):
        explained(bundle, photos, tmp_path / "e.zarr", workers=2)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"outputs": "x"}, "outputs was all, is x"),
        ({"dtype": "float16"}, "dtype was float32, is float16"),
        ({"light": True}, "kind was full, is light"),
        ({"roi": "below:16"}, "roi was None, is below:16"),
        ({"method": "gradient", "samples": 10}, "method was deep, is gradient"),
    ],
)
def test_other_settings_are_refused_with_what_differs(bundle, photos, tmp_path, options, difference):
    explained(bundle, photos, tmp_path / "e.zarr", limit=3)
    with pytest.raises(StoreError, match=difference):
        explained(bundle, photos, tmp_path / "e.zarr", **options)
    assert len(ss.open_store(tmp_path / "e.zarr")) == 3


def test_other_weights_and_other_references_are_refused(bundle, photos, tmp_path):
    explained(bundle, photos, tmp_path / "e.zarr", limit=3)
    with pytest.raises(StoreError, match=r"model was \w+…, is \w+…"):
        explained(bundle_of(photos, seed=1), photos, tmp_path / "e.zarr")
    with pytest.raises(StoreError, match="references was"):
        explained(replace(bundle, references=bundle.references[:2]), photos, tmp_path / "e.zarr")


def test_a_full_disk_ends_in_a_message_and_the_store_goes_on_when_there_is_room(
    bundle, photos, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        real = arrays.write

        def full(store, start, content):
            if start == 16:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(store, start, content)

        patch.setattr(arrays, "write", full)
        with pytest.raises(StoreError, match="the disk is full"):
            explained(bundle, photos, tmp_path / "e.zarr")
    assert verify(tmp_path / "e.zarr").is_whole
    assert len(explained(bundle, photos, tmp_path / "e.zarr").store) == 42


def test_images_that_vanish_while_it_runs_are_listed_and_the_others_done(
    bundle, photos, tmp_path, monkeypatch
):
    manifest = ss.read_dataset(photos, targets=["x", "y"])
    gone = sorted(photos.glob("red/*.png"))[7]
    gone.unlink()
    manifest = replace(manifest, decoded=None)
    found = ss.explain_dataset(bundle, manifest, store=tmp_path / "e.zarr", **HOW)
    assert len(found.store) == 41
    assert list(found.skipped["path"]) == [f"red/{gone.name}"]
    assert "skipped.csv" in "".join(found.lines)


def test_an_image_that_cannot_be_explained_is_listed_and_the_others_done(
    bundle, photos, tmp_path, monkeypatch
):
    grey = sorted(photos.glob("green/*.png"))[3]
    Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(grey)
    explain = ExplainedModel.explain

    def picky(self, image, *arguments):
        if any(len(each.unique()) == 1 for each in image):
            raise ExplainerError("the model answers image 0 with NaN")
        return explain(self, image, *arguments)

    monkeypatch.setattr(ExplainedModel, "explain", picky)
    found = explained(bundle, photos, tmp_path / "e.zarr")
    assert found.skipped.to_dict("records") == [
        {"path": f"green/{grey.name}", "reason": "the model answers image 0 with NaN"}
    ]
    assert len(found.store) == 41


def test_memory_that_runs_out_makes_fewer_images_at_a_time_and_the_same_numbers(
    bundle, photos, tmp_path, monkeypatch, capsys
):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    explain = ExplainedModel.explain

    def small(self, image, *arguments):
        if len(image) > 5:
            raise torch.OutOfMemoryError("out of memory")
        return explain(self, image, *arguments)

    monkeypatch.setattr(ExplainedModel, "explain", small)
    found = explained(bundle, photos, tmp_path / "e.zarr", progress=True)
    assert "memory ran out with 42 images at a time: went on with 21" in capsys.readouterr().err
    assert same(found.store, whole)


@pytest.mark.parametrize("damage", ["cut", "changed byte", "no file", "cut rows"])
def test_damage_is_found_taken_out_and_made_anew(bundle, photos, tmp_path, damage):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    place = tmp_path / "e.zarr"
    explained(bundle, photos, place)
    file = (
        place / "values" / "c.1.0.0.0.0"
        if damage != "cut rows"
        else place / "table" / "rows" / "00000001.parquet"
    )
    content = bytearray(file.read_bytes())
    if damage == "no file":
        file.unlink()
    elif damage == "changed byte":
        content[len(content) // 2] ^= 255
        file.write_bytes(content)
    else:
        file.write_bytes(content[: len(content) // 2])
    if damage == "cut rows":
        with pytest.raises(StoreError, match="verify --mend"):
            ss.open_store(place)
    elif damage != "no file":
        with pytest.raises(StoreError, match="damaged"):
            _ = ss.open_store(place)[:].values
    found = verify(place)
    assert not found.is_whole
    assert set(found.damaged["block"]) == {1}
    verify(place, mend=True)
    assert verify(place).is_whole
    assert same(explained(bundle, photos, place).store, whole)


def test_what_is_no_store_is_refused(bundle, photos, tmp_path):
    explained(bundle, photos, tmp_path / "e.zarr", limit=1)
    card = tmp_path / "e.zarr" / "zarr.json"
    content = json.loads(card.read_text())
    content["attributes"]["format"] = "shapsight.store/9"
    card.write_text(json.dumps(content))
    for attempt in (ss.open_store, lambda path: explained(bundle, photos, path)):
        with pytest.raises(StoreError, match="of version 9; this shapsight reads version 1"):
            attempt(tmp_path / "e.zarr")
    card.write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        ss.open_store(tmp_path / "e.zarr")
    with pytest.raises(StoreError, match="there is no store"):
        ss.open_store(tmp_path / "none.zarr")
    with pytest.raises(StoreError, match="not empty and no store"):
        explained(bundle, photos, photos)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        explained(bundle, photos, tmp_path / "file")


@pytest.mark.parametrize(("shard", "limit"), [("9/3", None), ("a/3", None), ("0/2", None)])
def test_a_shard_that_is_none_is_refused(bundle, photos, tmp_path, shard, limit):
    with pytest.raises(SettingError, match="is not NUMBER/JOBS"):
        explained(bundle, photos, tmp_path / "e.zarr", shard=shard, limit=limit)


def test_images_are_selected_by_any_column(bundle, photos, tmp_path):
    store = explained(bundle, photos, tmp_path / "e.zarr").store
    red = store.select(environment="red")
    assert len(red) == 14
    assert set(store.select(environment=["red", "blue"]).images["environment"]) == {"red", "blue"}
    middle = float(store.images["error"].median())
    worst = store.select(error=(middle, None))
    assert 20 <= len(worst) <= 22
    assert torch.equal(worst[0].values, store[int(np.flatnonzero(store.images["error"] >= middle)[0])].values)
    assert len(store.select(environment="red", error=(None, middle))) < 14
    assert torch.equal(red[[True] + [False] * 13].values, red[0].values)
    assert torch.equal(torch.cat([batch.values for batch in red.batches(5)]), red[:].values)
    with pytest.raises(StoreError, match="have no 'room'; there are"):
        store.select(room="red")
    with pytest.raises(StoreError, match="no image of"):
        _ = store.select(environment="none")[:]
    with pytest.raises(IndexError):
        _ = store[42]


def test_stores_of_two_machines_become_one(bundle, photos, tmp_path):
    whole = explained(bundle, photos, tmp_path / "whole.zarr").store
    for number in ("1", "2"):
        explained(bundle, photos, tmp_path / f"{number}.zarr", shard=f"{number}/2")
    found = merge(tmp_path / "all.zarr", [tmp_path / "1.zarr", tmp_path / "2.zarr"])
    assert (found.added, found.known) == (42, 0)
    assert verify(tmp_path / "all.zarr").is_whole
    assert same(ss.open_store(tmp_path / "all.zarr"), whole)
    assert merge(tmp_path / "all.zarr", [tmp_path / "1.zarr"]).added == 0
    explained(bundle, photos, tmp_path / "other.zarr", outputs="x")
    with pytest.raises(StoreError, match="outputs was all, is x"):
        merge(tmp_path / "all.zarr", [tmp_path / "1.zarr", tmp_path / "other.zarr"])


def test_other_tools_get_the_same_numbers(bundle, photos, tmp_path):
    from safetensors.torch import load_file

    store = explained(bundle, photos, tmp_path / "e.zarr").store.select(environment="green")
    values = store[:].values
    with np.load(export(store, "shap", tmp_path / "shap")[0]) as held:
        expected = store[:].to_shap()
        assert shap.Explanation(held["values"], held["base_values"], held["data"]).shape == expected.shape
        np.testing.assert_array_equal(held["values"], expected.values)
        np.testing.assert_array_equal(held["data"], expected.data)
        np.testing.assert_array_equal(held["base_values"], expected.base_values)
    captum = load_file(export(store, "captum", tmp_path / "captum")[0])
    taken = ss.Explanation.from_captum(
        captum["attributions"][:, 0], captum["inputs"], delta=captum["deltas"][:, 0]
    )
    assert torch.equal(taken.values[:, 0], values[:, 0])
    assert torch.equal(taken.completeness_gap[:, 0], store[:].completeness_gap[:, 0])
    samples = json.loads(export(store, "fiftyone", tmp_path / "fiftyone")[-1].read_text())
    assert len(samples) == 14
    assert Path(samples[0]["filepath"]).is_file()
    heat = samples[0]["heatmaps"]["shap_x"]
    grey = np.asarray(Image.open(heat["map_path"]), float)
    np.testing.assert_allclose(
        (grey / 127.5 - 1) * heat["largest"], values[0, 0].sum(0), atol=heat["largest"] / 255 * 1.001
    )
    assert len(export(store, "png", tmp_path / "png")) == 28
    assert len(pd.read_parquet(export(store, "parquet", tmp_path / "tables")[1])) == 28
    with pytest.raises(StoreError, match="holds something"):
        export(store, "png", tmp_path / "png")
    with pytest.raises(StoreError, match="is not one of"):
        export(store, "jpg", tmp_path / "jpg")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_xarray_reads_a_store_only_when_it_computes(bundle, photos, tmp_path, dtype):
    import xarray

    store = explained(bundle, photos, tmp_path / "e.zarr", dtype=dtype).store
    found = store.select(environment="blue").to_xarray()
    assert found.shap_values.chunks is not None
    mean = found.shap_values.sel(output="x").mean("image").compute()
    np.testing.assert_allclose(
        mean, store.select(environment="blue")[:].select(outputs="x").values[:, 0].mean(0), atol=1e-7
    )
    assert list(found.path.values) == list(store.select(environment="blue").images["path"])
    with xarray.open_zarr(tmp_path / "e.zarr") as plain:  # as any other Zarr store, without a warning
        assert plain["values"].dims == ("image", "output", "channel", "height", "width")


def test_only_held_out_images_of_a_run_are_explained_unless_all_are_asked_for(photos, tmp_path):
    options = {"arch": "small_cnn", "epochs": 1, "batch_size": 4, "references": 3, "device": "cpu"}
    run = ss.train(photos, tmp_path / "run", train_on=["red"], progress=False, **options)
    trained_on = set(run.manifest.split("train")["path"])
    arguments = ["explain", str(tmp_path / "run"), "--store", str(tmp_path / "e.zarr"), "--method", "deep"]
    result = CliRunner().invoke(app, [*arguments, "--outputs", "all", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    store = ss.open_store(tmp_path / "e.zarr")
    assert set(store.images["path"]) == set(run.manifest.table["path"]) - trained_on
    result = CliRunner().invoke(app, [*arguments, "--outputs", "all", "--device", "cpu", "--all"])
    assert f"{len(store)} were finished before" in result.output
    assert len(ss.open_store(tmp_path / "e.zarr")) == 42
    told = CliRunner().invoke(app, ["store", "status", str(tmp_path / "e.zarr")])
    assert "42 of 42 images are finished (100%): deep, full, float16" in told.output
    assert CliRunner().invoke(app, ["store", "verify", str(tmp_path / "e.zarr")]).exit_code == 0
    (tmp_path / "e.zarr" / "values" / "c.0.0.0.0.0").unlink()
    assert CliRunner().invoke(app, ["store", "verify", str(tmp_path / "e.zarr"), "--mend"]).exit_code == 1
    assert CliRunner().invoke(app, ["store", "verify", str(tmp_path / "e.zarr")]).exit_code == 0
    refused = CliRunner().invoke(
        app, ["explain", str(tmp_path / "run"), str(photos), "--all", "--limit", "3"]
    )
    assert refused.exit_code == 1
    assert "--all, --limit is of whole data sets: add --store" in refused.output


def test_classes_are_predicted_and_judged_also_where_other_outputs_are_explained(photos, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 3)
    )
    references = [str(path) for path in sorted(photos.glob("red/*.png"))[:3]]
    bundle = Bundle.wrap(
        network, outputs=["red", "green", "blue"], task="classification", size=SIZE, references=references
    )
    data = ss.read_dataset(photos, label="folder:1", environment="folder:1")
    said = bundle.predict(bundle.load(data)).argmax(1)
    for outputs in ("top2", "all", "green"):
        store = ss.explain_dataset(
            bundle, data, store=tmp_path / f"{outputs}.zarr", **{**HOW, "outputs": outputs}
        ).store
        names = [bundle.card.output_names[n] for n in said.tolist()]
        table = store.images.set_index("path").loc[data.table["path"]]
        assert list(table["predicted_label"]) == names, outputs
        np.testing.assert_array_equal(table["error"], np.array(names) != data.table["label"].to_numpy(str))


def test_images_without_targets_are_explained_and_it_is_said(bundle, original, tmp_path, capsys):
    plain = tmp_path / "plain"
    plain.mkdir()
    for number, file in enumerate(sorted(original.glob("*/*.png"))[:3]):
        (plain / f"photo-{number}.png").write_bytes(file.read_bytes())
    store = explained(bundle, plain, tmp_path / "e.zarr", progress=True).store
    assert len(store) == 3
    assert "error" not in store.images
    assert "Explained without errors, since no targets can be read" in capsys.readouterr().err
    with pytest.raises(DataError, match="there is nothing at"):
        explained(bundle, tmp_path / "nothing", tmp_path / "n.zarr")


def test_black_box_methods_are_explained_image_by_image_with_the_same_seed(bundle, photos, tmp_path):
    how = {"method": "partition", "outputs": "x", "max_evals": 40, "limit": 18, "seed": 3}
    store = explained(bundle, photos, tmp_path / "e.zarr", **how).store
    expected = ss.explain(
        bundle, bundle.pictures(str(photos / store.images["path"][17])), "partition", ["x"],
        masker="inpaint_telea", max_evals=40, tree="regions", contexts="auto", seed=3,
    )  # fmt: skip
    assert torch.equal(store[17].values, expected.values)
    assert torch.equal(store[17].above_noise, expected.above_noise)


def test_gradients_are_drawn_alike_whatever_was_explained_before(bundle, photos, tmp_path):
    how = {"method": "gradient", "samples": 200}
    place, changed = tmp_path / "e.zarr", sorted(photos.glob("blue/*.png"))[5]
    before = changed.read_bytes()
    Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(changed)
    explained(bundle, photos, place, **how)
    changed.write_bytes(before)
    again = explained(bundle, photos, place, **how).store  # one image alone, which was the sixth of its block
    assert same(again, explained(bundle, photos, tmp_path / "new.zarr", **how).store)


def test_a_second_run_over_images_that_cannot_be_explained_ends_as_the_first_did(
    bundle, photos, tmp_path, monkeypatch
):
    explain = ExplainedModel.explain
    for number, file in enumerate(
        (*sorted(photos.glob("blue/*.png"))[:1], *sorted(photos.glob("red/*.png"))[-1:])
    ):
        Image.fromarray(np.full((SIZE, SIZE, 3), 200 + number, np.uint8)).save(file)

    def picky(self, image, *arguments):
        if any(len(each.unique()) == 1 for each in image):
            raise ExplainerError("the model answers image 0 with NaN")
        return explain(self, image, *arguments)

    monkeypatch.setattr(ExplainedModel, "explain", picky)
    for _ in range(2):
        found = explained(bundle, photos, tmp_path / "e.zarr")
        assert (len(found.store), len(found.skipped)) == (40, 2)


def test_a_stop_lets_go_of_what_it_held(bundle, photos, tmp_path, monkeypatch):
    """A notebook goes on in the same process after Ctrl-C."""
    monkeypatch.setattr(work, "AHEAD", 3)
    with monkeypatch.context() as patch:
        patch.setattr(ExplainedModel, "explain", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            explained(bundle, photos, tmp_path / "e.zarr")
    assert len(explained(bundle, photos, tmp_path / "e.zarr").store) == 42


def test_an_empty_folder_is_looked_into_once(bundle, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    calls = []
    monkeypatch.setattr(folder, "find_images", lambda root: calls.append(root) or ([], {}))
    with pytest.raises(DataError, match="there is no image in"):
        explained(bundle, tmp_path / "empty", tmp_path / "e.zarr")
    assert len(calls) == 1


def test_the_commands_of_a_store_answer_in_json(bundle, photos, tmp_path):
    def ask(*words) -> dict:
        return json.loads(CliRunner().invoke(app, ["store", *map(str, words), "--json"]).stdout)

    path = tmp_path / "e.zarr"
    explained(bundle, photos, path, limit=16)
    found = ask("status", path)
    assert (found["finished"], found["planned"], found["skipped"]) == (16, 16, 0)
    assert sum(row["finished"] for row in found["environments"]) == 16 and found["lines"]
    assert ask("verify", path) == {
        "images": 16, "is_whole": True, "parts": [], "damaged": [], "lines": ["16 images read, 0 of them damaged"],
    }  # fmt: skip
    merged = ask("merge", tmp_path / "all.zarr", path)
    assert (merged["added"], merged["known"], merged["differing"]) == (16, 0, [])
