"""What each remedy does to errors elsewhere and to the scene's share: docs/story.md, from `shapsight cure`.

    python docs/story/remedies.py runs/cure_squeeze64 docs/story

A training is compared with the plain one of the same room and seed; brackets are 95 % bootstrap intervals over those.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

BLUE, GREY = "#3b75af", "#777777"
MEASURES = ["x", "y", "scene_share"]
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 90})


def of_trainings(cure: Path) -> pd.DataFrame:
    """Of each training: the squared errors of x and y in rooms that it has not seen, and the scene's share there."""
    rows = pd.read_parquet(cure / "judged.parquet")
    errors = {target: np.square(rows[target] - rows[f"predicted_{target}"]) for target in ("x", "y")}
    return rows.assign(**errors).groupby(["recipe", "trained_on", "seed"])[MEASURES].mean()


def changes(trainings: pd.DataFrame, draws: int = 5000) -> pd.DataFrame:
    """Of each remedy that trains in one room: the change against the plain training, with its interval."""
    plain, found = trainings.loc["baseline"], {}
    for recipe in trainings.index.unique("recipe").difference(["baseline"]):
        pairs = (trainings.loc[recipe] - plain).dropna().to_numpy()
        if not len(pairs):
            continue  # more-environments: no training of one room to compare with
        chosen = np.random.default_rng(0).integers(len(pairs), size=(draws, len(pairs)))
        low, high = np.quantile(pairs[chosen].mean(axis=1), (0.025, 0.975), axis=0)
        found[recipe] = np.stack([pairs.mean(axis=0), low, high], axis=1).ravel()
    columns = pd.MultiIndex.from_product([MEASURES, ["change", "low", "high"]])
    return pd.DataFrame.from_dict(found, orient="index", columns=columns)


def draw(found: pd.DataFrame) -> plt.Figure:
    """Beside each other, a line a remedy: the change of the error of x elsewhere, and of the scene's share."""
    found = found.sort_values(("x", "change"), ascending=False)
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True, layout="constrained")
    titles = {
        "x": "change of the MSE of x elsewhere",
        "scene_share": "change of the scene's share, in points",
    }
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        rows = found[measure] * (100 if measure == "scene_share" else 1)
        spread = (rows["change"] - rows["low"], rows["high"] - rows["change"])
        axis.axvline(0, color=GREY, linewidth=0.7)
        axis.errorbar(rows["change"], rows.index, xerr=spread, fmt="o", color=BLUE, markersize=4, linewidth=1)
        axis.set(title=title)
    return figure


def main(cure: Path, out: Path) -> None:
    """The table on the screen, the chart into a folder."""
    trainings = of_trainings(cure)
    print(trainings.groupby("recipe").mean().round(4).to_string())
    print(f"\n{changes(trainings).round(4).to_string()}")
    draw(changes(trainings)).savefig(out / "remedies.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
