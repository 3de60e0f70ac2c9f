"""How much better are chosen references than drawn ones, and what would the best choice get?

    python benchmarks/references.py --runs runs --cache cache               # every case, and the tables of all
    python benchmarks/references.py squeeze_room1 demo_0 --pools 5

The runs are those of docs/references.md, which has their commands; --cache keeps what each reference of a pool gives,
some 4 GB, and the errors. reference_cases.py has the cases, reference_methods.py the ways of choosing.
For some images and outputs DeepShap's map against every single reference of the pool is kept. A choice is then a vector
of weights over the pool, and its map a product with those; the truth is the mean over the pool. So every choice, from
the pool and from --pools random halves of it, is judged exactly, by:
    pixels, regions, cells: the map, its sums over the 100 regions that pictures show, and over 8 x 8 cells;
    parts: the sums over the region of interest (below row 48 in photographs of a track, the world's own in the demo,
        else the middle half of the sides) and over the rest;
    base: the mean prediction, over the predictions' standard deviation.
Errors are root mean squares over the numbers, and over the half pools, relative to the truth's root mean square; means
over images and outputs. Of drawn references it is known exactly: S² (1 / K - 1 / P). "as drawn" turns that around: how
many drawn references have the error. Claimed is the standard error from `Likeness`, of 128 pixels as DeepShap keeps
them or of the parts. "smooth" is the share of the values' variance over references that follows the features smoothly,
that of the highest restricted likelihood over 400 images of the pool.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from reference_cases import CASES, Case
from reference_methods import BY, COUNTS, Choice, choices
from torch import Tensor

from shapsight import DeepShap
from shapsight.attribution.deep.sums import GroupSums, cell_sums, part_sums, some_places
from shapsight.attribution.references.choosing import Pool
from shapsight.attribution.references.features import features, pool_blocks
from shapsight.attribution.trees import region_map
from shapsight.models.references import Likeness

AT = 25
METHODS = ["drawn", "herding", "default", "thinning", "k-medoids", *(f"by {by}" for by in BY), "oracle"]
KINDS = ("pixels", "regions", "cells", "parts", "base")


def each_reference(case: Case, image: int) -> tuple[Tensor, Tensor]:
    """The map against every reference of the pool, `(outputs, pool, height, width)`; and which outputs."""
    kept: dict[int, list[Tensor]] = {}

    def keep(
        _: GroupSums, place: tuple[int, int], multipliers: Any, x: Any, b: Any, weights: Tensor | None
    ) -> None:
        kept.setdefault(place[1], []).append(((x[0] - b[0].detach()) * multipliers[0]).sum(1))

    with mock.patch.object(GroupSums, "add", keep):
        found = DeepShap(case.model, case.pool)(case.images[image : image + 1], case.outputs, on_gap="ignore")
    return torch.stack([torch.cat(kept[output]) for output in sorted(kept)]), found.output_index[0]


def maps_of(case: Case, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of all images, from files that are mapped into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in range(len(case.images)):
        if not (folder / f"outputs_{image}.npy").is_file():
            maps, outputs = each_reference(case, image)
            np.save(folder / f"maps_{image}.npy", maps.numpy())
            np.save(folder / f"outputs_{image}.npy", outputs.numpy())
    return [
        (np.load(folder / f"maps_{image}.npy", mmap_mode="r"), np.load(folder / f"outputs_{image}.npy"))
        for image in range(len(case.images))
    ]


def views(values: Tensor, labels: Tensor, inside: Tensor, said: Tensor) -> dict[str, Tensor]:
    """What every reference gives, `(references, numbers)`, by all that errors are judged by."""
    whole = values[:, None]
    return {
        "pixels": values.flatten(1),
        "regions": part_sums(whole, labels.flatten(), int(labels.max()) + 1),
        "cells": cell_sums(whole).flatten(1),
        "parts": part_sums(whole, inside.flatten().long(), 2),
        "base": said[:, None],
    }


class Share(Likeness):
    """The share of values' variance that follows the features smoothly, instead of the ratio that it makes."""

    def _ratio(self, number: int, smooth: float, noise: float, weights: Tensor) -> float:
        return 1 - noise


def judge(case: Case, folder: Path, half_pools: int) -> pd.DataFrame:
    """A line for every image, output, kind, pool, method and number: squared errors, relative to the truth."""
    size, random = len(case.pool), np.random.default_rng(1)
    blocks = pool_blocks(case.model, lambda start, stop: case.pool[start:stop], size)
    maps = maps_of(case, folder)

    def each() -> Iterator[tuple[int, int, str, Tensor]]:
        for image, (of_image, outputs) in enumerate(maps):
            labels = region_map(case.pictures[image].double(), 100)
            for one, output in zip(of_image, outputs.tolist(), strict=True):
                said = blocks["outputs"][:, output]
                for kind, values in views(torch.tensor(one), labels, case.inside[image], said).items():
                    yield image, output, kind, values

    alike = {kind: torch.zeros(size, size) for kind in KINDS}
    for _, _, kind, values in each():
        apart, scatter = values - values.mean(0), float(values.var(0).mean())
        # So weighted, the sum of squared errors falls with the mean of their roots, which is what is judged.
        alike[kind] += apart @ apart.T / (size_of(values, kind) * scatter) ** 0.5
    mixed = [torch.from_numpy(random.permutation(size)) for _ in range(half_pools)]
    pools = [torch.arange(size), *(rows[: size // 2].sort().values for rows in mixed)]
    found = [list(choices(blocks, rows, alike, number)) for number, rows in enumerate(pools)]
    whole = Pool.of(features(blocks, "features and outputs"), torch.full((size,), 1 / size), 0)
    some = torch.from_numpy(random.permutation(size)[:400])
    share, even, lines = Share(**vars(whole.likeness(some))), torch.full((len(some),), 1 / len(some)), []
    for image, output, kind, values in each():
        where = {"image": image, "output": output, "kind": kind}
        smooth = share.variance_ratio(kept(values[some]), even)
        lines.append(where | {"method": "smooth share", "error": smooth})
        for number, (rows, chosen) in enumerate(zip(pools, found, strict=True)):
            here = where | {"pool": number, "size": len(rows)}
            lines += [here | line for line in errors(values, kind, rows, chosen)]
    return pd.DataFrame(lines)


def kept(values: Tensor) -> Tensor:
    return values[:, some_places(values.shape[1:])[0]]


def size_of(values: Tensor, kind: str) -> float:
    """What squared errors are relative to."""
    return float(values.var(0).mean() if kind == "base" else values.mean(0).square().mean())


def errors(values: Tensor, kind: str, rows: Tensor, chosen: list[Choice]) -> Iterator[dict[str, Any]]:
    """Of one image and output: squared errors of the choices from one pool, and what is claimed of the default."""
    truth, scatter, scale = (
        values[rows].mean(0),
        float(values[rows].var(0).mean()),
        size_of(values[rows], kind),
    )
    weights = torch.stack([torch.zeros(len(values)).index_add(0, c.rows, c.weights.float()) for c in chosen])
    squares = (weights @ values - truth).square().mean(1) / scale
    for choice, square in zip(chosen, squares.tolist(), strict=True):
        if choice.knows not in (None, kind):
            continue
        line = {"method": choice.method, "k": choice.k, "error": square, "seconds": choice.seconds}
        if choice.likeness is not None:
            mine = values[choice.rows]
            ratio = choice.likeness.variance_ratio(kept(mine), choice.weights.double())
            line["claimed"] = ratio * mine.var(0).mean().item() / choice.k / scale
        yield line
    for k in sorted({choice.k for choice in chosen}):
        error = scatter / scale * (1 / k - 1 / len(rows))
        yield {"method": "drawn", "k": k, "error": error}


def tables(cases: dict[str, pd.DataFrame], is_whole: bool) -> None:
    """Methods at 25, the default at every number, and what it claims; from all of each pool, or the mean of halves."""
    methods, numbers, claims = [], [], []
    for name, lines in cases.items():
        size = int(lines.loc[lines["pool"] == (0 if is_whole else 1), "size"].iloc[0])
        some = lines[(lines["pool"] == 0) if is_whole else (lines["pool"] > 0)]
        squares = some.groupby(["kind", "k", "method", "image", "output"])[["error", "claimed"]].mean()
        found = (squares["error"] ** 0.5).groupby(["kind", "k", "method"]).mean().unstack()
        expected = (squares["claimed"] ** 0.5).groupby(["kind", "k", "method"]).mean().unstack()["default"]
        says = ((squares["claimed"] / squares["error"]) ** 0.5).dropna().groupby(["kind", "k"])
        says = says.quantile([0.5, 0.1, 0.9]).unstack()
        seconds = some.groupby(["method", "k"])["seconds"].mean()
        smooth = lines[lines["method"] == "smooth share"].groupby("kind")["error"].mean()
        for kind in KINDS:
            errors, count = found.loc[kind], pd.Series(found.loc[kind].index, found.loc[kind].index)
            of_drawn = errors["drawn"] ** 2 / (1 / count - 1 / size)
            errors = errors.assign(expected=expected.loc[kind])
            as_drawn = errors.pow(2).div(of_drawn, axis=0).add(1 / size).rdiv(1)
            each = [f"{error:.3f}" for error in errors.loc[AT, METHODS]]
            both = [f"{as_drawn.loc[AT, method]:.0f}" for method in ("default", "expected", "oracle")]
            methods.append([name, kind, *each, *both, f"{smooth[kind]:.2f}"])
            over = zip(errors["default"], as_drawn["default"], strict=True)
            worst = (errors["default"] / errors["drawn"]).max()
            numbers.append([name, kind, f"{worst:.2f}", *(f"{error:.3f} ({n:.0f})" for error, n in over)])
            quantiles = says.loc[kind].to_numpy()
            claims.append([name, kind, *("{:.2f} ({:.2f}–{:.2f})".format(*row) for row in quantiles)])
        times = (f"{seconds.get((method, AT), 0):.2f}" for method in METHODS[1:])
        methods.append([name, "seconds", "", *times])
    write([*METHODS, "default as drawn", "as it expects", "oracle as drawn", "smooth"], methods)
    write(["worst / drawn", *(str(k) for k in COUNTS)], numbers)
    write([f"claimed, {k}" for k in COUNTS], claims)


def write(columns: list[str], rows: list[list[str]]) -> None:
    head = ["case", "error of", *columns]
    padded = [row + [""] * (len(head) - len(row)) for row in rows]
    print("\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *padded]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default="all", choices=[*CASES, "all"])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--pools", type=int, default=20, help="random halves of each pool")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    judged = {}
    for name in CASES if "all" in options.cases else options.cases:
        kept, folder = options.cache / name / f"errors_{options.pools}.parquet", options.cache / name
        if not kept.is_file():
            judge(CASES[name](options.runs), folder, options.pools).to_parquet(kept)
        judged[name] = pd.read_parquet(kept)
    for is_whole in (False, True):
        print("All of each pool\n" if is_whole else f"Mean over {options.pools} halves of each pool\n")
        tables(judged, is_whole)


if __name__ == "__main__":
    main()
