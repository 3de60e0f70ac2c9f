"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped: an image is `FILE#NUMBER`."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from shapsight.data.given_files import refuse_endless
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError

IMAGES = re.compile(r"(.+)-images[-.]idx\d-ubyte(\.gz)?$")
UNSIGNED_BYTE = 0x08
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def is_idx(path: Path) -> bool:
    """A file of images in IDX, or a folder that holds one."""
    return is_idx_file(path) or (path.is_dir() and any(map(is_idx_file, path.iterdir())))


def is_idx_file(path: Path) -> bool:
    """A name such as train-images-idx3-ubyte.gz."""
    return bool(IMAGES.match(path.name))


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of unsigned bytes.

        read_idx(Path("train-images-idx3-ubyte.gz")).shape      # (60000, 28, 28)

    Raises `DataError` for a file that is damaged, cut off, or of other numbers.
    """
    try:
        refuse_endless(path)
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path} is no IDX file: it does not begin with two zero bytes")
    if content[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} holds numbers of type 0x{content[2]:02x}; images and labels are of type 0x08"
        )
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise DataError(f"{path} is cut off: it ends within its header of {header} bytes")
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], ">u4"))
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path} is cut off or damaged: its header says {' × '.join(map(str, shape))}, which is "
            f"{math.prod(shape)} bytes, but {len(content) - header} follow"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def list_idx(path: Path, class_names: tuple[str, ...] = ()) -> Listing:
    """The images and labels of all pairs of files in a folder, or of one file and its labels."""
    if not path.exists():
        raise DataError(f"there is nothing at {path}")
    root = path if path.is_dir() else path.parent
    files = sorted(filter(is_idx_file, path.iterdir())) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no IDX files such as train-images-idx3-ubyte.gz")
    parts = [_part(file) for file in files]
    table = pd.concat(parts, ignore_index=True)
    notes: tuple[str, ...] = ()
    if not class_names and "fashion" in str(root.resolve()).lower() and table["number"].max() < len(FASHION):
        class_names = FASHION
        notes = (
            "The folder's name says Fashion-MNIST, so its classes are called as that dataset calls them.",
        )
    names = class_names or tuple(str(number) for number in range(int(table["number"].max()) + 1))
    if len(names) <= table["number"].max():
        raise DataError(f"there are labels up to {table['number'].max()}, but only {len(names)} class names")
    return Listing(
        root,
        table.assign(label=[names[number] for number in table["number"]]).drop(columns="number"),
        root.resolve().name,
        label="column:label",
        environment="column:environment",
        split="column:split",
        class_names=names,
        notes=notes,
    )


def _part(file: Path) -> pd.DataFrame:
    images = read_idx(file)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise DataError(f"{file} has shape {images.shape}, not (images, height, width)")
    if not len(images):
        raise DataError(f"{file} holds 0 images")
    name = file.name.replace("-images", "-labels").replace("idx3", "idx1").replace("idx4", "idx1")
    labels_file = file.with_name(name)
    if not labels_file.is_file():
        other = labels_file.with_suffix("") if labels_file.suffix == ".gz" else Path(f"{labels_file}.gz")
        if not other.is_file():
            raise DataError(f"there are no labels beside {file}: looked for {labels_file.name}")
        labels_file = other
    labels = read_idx(labels_file)
    if labels.shape != (len(images),):
        raise DataError(f"{file} holds {len(images)} images, but {labels_file.name} labels of {labels.shape}")
    stem = IMAGES.match(file.name)
    assert stem is not None
    split = "test" if stem[1] in ("t10k", "test") else "train"
    return pd.DataFrame(
        {
            "path": [f"{file.name}#{number}" for number in range(len(images))],
            "number": labels.astype(int),
            "split": split,
            "environment": file.resolve().parent.name,
        }
    )
