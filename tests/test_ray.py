"""Whole data sets by Ray: the same values as by one process, and clear words where there is no Ray."""

import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import shapsight as ss
from discs import write_discs
from shapsight.errors import SettingError, StoreError
from shapsight.models.bundle import Bundle
from shapsight.studies.dataset import with_ray
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


class Dying(nn.Module):
    """Two numbers of a picture; while there are files in `deaths`, a worker that runs it dies and takes one away."""

    def __init__(self, deaths: Path) -> None:
        super().__init__()
        self.deaths, self.inner = deaths, of_layers()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 1 and (left := sorted(self.deaths.iterdir())):
            left[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(images)


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray for all tests here, as a user's own connection."""
    ray = pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    places = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ray.init(
        "local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": places}},
    )
    yield
    ray.shutdown()


# Ray Data warns of options of its own, and of files that it leaves to the end of the process.
QUIET = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::FutureWarning"),
]


def quiet(test: Callable[..., None]) -> Callable[..., None]:
    for mark in QUIET:
        test = mark(test)
    return test


@quiet
def test_workers_of_ray_write_what_one_process_writes_to_the_bit(cluster, bundle, photos, tmp_path):
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


@quiet
def test_images_that_workers_of_ray_are_killed_at_are_explained_fewer_at_a_time(
    cluster, photos, tmp_path, capsys
):
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:3]]
    bundle = Bundle.wrap(Dying(deaths), outputs=["x", "y"], size=32, references=references)
    for number in range(3):  # in two blocks, in whatever order Ray hands them out: one of them sees two
        (deaths / str(number)).touch()
    how = {**HOW, "progress": True, "ray": "local", "workers": 1}
    found = ss.explain_dataset(bundle, photos, store=tmp_path / "e.zarr", **how)
    assert len(found.store) == 28
    assert re.search(r"went on with (16|8) images at a time, and the same values", capsys.readouterr().err)


@quiet
def test_workers_of_ray_that_die_again_and_again_end_in_a_message(cluster, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(with_ray, "RESTARTS", 1)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:3]]
    bundle = Bundle.wrap(Dying(deaths), outputs=["x", "y"], size=32, references=references)
    for number in range(5):
        (deaths / str(number)).touch()
    with pytest.raises(
        StoreError, match=r"a worker ended by itself more than 1 times.*What is finished is safe"
    ):
        ss.explain_dataset(bundle, photos, store=tmp_path / "e.zarr", ray="local", workers=1, **HOW)
