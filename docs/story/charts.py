"""The charts and numbers of docs/story.md, from a folder of runs of `shapsight train` and `shapsight diagnose`.

    python docs/story/charts.py runs docs/story

runs/resnet18_room_1 is also diagnosed (--outputs x,y); the other runs are only compared with it.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

RUNS = {
    "resnet18_room_1": "ResNet-18 of room_1",
    "resnet18_room_2": "ResNet-18 of room_2",
    "resnet18_all": "ResNet-18 of all rooms",
    "lite0_room_1": "EfficientNet-Lite0 of room_1",
    "lite0_all": "EfficientNet-Lite0 of all rooms",
}
ROOMS = ("room_1", "room_2", "room_3")
BLUE, ORANGE, GREY = "#3b75af", "#d9731a", "#777777"  # told apart by eyes that are blind to red or green
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 90})


def held_out(run: Path) -> pd.DataFrame:
    """The predictions of images that the run was not trained on, with `point`: the label is the far or the near one.

    room_3 holds every photograph twice, under one identifier, with two labels; the far one lies higher.
    """
    rows = pd.read_parquet(run / "predictions.parquet")
    rows = rows[(rows["split"] != "train") & ~rows["path"].str.contains("copy")].copy()
    every = pd.read_parquet(run / "predictions.parquet", columns=["path", "y"])
    every = every[~every["path"].str.contains("copy")]
    highest = every.groupby(photograph_of(every))["y"].transform("min").reindex(rows.index)
    rows["point"] = np.where(rows["y"] == highest, "far", "near")
    return rows


def photograph_of(rows: pd.DataFrame) -> pd.Series:
    """What is left of each name without its label: X_Y_photograph.jpg."""
    return rows["path"].str.extract(r"/\d+_\d+_(.*)\.jpg", expand=False)


def mean_with_interval(values: np.ndarray, draws: int = 2000) -> str:
    """The mean with its 95 % bootstrap interval."""
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), (0.025, 0.975))
    return f"{values.mean():.4f} ({low:.4f} to {high:.4f})"


def label_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each room and kind of label: the error, its bias, and what a straight line for that room leaves of it."""
    found = []
    for (room, point), group in rows.groupby(["environment", "point"]):
        for target in ("x", "y"):
            label, said = group[target].to_numpy(), group[f"predicted_{target}"].to_numpy()
            slope, offset = np.polyfit(said, label, 1)
            left = np.square(slope * said + offset - label).mean()
            error = mean_with_interval(np.square(said - label))
            found.append((room, point, target, len(group), error, (said - label).mean(), slope, left))
    return pd.DataFrame(found, columns="room point target images MSE bias slope left_after_line".split())


def two_labels(run: Path) -> pd.DataFrame:
    """Of room_3: how far the two labels of a photograph lie apart, and the error that no model can go below."""
    rows = pd.read_parquet(run / "predictions.parquet", columns=["path", "environment", "x", "y"])
    rows = rows[(rows["environment"] == "room_3") & ~rows["path"].str.contains("copy")]
    labels = rows.groupby(photograph_of(rows))[["x", "y"]]
    apart = (labels.max() - labels.min()).mean() * 112
    floor = np.square(rows[["x", "y"]] - labels.transform("mean")).mean()
    return pd.DataFrame({"pixels apart": apart, "lowest MSE": floor}).assign(photographs=labels.ngroups)


def new_targets(run: Path, beyond: float = 0.05) -> pd.DataFrame:
    """Of each other room: the error of x where no label of room_1 lies within `beyond`, and elsewhere."""
    labels = (
        pd.read_parquet(run / "predictions.parquet").query("environment == 'room_1'")[["x", "y"]].to_numpy()
    )
    rows = held_out(run).query("point == 'far' and environment != 'room_1'")
    apart = np.linalg.norm(rows[["x", "y"]].to_numpy()[:, None] - labels, axis=2).min(axis=1)
    rows = rows.assign(is_new=apart > beyond, error=np.square(rows["predicted_x"] - rows["x"]))
    found = rows.groupby(["environment", "is_new"])["error"].agg(
        ["size", "sum", lambda of: mean_with_interval(of.to_numpy())]
    )
    shares = found[["size", "sum"]] / found[["size", "sum"]].groupby("environment").transform("sum")
    return shares.set_axis(["of images", "of the error"], axis=1).assign(mse=found.iloc[:, 2])


def swapped(diagnosis: Path) -> pd.DataFrame:
    """How much the squared error changes, image by image, on other scenes: below 0 the picture's own scene did harm."""
    errors = pd.read_csv(diagnosis / "why" / "images.csv")
    errors = errors.pivot_table(index=["target", "environment", "path"], columns="variant", values="error")
    variants = {"control": "most alike scene", "mixed-rand": "of another room", "mean scene": "mean scene"}
    change = errors[list(variants)].sub(errors["original"], axis=0).rename(columns=variants)
    change = change.groupby(["target", "environment"]).agg(lambda of: mean_with_interval(of.to_numpy()))
    return change.assign(original=errors["original"].groupby(["target", "environment"]).mean().round(4))


def draw_errors(runs: Path) -> plt.Figure:
    """Held-out errors of each model in each room, on a scale of powers of ten."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8), sharey=True, layout="constrained")
    for axis, target in zip(axes, ("x", "y"), strict=True):
        for number, (run, name) in enumerate(RUNS.items()):
            rows = pd.read_csv(runs / run / "errors.csv")
            rows = (
                rows[(rows["target"] == target) & (rows["split"] != "train")]
                .set_index("environment")
                .loc[list(ROOMS)]
            )
            places = np.arange(3) + (number - 2) * 0.15
            spread = (rows["mse"] - rows["mse_low"], rows["mse_high"] - rows["mse"])
            axis.errorbar(places, rows["mse"], spread, fmt="osD^v"[number], markersize=4.5, label=name)
        axis.set(yscale="log", xticks=range(3), xticklabels=ROOMS, title=f"mean squared error of {target}")
        axis.grid(axis="y", alpha=0.3)
    floor = two_labels(runs / "resnet18_room_1")["lowest MSE"]
    for axis, lowest in zip(axes, floor, strict=True):
        axis.hlines(
            lowest,
            1.6,
            2.4,
            color="black",
            linestyle=":",
            label="lowest for one answer to both files of a photograph",
        )
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_labels(run: Path) -> plt.Figure:
    """Where the labels of each room lie; in room_3 every eighth pair is joined."""
    rows = pd.read_parquet(run / "predictions.parquet")
    rows = rows[~rows["path"].str.contains("copy")]
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.7), sharex=True, sharey=True, layout="constrained")
    for axis, room in zip(axes, ROOMS, strict=True):
        group = rows[rows["environment"] == room]
        axis.set(title=f"{room}, {len(group)} labels", xlim=(-1, 1), ylim=(1, -1), xlabel="x", aspect="equal")
        if room == "room_3":
            pairs = group.sort_values("y").groupby(photograph_of(group))[["x", "y"]]
            for pair in list(pairs)[::8]:
                axis.plot(*pair[1].to_numpy().T, color=GREY, linewidth=0.5)
            axis.plot(*pairs.last().to_numpy().T, "s", color=ORANGE, markersize=1.5, label="near")
            axis.plot(*pairs.first().to_numpy().T, "o", color=BLUE, markersize=1.5, label="far")
            axis.legend(loc="lower left", markerscale=3, frameon=False)
        else:
            axis.plot(group["x"], group["y"], "o", color=BLUE, markersize=1.5)
    axes[0].set_ylabel("y (the top is −1)")
    return figure


def draw_predictions(rows: pd.DataFrame) -> plt.Figure:
    """Predictions against labels, per room and output."""
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 5), sharex="row", sharey="row", layout="constrained")
    for axis, (target, room) in zip(axes.flat, product(("x", "y"), ROOMS), strict=True):
        group = rows[rows["environment"] == room]
        for point, mark, colour in (("near", "s", ORANGE), ("far", "o", BLUE)):
            of_point = group[group["point"] == point]
            label = f"{point} labels" if room == "room_3" else None
            axis.plot(
                of_point[target],
                of_point[f"predicted_{target}"],
                mark,
                color=colour,
                markersize=1.5,
                label=label,
            )
        ends = (-1, 1) if target == "x" else (-0.85, 0.5)
        axis.plot(ends, ends, color="black", linewidth=0.7)
        axis.set(
            xlim=ends,
            ylim=ends,
            aspect="equal",
            xlabel=f"label, {target}",
            title=room if target == "x" else None,
        )
    axes[0, 2].legend(loc="lower right", markerscale=3, frameon=False)
    axes[0, 0].set_ylabel("prediction, x")
    axes[1, 0].set_ylabel("prediction, y")
    return figure


def scene_table(diagnosis: Path) -> pd.DataFrame:
    """The scene's share of the area, of the single pixels without their sign, and of what moves the output."""
    parts = pd.read_csv(diagnosis / "look" / "contributions.csv").query(
        "part == 'scene' and measure == 'share'"
    )
    pixels = pd.read_csv(diagnosis / "look" / "measures.csv").query("measure == 'mass_accuracy'")
    keys = ["environment", "output"]
    both = parts.merge(pixels, on=keys, suffixes=("", "_inside"))[
        lambda rows: rows["environment"].isin(ROOMS)
    ]
    shares = {
        "area": 1 - both["chance"],
        "pixels": 1 - both["value_inside"],
        "pixels_randomised": 1 - both["randomised"],
        "share": both["value"],
        "low": both["low"],
        "high": both["high"],
    }
    return both[keys].assign(**shares)


def draw_scene(table: pd.DataFrame) -> plt.Figure:
    """What the scene holds of the picture, of its heatmap and of what moves the prediction."""
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.4), sharex=True, sharey=True, layout="constrained")
    for axis, target in zip(axes, ("x", "y"), strict=True):
        rows = table[table["output"] == target].set_index("environment").loc[list(ROOMS)]
        places = np.arange(3)
        axis.plot(rows["area"], places, "d", color="black", fillstyle="none", label="of the picture's area")
        axis.plot(rows["pixels"], places, "x", color=ORANGE, label="of the single pixels, without their sign")
        axis.plot(
            rows["pixels_randomised"],
            places,
            "|",
            color=GREY,
            markersize=10,
            label="the same of random weights",
        )
        spread = (rows["share"] - rows["low"], rows["high"] - rows["share"])
        axis.errorbar(
            rows["share"], places, xerr=spread, fmt="o", color=BLUE, label="of what moves the prediction"
        )
        axis.set(
            title=f"{target}: the scene's share",
            xlim=(0, 0.6),
            yticks=places,
            yticklabels=ROOMS,
            ylim=(2.5, -0.5),
        )
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axis.grid(axis="x", alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def main(runs: Path, out: Path) -> None:
    """All charts into a folder; their numbers on the screen."""
    home = runs / "resnet18_room_1"
    rows, scene = held_out(home), scene_table(home / "diagnosis")
    print(two_labels(home).round(4).to_string())
    for run, name in RUNS.items():
        print(f"\n{name}\n{label_table(held_out(runs / run)).round(4).to_string(index=False)}")
    print(f"\n{new_targets(home).round(2).to_string()}\n\n{swapped(home / 'diagnosis').to_string()}")
    print(f"\n{scene.round(3).to_string(index=False)}")
    drawn = {
        "errors": draw_errors(runs),
        "labels": draw_labels(home),
        "predictions": draw_predictions(rows),
        "scene": draw_scene(scene),
    }
    for name, figure in drawn.items():
        figure.savefig(out / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
