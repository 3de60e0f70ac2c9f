"""What is loaded when, and what a missing extra says: whoever explains a model pays for nothing else."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fsspec.registry import _registry as FILE_SYSTEMS
from packaging.requirements import Requirement
from PIL import Image

import shapsight as ss
from discs import write_discs
from shapsight.data.roi import read_roi
from shapsight.data.stored import read_stored
from shapsight.diagnosis.strategies import find_strategies
from shapsight.errors import DataError, MissingDependency
from shapsight.models.bundle import Bundle
from shapsight.store import with_xarray
from tiny_networks import Tiny

CHECKOUT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"dev", "docs"}
MODULES = {"scikit-learn": "sklearn", "lightning": "lightning.pytorch"}


def loaded_by(code: str) -> set[str]:
    """The packages that are loaded after some code in a process of its own."""
    printed = "\nimport sys; print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code + printed], capture_output=True, text=True, check=True)
    return set(run.stdout.split("loaded ")[-1].split())


def test_the_package_alone_loads_nothing_but_the_standard_library():
    new = loaded_by("import shapsight; shapsight.__all__; shapsight.__version__") - loaded_by("")
    assert new - sys.stdlib_module_names == {"shapsight"}


EXPLANATIONS = """
import torch
import shapsight as ss
network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(72, 2))
images = torch.rand(3, 3, 8, 8)
ss.DeepShap(network, images[:2])(images[2:])
ss.GradientShap(network, images[:2])(images[2:])
ss.PartitionShap(network, "blur(3,3)", max_evals=20)(images[2:])
ss.RegionShap(network, images[:2], (images[2:, 0] > 0.5).long())(images[2:])
"""


def test_explanations_load_no_tables_and_no_charts():
    for_later = {
        "pandas",
        "pyarrow",
        "matplotlib",
        "altair",
        "vl_convert",
        "jinja2",
        "skimage",
        "scipy",
        "rich",
    }
    assert for_later & loaded_by(EXPLANATIONS) == set()


def explanation() -> ss.Explanation:
    return ss.DeepShap(Tiny(2).eval(), torch.rand(2, 3, 16, 16))(torch.rand(1, 3, 16, 16))


def photos(folder: Path) -> Path:
    write_discs(folder / "photos" / "red", 12, width=16, height=16)
    return folder / "photos"


def trained(folder: Path) -> object:
    return ss.train(photos(folder), train_on=["red"], arch="small_cnn", out=folder / "run", progress=False)


def evaluated(folder: Path) -> object:
    return ss.evaluate(Bundle.wrap(Tiny(2), size=16, outputs=["x", "y"]), photos(folder), progress=False)


def explained(folder: Path) -> object:
    bundle = Bundle.wrap(Tiny(2), size=16, references=torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    return ss.explain_dataset(bundle, photos(folder), store=folder / "store", device="cpu", progress=False)


def read_from_s3(_: Path) -> object:
    FILE_SYSTEMS.pop("s3", None)  # it would be found
    return ss.read_dataset("s3://bucket/photos")


def explained_by_ray(folder: Path) -> object:
    bundle = Bundle.wrap(Tiny(2), size=16, references=torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    store = folder / "store"
    return ss.explain_dataset(bundle, photos(folder), store=store, ray="auto", device="cpu", progress=False)


def clustered(_: Path) -> object:
    return find_strategies(np.random.default_rng(0).random((20, 16, 16)))


def read(name: str) -> Callable[[Path], object]:
    """Read a file of a kind; its library is asked for before its bytes are looked at."""

    def read_in(folder: Path) -> object:
        (folder / name).write_bytes(b"any")
        return read_stored(folder / name)

    return read_in


def unpacked(folder: Path) -> object:
    """A TIFF that tifffile cannot decode by itself."""
    Image.new("RGB", (16, 16)).save(folder / "a.tif", compression="tiff_lzw")
    return read_stored(folder / "a.tif")


def wrapped(folder: Path) -> object:
    (folder / "net.onnx").write_bytes(b"any")
    return Bundle.wrap(folder / "net.onnx")


def runs(folder: Path) -> object:
    """Compressed run lengths."""
    runs = {"size": [16, 16], "counts": "P8"}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": runs}
    picture = {"id": 1, "file_name": "red/a.png", "width": 16, "height": 16}
    content = {"images": [picture], "annotations": [annotation], "categories": [{"id": 1, "name": "track"}]}
    (folder / "coco.json").write_text(json.dumps(content))
    return read_roi(folder / "coco.json").mask(pd.Series({"path": "red/a.png"}))


# What a user does who has not installed a library of an extra.
DONE = {
    ("train", "lightning"): trained,
    ("train", "torchmetrics"): evaluated,
    ("xarray", "xarray"): lambda _: explanation().to_xarray(),
    ("store", "zarr"): explained,
    ("store", "filelock"): explained,
    ("store", "xarray"): lambda _: with_xarray.to_xarray(None),
    ("store", "dask"): lambda _: with_xarray.to_xarray(None),
    ("diagnose", "scikit-learn"): clustered,
    ("geo", "rasterio"): unpacked,
    ("medical", "pydicom"): read("a.dcm"),
    ("medical", "nibabel"): read("a.nii"),
    ("coco", "pycocotools"): runs,
    ("ray", "ray"): explained_by_ray,
    ("onnx", "onnx"): wrapped,
    ("onnx", "onnx2torch"): wrapped,
    ("onnx", "onnxruntime"): wrapped,
    ("remote", "s3fs"): read_from_s3,
}
FALLS_BACK = {("notebook", "anywidget")}  # pictures are shown in a frame


@pytest.mark.parametrize(("extra", "library"), DONE)
def test_what_needs_an_extra_names_it_where_a_library_is_missing(extra, library, tmp_path, monkeypatch):
    module = MODULES.get(library, library)
    for name in [name for name in sys.modules if name.startswith(f"{module}.")]:  # they would be found
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((MissingDependency, DataError), match=rf"pip install 'shapsight\[{extra}\]'"):
        DONE[extra, library](tmp_path)


def test_every_library_of_every_extra_is_asked_for_above():
    needs = {
        (extra, Requirement(line).name)
        for extra, lines in EXTRAS.items()
        for line in lines
        if extra not in {*FOR_DEVELOPERS, "all"}
    }
    assert needs == DONE.keys() | FALLS_BACK


def test_all_is_every_extra_but_those_of_developers():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.name == "shapsight"
    assert everything.extras == EXTRAS.keys() - FOR_DEVELOPERS - {"all"}
