"""Does a model tell room_3's two labels by how strongly a file is compressed? docs/story.md, from runs of `train`.

    python docs/story/compression.py rooms runs/lite0_room_3 runs/lite0_all

Every photograph of room_3 is there twice: once compressed strongly and labelled far ahead, once weakly and labelled
near. The second is asked as it is, and saved again as strongly as the first.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import shapsight as ss


def pairs_of(room: Path) -> list[tuple[Path, Path]]:
    """The two files of each photograph, that with the far label first: it lies higher."""
    files: dict[str, list[Path]] = {}
    for path in sorted(room.glob("*.jpg")):
        if "copy" not in path.stem:
            files.setdefault(path.stem.split("_", 2)[2], []).append(path)
    return [(pair[0], pair[1]) for pair in map(by_height, files.values()) if len(pair) == 2]


def by_height(files: list[Path]) -> list[Path]:
    """The highest label first."""
    return sorted(files, key=lambda path: label_of(path)[1])


def label_of(path: Path) -> tuple[float, float]:
    """The label, from -1 to +1 as in training."""
    x, y = path.stem.split("_")[:2]
    return (int(x) - 112) / 112, (int(y) - 112) / 112


def saved_as(path: Path, other: Path) -> np.ndarray:
    """A photograph saved once more, with another one's quantisation and sampling of colours."""
    like, file = Image.open(other), io.BytesIO()
    tables = like.quantization  # type: ignore[attr-defined]
    Image.open(path).convert("RGB").save(file, "JPEG", qtables=tables, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


def main(rooms: Path, runs: list[Path]) -> None:
    """The mean y that each model says, and its errors by either label."""
    sizes = {
        room: [path.stat().st_size for path in (rooms / room).glob("*.jpg")] for room in ("room_1", "room_2")
    }
    pairs = pairs_of(rooms / "room_3")
    for number, kind in enumerate(("far", "near")):
        sizes[f"room_3, {kind}"] = [pair[number].stat().st_size for pair in pairs]
    print({name: int(np.median(of)) for name, of in sizes.items()})
    far, near = (np.array([label_of(pair[number]) for pair in pairs]) for number in (0, 1))
    asked = {
        "far": [np.asarray(Image.open(pair[0]).convert("RGB")) for pair in pairs],
        "near": [np.asarray(Image.open(pair[1]).convert("RGB")) for pair in pairs],
        "near, saved as far": [saved_as(pair[1], pair[0]) for pair in pairs],
    }
    rows = []
    for run in runs:
        bundle = ss.load_bundle(run / "model")
        for name, pictures in asked.items():
            said = np.concatenate(
                [bundle.predict(np.stack(pictures[i : i + 32])) for i in range(0, len(pictures), 32)]
            )
            errors = [np.square(said - labels).mean(axis=0) for labels in (near, far)]
            rows.append((run.name, name, said[:, 1].mean(), *errors[0], *errors[1]))
    columns = ["run", "files", "mean y", "x by near", "y by near", "x by far", "y by far"]
    print(pd.DataFrame(rows, columns=columns).round(4).to_string(index=False))
    print("labels, mean y: far", far[:, 1].mean().round(3), "near", near[:, 1].mean().round(3))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
