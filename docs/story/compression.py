"""Does a model tell room_3's two labels by how strongly a file is compressed? docs/story.md, from runs of `train`.

    python docs/story/compression.py rooms docs/story runs/lite0_room_3 runs/lite0_all      # the first run is drawn

Every photograph of room_3 is there twice: once compressed strongly and labelled far ahead, once weakly and labelled
near. The second is asked as it is, and saved again as strongly as the first.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

import shapsight as ss

plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 90})


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


def draw(said: dict[str, np.ndarray], far: np.ndarray, near: np.ndarray) -> plt.Figure:
    """What a model says of y for each kind of file, and the labels."""
    rows = {
        "far labels": far[:, 1],
        "said of the files with far labels (6 kB)": said["far"][:, 1],
        "near labels": near[:, 1],
        "said of the files with near labels (16 kB)": said["near"][:, 1],
        "said of these, saved as the far ones are": said["near, saved as far"][:, 1],
    }
    figure, axis = plt.subplots(figsize=(7.2, 2.3), layout="constrained")
    for place, (name, values) in enumerate(rows.items()):
        height = place + np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
        axis.plot(
            values, height, "o", markersize=1.5, color="#777777" if "labels" in name[:11] else "#3b75af"
        )
    axis.set(yticks=range(5), yticklabels=rows, ylim=(4.5, -0.5), xlabel="y (the top of the picture is −1)")
    return figure


def main(rooms: Path, out: Path, runs: list[Path]) -> None:
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
        said = {
            name: np.concatenate(
                [bundle.predict(np.stack(some[i : i + 32])) for i in range(0, len(some), 32)]
            )
            for name, some in asked.items()
        }
        for name, answers in said.items():
            errors = [np.square(answers - labels).mean(axis=0) for labels in (near, far)]
            rows.append((run.name, name, answers[:, 1].mean(), *errors[0], *errors[1]))
        if run == runs[0]:
            draw(said, far, near).savefig(out / "compression.png")
    columns = ["run", "files", "mean y", "x by near", "y by near", "x by far", "y by far"]
    print(pd.DataFrame(rows, columns=columns).round(4).to_string(index=False))
    print("labels, mean y: far", far[:, 1].mean().round(3), "near", near[:, 1].mean().round(3))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(run) for run in sys.argv[3:]])
