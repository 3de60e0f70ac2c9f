"""What scene and region contribute, by signed sums of DeepSHAP and by exact values, beside shares of absolute pixels.

    python benchmarks/parts.py runs/squeezenet_room_1 runs/squeezenet_all --images 48
    python benchmarks/parts.py runs/demo runs/demo/cured                # the demo's two models

Runs are diagnosed (`look` and `why`; what is there already is not made again), so that the variance shares of swapped
scenes stand beside: do the two methods tell the same story?

A line a model and environment, of the first output: mean |sum| over scene and region, the scene's share of both; the
same of exact Shapley values of the two in the same images; the correlation of the sums with the exact values, scene /
region; the share of absolute pixel attribution outside the region; the scene's share of the variance, by the sums and,
over swapped scenes, by analysis of variance.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shapsight.studies.diagnose.study import diagnose
from shapsight.studies.shared.settings import DiagnoseSettings

HEAD = (
    "model",
    "environment",
    "images",
    "scene, region",
    "scene's share",
    "exact: scene, region",
    "share",
    "correlation",
    "absolute share outside",
    "variance from the scene",
    "on swapped scenes",
)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("runs", type=Path, nargs="+")
    options.add_argument("--images", type=int, default=48)
    options.add_argument("--references", type=int, default=50)
    options.add_argument("--roi", help="by default the run's")
    chosen = options.parse_args()
    warnings.filterwarnings("ignore")
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD), flush=True)
    for run in chosen.runs:
        for row in of_run(run, chosen):
            print("| " + " | ".join(row) + " |", flush=True)


def of_run(run: Path, chosen: argparse.Namespace) -> list[tuple[str, ...]]:
    """One model, diagnosed."""
    how = DiagnoseSettings(
        images=chosen.images, references=chosen.references, only=("look", "why"), roi=chosen.roi
    )
    diagnose(run, settings=how, progress=False)
    look, why = run / "diagnosis" / "look", run / "diagnosis" / "why"
    absolute = pd.read_parquet(look / "measures.parquet")
    absolute = absolute[absolute["measure"] == "mass_accuracy"]
    per_image = pd.read_parquet(look / "contributions_per_image.parquet")
    crossed = pd.read_parquet(why / "crossed.parquet") if (why / "crossed.parquet").is_file() else None
    measures = pd.read_parquet(look / "contributions.parquet")
    return lines(run.name, per_image, measures, absolute, crossed)


def lines(
    name: str,
    per_image: pd.DataFrame,
    measures: pd.DataFrame,
    absolute: pd.DataFrame,
    crossed: pd.DataFrame | None,
) -> list[tuple[str, ...]]:
    """A line an environment, of the first output."""
    output = per_image["output"].iloc[0]
    mine = per_image[per_image["output"] == output]
    found = []
    for environment, rows in mine.groupby("environment", sort=True):
        scene, region = (rows[rows["part"] == part] for part in ("scene", "region"))
        sums, exact = (
            [float(part[column].abs().mean()) for part in (scene, region)] for column in ("sums", "exact")
        )
        same = [correlation(part["sums"], part["exact"]) for part in (scene, region)]
        found.append(
            (
                name,
                str(environment),
                str(len(scene)),
                f"{sums[0]:.3f}, {sums[1]:.3f}",
                f"{sums[0] / sum(sums):.0%}",
                f"{exact[0]:.3f}, {exact[1]:.3f}",
                f"{exact[0] / sum(exact):.0%}",
                f"{same[0]:.2f} / {same[1]:.2f}",
                share(absolute, environment=environment, output=output, outside=True),
                share(
                    measures, environment=environment, output=output, measure="variance_share", part="scene"
                ),
                "–"
                if crossed is None
                else share(
                    crossed.rename(columns={"scene": "value"}), environment=environment, target=output
                ),
            )
        )
    return found


def correlation(one: pd.Series, other: pd.Series) -> float:
    varied = len(one) > 2 and min(np.ptp(one), np.ptp(other)) > 0
    return float(np.corrcoef(one, other)[0, 1]) if varied else float("nan")


def share(table: pd.DataFrame, *, outside: bool = False, **where: Any) -> str:
    """The first row's value, as a share."""
    for name, wanted in where.items():
        table = table[table[name] == wanted]
    if table.empty:
        return "–"
    value = float(table["value"].iloc[0])
    return f"{1 - value if outside else value:.0%}"


if __name__ == "__main__":
    main()
