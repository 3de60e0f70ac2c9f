"""What a budget can buy at all: exact Owen values of a 16 × 16 grid of cells, and the best that an oracle could do.

    python benchmarks/exact.py --photos sim_n02010272_1613 --size 112 --tables tables     # 43,692 evaluations a photo

Every coalition that the axis tree of the grid can ask about is evaluated once (SqueezeNet-1.1, the highest class,
blur(128,128) in proportion) and kept in --tables. PartitionShap then plays on the table, so many seeds cost nothing.
Errors are root mean squares over cells, relative to the values', averaged over seeds.

"oracle" is a bound for whoever splits nodes in random contexts and orders: it knows each node's true difference
between its halves and the variance of a single evaluation of it, spends the budget one evaluation at a time where the
expected error falls most, and shrinks every estimate as is best. No estimator knows these numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from budget import SHARED, error, masker, photograph, squeezenet
from numpy import ndarray
from torch import Tensor

from shapsight import PartitionShap, trees
from shapsight.attribution.maskers import as_masker
from shapsight.attribution.trees import Node

GRID = 16
NOTHING, ALL = np.zeros((GRID, GRID), bool), np.ones((GRID, GRID), bool)


def key(mask: ndarray) -> bytes:
    return np.packbits(mask).tobytes()


def with_node(mask: ndarray, node: Node) -> ndarray:
    result = mask.copy()
    result[node.index[1:]] = True
    return result


def levels() -> list[list[tuple[Node, list[ndarray]]]]:
    """For every depth of the tree, its nodes with all their contexts."""
    level: list[tuple[Node, list[ndarray]]] = [(trees.axis(torch.zeros(1, GRID, GRID)), [NOTHING])]
    found = []
    while level:
        found.append(level)
        level = [
            (half, contexts + [with_node(mask, other) for mask in contexts])
            for node, contexts in level
            if (halves := node.halves()) is not None
            for half, other in (halves, halves[::-1])
        ]
    return found


def table(name: str, options: argparse.Namespace) -> dict[bytes, float]:
    """What the network says of every coalition of the tree."""
    masks = {key(m): m for m in (NOTHING, ALL)}
    for level in levels()[:-1]:
        for node, contexts in level:
            for half in node.halves() or ():
                masks |= {key(m): m for m in (with_node(context, half) for context in contexts)}
    kept = options.tables / f"{name}.{options.size}.npy"
    if not kept.exists():
        options.tables.mkdir(parents=True, exist_ok=True)
        np.save(kept, answers(name, np.stack(list(masks.values())), options.size))
    return dict(zip(masks, np.load(kept).tolist(), strict=True))


def answers(name: str, masks: ndarray, size: int) -> ndarray:
    model = squeezenet().model.to(memory_format=torch.channels_last)
    image = photograph(SHARED / "data" / "imagenet50" / f"{name}.jpg", size)
    hide = as_masker(masker(size)).for_image(image)
    with torch.inference_mode():
        output = int(model(image[None]).argmax())
        shown = torch.from_numpy(masks)[:, None]
        parts = [
            model(hide(part.repeat_interleave(size // GRID, 2).repeat_interleave(size // GRID, 3)))[:, output]
            for part in torch.split(shown, 10)
        ]
    return torch.cat(parts).double().numpy()


def splits(worth: dict[bytes, float]) -> tuple[Tensor, ndarray, ndarray, ndarray, ndarray]:
    """Exact values of the cells; and for each node the mean and variance of what its split shows, size, contexts."""
    values, rows = torch.zeros(GRID, GRID, dtype=torch.float64), []
    for level in levels():
        for node, contexts in level:
            low = np.array([worth[key(m)] for m in contexts])
            high = np.array([worth[key(with_node(m, node))] for m in contexts])
            halves = node.halves()
            if halves is None:
                values[node.index[1:]] = (high - low).mean()
                continue
            one, two = (np.array([worth[key(with_node(m, half))] for m in contexts]) for half in halves)
            shown = np.concatenate([2 * one - low - high, low + high - 2 * two])
            rows.append((shown.mean(), shown.var(), node.size, len(shown)))
    return values, *np.array(rows).T


def oracle(worth: dict[bytes, float], budgets: list[int]) -> dict[int, float]:
    values, means, variances, sizes, most = splits(worth)

    def left(asked: ndarray) -> ndarray:
        noise = variances * np.clip(1 - asked / most, 0, 1) / np.maximum(asked, 1e-9)
        shrunk = means**2 * noise / np.maximum(means**2 + noise, 1e-30)
        return np.asarray(np.where(asked == 0, means**2, shrunk) / sizes)

    asked = np.zeros(len(means))
    found = {}
    for spent in range(3, max(budgets) + 1):
        gain = np.where(asked < most, left(asked) - left(asked + 1), -1)
        asked[gain.argmax()] += 1
        if spent in budgets:
            found[spent] = float(np.sqrt(left(asked).sum() / float(values.square().sum())))
    return found


def played(worth: dict[bytes, float], contexts: str, budget: int, seed: int) -> Tensor:
    """PartitionShap on an image of ones in which 0 is hidden: what is visible is the coalition."""

    def predict(images: ndarray) -> ndarray:
        return np.array([worth[key(image[:, :, 0] > 0)] for image in images])

    image = torch.ones(1, GRID, GRID, dtype=torch.float64)
    explainer = PartitionShap(predict, 0.0, "axis", budget, contexts=contexts, seed=seed)  # type: ignore[arg-type]
    return explainer(image).heatmap()[0, 0].double()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", nargs="+", default=["sim_n02010272_1613", "sim_n01549053_4208"])
    parser.add_argument("--size", type=int, default=112, help="side of the photographs, a multiple of 16")
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 300, 500, 1000, 2000, 5000])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--tables", type=Path, default=Path("tables"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.photos:
        worth = table(name, options)
        values, bound = splits(worth)[0], oracle(worth, options.budgets)
        print(f"{name}, {options.size} pixels: error on cells of 1/8 and 1/16 of the side")
        for budget in options.budgets:
            line = f"{budget:6}"
            for contexts in ("both", "auto"):
                runs = [played(worth, contexts, budget, seed) for seed in range(options.seeds)]
                errors = [np.mean([error(run, values, cell) for run in runs]) for cell in (2, 1)]
                line += f"   {contexts} {errors[0]:.3f} {errors[1]:.3f}"
            print(f"{line}   oracle       {bound[budget]:.3f}", flush=True)


if __name__ == "__main__":
    main()
