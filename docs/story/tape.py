"""Does the tape lie elsewhere in the other rooms, and are light and colours of the sheet others? For docs/story.md.

    python docs/story/tape.py photographs masks runs/resnet18_room_1 docs/story

It sees no room: only where the orange tape lies, and how alike that is to photographs of room_1.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from charts import BLUE, GREY, ORANGE, ROOMS, held_out, mean_with_interval
from track_mask import tape_of

GRID = 28  # the tape's map, in cells of 8 pixels
NEIGHBOURS = 5


def measured(photographs: Path, masks: Path, path: str) -> tuple[np.ndarray, dict[str, float]]:
    """The map of the tape of a photograph, (GRID, GRID) from 0 to 1, and the colours of its sheet and tape."""
    photograph = cv2.imread(str(photographs / path))
    region = cv2.imread(str((masks / path).with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 127
    tape = tape_of(photograph) & region
    sheet = region & (cv2.dilate(tape.astype(np.uint8), np.ones((7, 7))) == 0)
    cells = cv2.resize(tape.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    means = {
        "sheet": photograph[sheet].mean(axis=0),
        "tape": photograph[tape].mean(axis=0) if tape.any() else [np.nan] * 3,
    }
    colours = {
        f"{of} {name}": mean[2 - i]
        for of, mean in means.items()
        for i, name in enumerate(("red", "green", "blue"))
    }
    return cv2.GaussianBlur(cells, (0, 0), 1), {
        "tape's area": tape.mean(),
        "mask's area": region.mean(),
        **colours,
    }


def distances(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, cells) and (m, cells) -> (n, m): the root of the summed squared differences."""
    squares = (maps**2).sum(1)[:, None] + (others**2).sum(1) - 2 * maps @ others.T
    return np.sqrt(squares.clip(0))


def main(photographs: Path, masks: Path, run: Path, out: Path) -> None:
    """Prints colours per room, and what neighbours by tape say beside the model; draws error against distance."""
    rows = pd.read_parquet(run / "predictions.parquet")
    with ThreadPoolExecutor() as pool:
        maps, colours = zip(
            *pool.map(lambda path: measured(photographs, masks, path), rows["path"]), strict=True
        )
    table = pd.DataFrame(colours).groupby(rows["environment"])
    print(table.mean().round(3).T, table.std().round(3).T, sep="\n\nstandard deviation in a room\n")

    flat = np.reshape(maps, (len(rows), -1))
    home = (rows["split"] == "train").to_numpy()
    rows = held_out(run).query("point == 'far'")
    apart = distances(flat[rows.index], flat[home])
    nearest = np.argsort(apart, axis=1)[:, :NEIGHBOURS]
    labels = pd.read_parquet(run / "predictions.parquet")[home]
    for target in ("x", "y"):
        of_neighbours = labels[target].to_numpy()[nearest]
        rows[f"tape_{target}"] = np.square(of_neighbours.mean(axis=1) - rows[target])
        rows[f"model_{target}"] = np.square(rows[f"predicted_{target}"] - rows[target])
        rows[f"shift_{target}"] = rows[target] - of_neighbours[:, 0]
    rows["distance"] = apart.min(axis=1)
    usual = rows.loc[rows["environment"] == "room_1", "distance"].quantile(0.95)
    rows["is_usual"] = rows["distance"] <= usual
    for name, group in [*rows.groupby("environment"), *rows[rows["is_usual"]].groupby("environment")]:
        usual_only = "with tape as at home" if group["is_usual"].all() else "all"
        numbers = [
            f"{column} {mean_with_interval(group[column].to_numpy())}" for column in group.columns[-8:-2]
        ]
        print(f"\n{name}, {usual_only}: {len(group)} images", *numbers, sep="\n  ")
    draw(rows, usual).savefig(out / "tape.png")


def draw(rows: pd.DataFrame, usual: float) -> plt.Figure:
    """Per room: the error of x of quarters of the images, from those with tape most like room_1's to the least."""
    figure, axis = plt.subplots(figsize=(5.4, 2.9), layout="constrained")
    for room, colour, mark in zip(ROOMS, (GREY, BLUE, ORANGE), "osD", strict=True):
        group = rows[rows["environment"] == room]
        quarters = group.groupby(pd.qcut(group["distance"], 4))
        label = f"{room}{' (held out)' if room == 'room_1' else ''}"
        errors, places = quarters["model_x"], quarters["distance"].mean()
        axis.errorbar(
            places,
            errors.mean(),
            1.96 * errors.sem(),
            fmt=f"{mark}-",
            color=colour,
            markersize=4,
            label=label,
        )
    axis.axvline(usual, color="black", linestyle=":", linewidth=0.8)
    axis.text(usual, axis.get_ylim()[1], " 95 % of room_1", va="top", fontsize=8)
    axis.set(
        xlabel="distance of its tape from the most alike training photograph",
        ylabel="mean squared error of x",
    )
    axis.grid(axis="y", alpha=0.3)
    axis.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
