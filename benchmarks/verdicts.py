"""How often `shapsight diagnose` is right: demo worlds with a shortcut that a network could use, and worlds without.

    OMP_NUM_THREADS=1 python benchmarks/verdicts.py worlds                 # twenty worlds, some 15 minutes
    OMP_NUM_THREADS=1 python benchmarks/verdicts.py worlds --first 100     # others, to set thresholds by

In every world each track stands before the scene of another image of its room, so that the furniture says nothing. In
every second world something else in the scene gives the target away in the two training rooms, but not in the third: a
poster on the wall hangs above the point to drive to ("place"), a little beside it ("near"), or above it in most of the
images ("most"); or a bright stripe stands on the wall above it ("stripe"). In the others nothing does: the poster hangs
anywhere ("any place"), so does the stripe ("any stripe"), or there is neither ("none"). A colour of the poster and a
light on the walls that told the target were tried, too, and left out: the networks did not use them (`used` below 1.3).
Only the dataset, as files, goes into training and diagnosis, which are the studies behind the commands.

A world that is there already is not made again, and neither is what its diagnosis found. It is judged right if its
verdict is "shortcut" exactly where one was given. Beside that, `used` tells how much the network uses it: the error on
held-out images of the training rooms with what their scenes say exchanged, over the error on them as they are.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from shapsight.data.images import load_images
from shapsight.data.rooms import ROOMS, Frame, drive
from shapsight.diagnosis.interventions import cut
from shapsight.studies.diagnose.study import diagnose
from shapsight.studies.shared.found import open_run
from shapsight.studies.shared.settings import DiagnoseSettings, TrainingSettings
from shapsight.studies.train.study import train

GIVES_AWAY = ("place", "near", "most", "stripe")
SAYS_NOTHING = ("any place", "any stripe", "none", "any place")
SIZE, SIDE, STRIPE = 64, 13, 5
IMAGES = 100  # of each room
BESIDE = 4.0  # pixels, the standard deviation of "near"
MOST = 0.85
MAGENTA = torch.tensor([235, 30, 200], dtype=torch.uint8)
TRAINED = ROOMS[:2]


@dataclass(frozen=True)
class World:
    """A demo world: its number is the seed of everything random in it."""

    number: int

    @property
    def has_shortcut(self) -> bool:
        """Whether the scene gives the target away where the network is trained."""
        return self.number % 2 == 0

    @property
    def kind(self) -> str:
        """What its scenes say."""
        return (GIVES_AWAY if self.has_shortcut else SAYS_NOTHING)[self.number // 2 % 4]


def write(world: World, folder: Path) -> None:
    """Its images and regions of interest, and in `control` the same images with what their scenes say exchanged."""
    for room in ROOMS:
        frames = list(drive(room, IMAGES, size=SIZE, seed=world.number))
        across = np.array([frame.target[0] for frame in frames])
        generator = np.random.default_rng([world.number, ROOMS.index(room)])
        plain = _shuffled(frames, generator)
        meant = across if room in TRAINED else generator.permutation(across)
        said = _said(world.kind, meant, generator)
        for kind, told in (("images", said), ("control", generator.permutation(said))):
            for number, frame in enumerate(frames):
                x, y = (round(part) for part in frame.target)
                name = f"{x}_{y}_{number:03}.png"
                image = _saying(plain[number], frame.roi, world.kind, told[number])
                _save(folder / kind / room / name, image.permute(1, 2, 0).numpy())
                _save(folder / "roi" / room / name, frame.roi.astype(np.uint8) * 255)
    (folder / "world.json").write_text(json.dumps({"number": world.number, "kind": world.kind}))


def _save(path: Path, pixels: UInt8[ndarray, "height width *channels"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _said(
    kind: str, across: Float[ndarray, "images"], generator: np.random.Generator
) -> Float[ndarray, "images"]:
    """What the scene of each image says: a place across, as it is meant or not."""
    anywhere = generator.uniform(0, SIZE, len(across))
    return {
        "place": across,
        "near": across + generator.normal(0, BESIDE, len(across)),
        "most": np.where(generator.random(len(across)) < MOST, across, anywhere),
        "stripe": across,
    }.get(kind, anywhere)


def _images(frames: list[Frame]) -> UInt8[Tensor, "images 3 size size"]:
    return torch.stack([torch.from_numpy(frame.image).permute(2, 0, 1) for frame in frames])


def _shuffled(frames: list[Frame], generator: np.random.Generator) -> UInt8[Tensor, "images 3 size size"]:
    """Every track before the scene of another image of the same room."""
    pieces = cut(_images(frames), np.stack([frame.roi for frame in frames]))
    steps = generator.permutation(len(frames))
    return pieces.paste(steps, np.roll(steps, 1))[torch.from_numpy(np.argsort(steps))]


def _saying(
    image: UInt8[Tensor, "3 size size"], roi: Bool[ndarray, "size size"], kind: str, said: float
) -> UInt8[Tensor, "3 size size"]:
    """The image with a poster or a stripe on its wall; the region of interest stays as it is."""
    if kind == "none":
        return image
    found = image.clone()
    width = STRIPE if "stripe" in kind else SIDE
    left = int(np.clip(round(said - width / 2), 0, SIZE - width))
    if "stripe" in kind:
        found[:, : SIZE // 2, left : left + width] = 250
        return torch.where(torch.from_numpy(roi), image, found)
    found[:, 3 : 3 + SIDE, left : left + SIDE] = MAGENTA[:, None, None]
    found[:, 7 : SIDE - 1, left + 4 : left + SIDE - 4] = 250
    return found


def diagnosed(world: World, folder: Path, only: tuple[str, ...], epochs: int) -> dict[str, object]:
    """A row of the result; the network is trained and diagnosed by the studies behind the commands."""
    if not (folder / "world.json").is_file():
        write(world, folder)
    settings = TrainingSettings(
        train_on=",".join(TRAINED), arch="small_cnn", weights="none", epochs=epochs, batch_size=16,
        image_size=SIZE, references=32, roi=str(folder / "roi"), color_jitter=False, seed=world.number, device="cpu",
    )  # fmt: skip
    run = folder / "run"
    if not (run / "run.json").is_file():
        train(folder / "images", run, settings=settings, progress=False, overwrite=True)
    how = DiagnoseSettings(images=60, references=16, only=only)
    diagnose(run, settings=how, progress=False)
    verdict = json.loads((run / "diagnosis" / "verdict.json").read_text())
    is_right = (verdict["level"] == "shortcut") == world.has_shortcut
    return {
        "world": world.number,
        "kind": world.kind,
        "shortcut given": world.has_shortcut,
        "verdict": verdict["level"],
        "right": is_right,
        **_used(run, folder),
        **_facts(run / "diagnosis"),
    }


def _used(run: Path, folder: Path) -> dict[str, object]:
    """Errors of x in the training rooms (held-out images) and elsewhere, also with what scenes say exchanged."""
    trained = open_run(run)
    manifest, bundle = trained.manifest, trained.bundle
    column = bundle.card.output_names.index("x")
    found: dict[str, object] = {}
    for kind in ("images", "control"):
        images = load_images(folder / kind, list(manifest.table["path"]), SIZE)
        error = np.square(bundle.predict(images)[:, column].numpy() - manifest.table["x"].to_numpy(float))
        for split, name in (("validation", "home"), ("unseen", "elsewhere")):
            found[f"{name} {kind}"] = float(error[manifest.rows(split)].mean())
    return found | {"used": float(found["home control"]) / float(found["home images"])}  # type: ignore[arg-type]


def _facts(folder: Path) -> dict[str, object]:
    """The numbers that thresholds are set by."""
    found: dict[str, object] = {}
    for part in ("look", "why"):
        path = folder / part / "facts.json"
        if path.is_file():
            facts = json.loads(path.read_text())["facts"]
            found |= {f"{part}.{name}": value for name, value in facts.items()}
    return found


def main() -> None:
    """Print a line a world, and how often the verdict was right."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    options.add_argument("--worlds", type=int, default=20)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--epochs", type=int, default=16)
    options.add_argument("--only", default="look,why")
    chosen = options.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = []
    for number in range(chosen.first, chosen.first + chosen.worlds):
        world = World(number)
        rows.append(
            diagnosed(world, chosen.folder / f"{number:04}", tuple(chosen.only.split(",")), chosen.epochs)
        )
        shown = {name: value for name, value in rows[-1].items() if "." not in name}
        print(
            "  ".join(
                f"{name} {v:.3g}" if isinstance(v, float) else f"{name} {v}" for name, v in shown.items()
            ),
            flush=True,
        )
        pd.DataFrame(rows).to_csv(chosen.folder / f"verdicts_{chosen.first}.csv", index=False)
    table = pd.DataFrame(rows)
    print(f"right in {int(table['right'].sum())} of {len(table)} worlds")
    print(pd.crosstab([table["shortcut given"], table["kind"]], table["verdict"]).to_string())


if __name__ == "__main__":
    main()
