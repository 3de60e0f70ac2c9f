"""`shap.datasets`: files from a folder of yours first, and from the network where there is one."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import platformdirs
from jaxtyping import Float

from shapsight.compat.shap.not_offered import not_offered
from shapsight.compat.shap.sampling import sample
from shapsight.data.image_files import is_image
from shapsight.data.images import load_images
from shapsight.data.written_files import written
from shapsight.errors import DataError

VARIABLE = "SHAPSIGHT_DATA"
SOURCE = "https://github.com/shap/shap/raw/master/data/"
IMAGES = "imagenet50"
CLASS_LISTS = ("imagenet_class_index.json", "imagenet_synsets.json")
SECONDS = 30


def imagenet50(
    resolution: int = 224, n_points: int | None = None, *, folder: str | os.PathLike[str] | None = None
) -> tuple[Float[np.ndarray, "images height width 3"], Float[np.ndarray, "images"]]:
    """Photographs of ImageNet-like classes, as float32 from 0 to 255, and their class numbers.

        X, y = shap.datasets.imagenet50()
        X, y = shap.datasets.imagenet50(folder="data")         # or SHAPSIGHT_DATA=data in the environment

    The folder holds shap's own array (imagenet50_224x224.npy, with imagenet50_labels.csv) or a folder `imagenet50` of
    photographs; these come in the order of their names and are resized to `resolution`. A photograph's name holds its
    WordNet number, such as sim_n02010272_1613.jpg; class numbers need a list of these as well
    (imagenet_class_index.json or imagenet_synsets.json), and are NaN, with a warning, without one.
    `n_points` takes a random choice, as shap does.

    Raises `DataError`, which says what to put where, if there is neither the folder nor a network.
    """
    array = f"{IMAGES}_{resolution}x{resolution}.npy"
    photographs = None if _found(array, folder) else _found_folder(folder)
    if photographs is not None:
        X, y = _photographs(photographs, resolution, folder)  # noqa: N806 (shap's names)
    else:
        X = np.load(cache(SOURCE + array, folder=folder), allow_pickle=False).astype(np.float32)  # noqa: N806
        y = np.loadtxt(cache(f"{SOURCE}{IMAGES}_labels.csv", folder=folder))
    if n_points is not None:
        X, y = sample(X, n_points), sample(y, n_points)  # noqa: N806
    return X, y


def cache(url: str, file_name: str | None = None, *, folder: str | os.PathLike[str] | None = None) -> str:
    """The path of a file from the network, which is downloaded at most once.

        shap.datasets.cache("https://s3.amazonaws.com/deep-learning-models/image-models/imagenet_class_index.json")

    Looked for by its name in `folder`, then in the folder named by SHAPSIGHT_DATA, each with two levels of folders in
    it; then in the user's cache folder (on Linux ~/.cache/shapsight), where a download is kept.
    Raises `DataError`, which says which file to put where, if it is not there and cannot be downloaded.
    """
    name = file_name or Path(urlsplit(url).path).name
    found = _found(name, folder)
    if found is not None:
        return str(found)
    target = _cache_folder() / name
    if not target.is_file():
        _download(url, target, folder)
    return str(target)


def _cache_folder() -> Path:
    return platformdirs.user_cache_path("shapsight")


def _folders(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Where to look: the argument, then SHAPSIGHT_DATA."""
    for given in (folder, os.environ.get(VARIABLE)):
        if given:
            path = Path(given)
            if not path.is_dir():
                what = f"{VARIABLE}={given}" if given != folder else f"folder={str(given)!r}"
                raise DataError(f"{what} is no folder")
            yield path


def _places(name: str, folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    for root in _folders(folder):
        for pattern in (name, f"*/{name}", f"*/*/{name}"):
            yield from sorted(root.glob(pattern))


def _found(name: str, folder: str | os.PathLike[str] | None) -> Path | None:
    return next((path for path in _places(name, folder) if path.is_file()), None)


def _found_folder(folder: str | os.PathLike[str] | None) -> Path | None:
    """A folder called imagenet50 with photographs in it."""
    return next((path for path in _places(IMAGES, folder) if path.is_dir() and _image_names(path)), None)


def _image_names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if is_image(file))


def _photographs(
    photographs: Path, resolution: int, folder: str | os.PathLike[str] | None
) -> tuple[Float[np.ndarray, "images height width 3"], Float[np.ndarray, "images"]]:
    names = _image_names(photographs)
    pixels = load_images(photographs, names, resolution).permute(0, 2, 3, 1).numpy().astype(np.float32)
    return pixels, _labels(photographs, names, folder)


def _labels(
    photographs: Path, names: Sequence[str], folder: str | os.PathLike[str] | None
) -> Float[np.ndarray, "images"]:
    """The class number of each photograph, by the WordNet number in its name."""
    file = next((found for name in CLASS_LISTS if (found := _found(name, folder))), None)
    if file is None:
        warnings.warn(
            f"the class numbers of the photographs in {photographs} are not known: put {CLASS_LISTS[0]} or "
            f"{CLASS_LISTS[1]} beside that folder",
            stacklevel=4,
        )
        return np.full(len(names), np.nan)
    listed = json.loads(file.read_text(encoding="utf-8"))
    synsets = [entry[0] for entry in listed.values()] if isinstance(listed, dict) else listed
    numbers = {synset: number for number, synset in enumerate(synsets)}
    parts = [[part for part in Path(name).stem.split("_") if part in numbers] for name in names]
    return np.array([float(numbers[found[0]]) if found else np.nan for found in parts])


def _download(url: str, target: Path, folder: str | os.PathLike[str] | None) -> None:
    """To a temporary name first, so that a broken download leaves nothing behind."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            written(target, by_many=True) as part,
            urllib.request.urlopen(url, timeout=SECONDS) as answer,
            part.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(
            f"{target.name} cannot be downloaded from {url} ({reason}). {_advice(target, folder)}"
        ) from error


def _advice(target: Path, folder: str | os.PathLike[str] | None) -> str:
    root = next(_folders(folder), None)
    where = f"Put it at {root / target.name if root else target}"
    named = "" if root else f", or into a folder named by the environment variable {VARIABLE}"
    other = (
        f". A folder {IMAGES} of photographs there will do as well" if target.name.startswith(IMAGES) else ""
    )
    return f"{where}{named}{other}."


def __getattr__(name: str) -> Any:
    raise not_offered(__name__, "shap.datasets", name)
