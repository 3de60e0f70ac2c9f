"""Whole data sets by Ray: the same values as by one process, and clear words where there is no Ray."""

from pathlib import Path

import pytest
import torch

import shapsight as ss
from discs import write_discs
from shapsight.errors import SettingError
from shapsight.models.bundle import Bundle
from shapsight.studies.dataset.with_ray import _shares
from tiny_networks import of_layers

pytest.importorskip("ray")
HOW = {"method": "deep", "outputs": "all", "dtype": "float32", "device": "cpu", "progress": False}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, room in enumerate(("red", "green")):
        write_discs(tmp_path / "photos" / room, 14, seed=number)
    return tmp_path / "photos"


@pytest.fixture
def bundle(photos: Path) -> Bundle:
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:3]]
    return Bundle.wrap(of_layers(), outputs=["x", "y"], size=32, references=references)


# Ray Data warns of options of its own, and of files that it leaves to the end of the process.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::FutureWarning")
def test_workers_of_ray_write_what_one_process_writes_to_the_bit(bundle, photos, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        one = ss.explain_dataset(bundle, photos, store=tmp_path / "one.zarr", **HOW).store
    finally:
        torch.set_num_threads(threads)
    found = ss.explain_dataset(bundle, photos, store=tmp_path / "ray.zarr", ray="local", workers=1, **HOW)
    assert len(found.store) == 28
    assert torch.equal(found.store[:].values, one[:].values)
    tables = [store.images.drop(columns="finished").astype(str) for store in (one, found.store)]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:9", "no Ray runs at 127.0.0.1:9: start one with `ray start --head`"),
        ("ray://127.0.0.1:10001", "start the command on one of its machines"),
        ("everywhere", "none of auto, local and HOST:PORT"),
    ],
)
def test_an_address_where_no_ray_runs_is_refused_with_what_to_do(bundle, photos, tmp_path, address, said):
    with pytest.raises(SettingError, match=said):
        ss.explain_dataset(bundle, photos, store=tmp_path / "e.zarr", ray=address, **HOW)


def test_auto_asks_where_the_environment_says(bundle, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(SettingError, match=r"127\.0\.0\.1:9"):
        ss.explain_dataset(bundle, photos, store=tmp_path / "e.zarr", ray="auto", **HOW)


def node(**resources: float) -> dict:
    return {"Alive": True, "Resources": resources}


def test_workers_share_the_processors_so_that_all_find_room():
    dead = {"Alive": False, "Resources": {"CPU": 64}}
    found = _shares([node(CPU=7), node(CPU=5), dead], "auto", 3)
    assert (found.workers, found.cpus, found.gpus) == (3, 3, 0)  # with 4 each, only two would find room
    assert _shares([node(CPU=7), node(CPU=5)], "cpu", None).workers == 12


def test_workers_take_a_gpu_each_where_there_are_any():
    found = _shares([node(CPU=8, GPU=2), node(CPU=8, GPU=4)], "auto", None)
    assert (found.workers, found.gpus, found.device) == (6, 1, "cuda")
    assert _shares([node(CPU=8, GPU=2)], "cpu", None).gpus == 0
    with pytest.raises(SettingError, match="0 GPUs"):
        _shares([node(CPU=8)], "cuda", None)
    with pytest.raises(SettingError, match="not enough for --workers 9"):
        _shares([node(CPU=8)], "cpu", 9)
    with pytest.raises(SettingError, match="each worker takes one"):
        _shares([node(GPU=2)], "cuda:0,cuda:1", None)
