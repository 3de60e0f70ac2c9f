"""How good an explanation is for how many evaluations: PartitionShap's coins and trees against shap's descent.

    python benchmarks/budget.py --photos 10 --budgets 100 300 1000 --results budget.jsonl
    python benchmarks/budget.py --size 112 --cells 14 7      # a quarter of the time, and the same grids of cells
    python benchmarks/budget.py --object                     # only the ideal model, which needs no weights

For every photograph (SqueezeNet-1.1, its highest class, blur(128,128)), method and budget:
    error_28, error_14: root mean square error of the values of 28- and 14-pixel cells against converged values of
        the same tree, relative to the size of those. Converged values come from --converged evaluations with other
        coins, on the tree cut off at the smallest of --cells; --truths names a folder that keeps them.
    insertion, deletion: area under the curve of the class's probability (RISE, Petsiuk et al. 2018) when pixels come
        into the blurred image, or go from the photograph, in the order of their values; 32 steps.
With --object, the ideal model: its output is the share of a drawn object's pixels that is visible, and the score is
the intersection over union of the object with as many pixels of the largest value. The object is a star of one colour,
or ("textured") one cut out of another photograph.

"shap" is contexts="both" on the axis tree, which tests/test_partition_shap.py proves to give the numbers of
`shap.PartitionExplainer`. "shap_bpt" is the library of ShapBPT (Rashid and Amparore) with its data-aware tree, if it is
installed (`pip install --no-deps shap_bpt`); its two evaluations of the whole and the empty image count here as well,
and it has no error, since its tree's exact values are others. Lines already in the results are not computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from shapsight import PartitionShap, trees
from shapsight.attribution.maskers import as_masker

SHARED = Path(os.environ.get("SHAPSIGHT_SHARED", Path(__file__).parents[2] / "shared"))
MASKER = "blur(128,128)"  # at 224 pixels; at other sizes in proportion
METHODS = {"shap": ("axis", "both"), "auto, axis": ("axis", "auto"), "auto, regions": ("regions", "auto")}
METHODS |= {"shap_bpt": ("shap_bpt", "both")} if importlib.util.find_spec("shap_bpt") else {}
IMAGENET = [torch.tensor(numbers).view(3, 1, 1) for numbers in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
STEPS = 32


@dataclass(frozen=True, eq=False)
class Coarse:
    """A tree that ends at nodes of a cell's size, so that converged values of cells are affordable."""

    node: trees.Node
    smallest: int = 14 * 14

    @property
    def index(self) -> tuple[Any, ...]:
        return self.node.index

    @property
    def size(self) -> int:
        return self.node.size

    def halves(self) -> tuple[Coarse, Coarse] | None:
        index = self.node.index
        pixels = self.node.size if not isinstance(index[1], slice) else self.node.size // 3
        halves = self.node.halves() if pixels > self.smallest else None
        return (
            None if halves is None else (Coarse(halves[0], self.smallest), Coarse(halves[1], self.smallest))
        )


class Remembering(nn.Module):
    """A model that is not asked twice about the same image: methods share most of their first evaluations."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.known: dict[bytes, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        keys = [hashlib.blake2b(i.contiguous().numpy().tobytes(), digest_size=12).digest() for i in images]
        new = [row for row, key in enumerate(keys) if key not in self.known]
        if new:
            self.known.update(zip([keys[row] for row in new], self.model(images[new]), strict=True))
        return torch.stack([self.known[key] for key in keys])


def squeezenet() -> Remembering:
    weights = load_file(SHARED / "models" / "squeezenet1_1_imagenet.safetensors")
    model = squeezenet1_1()
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return Remembering(model.eval())


def masker(size: int) -> str:
    return MASKER if size == 224 else f"blur({size * 128 // 224},{size * 128 // 224})"


def photograph(path: Path, size: int) -> Tensor:
    pixels = np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
    mean, std = IMAGENET
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - mean) / std


def explained(model: nn.Module, image: Tensor, method: str, budget: int, output: int) -> Tensor:
    tree, contexts = METHODS[method]
    if tree == "shap_bpt":
        hide = as_masker(masker(image.shape[1])).for_image(image)

        def values(masks: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return model(hide(torch.from_numpy(masks)[:, None]))[:, [output]].double().numpy()

        mean, std = IMAGENET
        return by_shap_bpt(
            values, ((image * std + mean) * 255).round().byte().permute(1, 2, 0).numpy(), budget
        )
    explanation = PartitionShap(model, masker(image.shape[1]), tree, budget, contexts=contexts)(
        image, outputs=output
    )
    return explanation.heatmap()[0, 0].double()


def by_shap_bpt(values: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, budget: int) -> Tensor:
    """ShapBPT's values of one output, given what the model says when some pixels are visible."""
    import shap_bpt

    explainer = shap_bpt.Explainer(values, np.ascontiguousarray(pixels), 1)
    return torch.from_numpy(explainer.explain_instance(budget - 2)[0])


def converged(
    model: nn.Module, image: Tensor, name: str, tree: str, output: int, options: argparse.Namespace
) -> Tensor:
    smallest = min(options.cells)
    kept = options.truths and options.truths / (
        f"{name}.{tree}.{image.shape[1]}.{smallest}.{options.converged}.npy"
    )
    if kept and kept.exists():
        return torch.from_numpy(np.load(kept))
    root = Coarse(trees.as_tree(tree)(image), smallest**2)
    explainer = PartitionShap(model, masker(image.shape[1]), root, options.converged, seed=1000)
    heatmap = explainer(image, outputs=output).heatmap()[0, 0].double()
    if kept:
        options.truths.mkdir(parents=True, exist_ok=True)
        np.save(kept, heatmap.numpy())
    return heatmap


def cells(heatmap: Tensor, cell: int) -> Tensor:
    height, width = heatmap.shape
    return heatmap.reshape(height // cell, cell, width // cell, cell).sum((1, 3))


def error(heatmap: Tensor, truth: Tensor, cell: int) -> float:
    difference, size = cells(heatmap - truth, cell), cells(truth, cell)
    return float((difference.square().mean() / size.square().mean()).sqrt())


def faithfulness(model: nn.Module, image: Tensor, heatmap: Tensor, output: int) -> dict[str, float]:
    order = heatmap.flatten().argsort(descending=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    limits = torch.linspace(0, len(order), STEPS + 1)[:, None]
    first = (rank[None] < limits).reshape(-1, 1, *heatmap.shape)
    hide = as_masker(masker(image.shape[1])).for_image(image)
    with torch.inference_mode():
        insertion, deletion = (model(hide(shown)).softmax(1)[:, output] for shown in (first, ~first))
    return {"insertion": float(insertion.mean()), "deletion": float(deletion.mean())}


def photo_rows(options: argparse.Namespace, have: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    for path in sorted((SHARED / "data" / "imagenet50").glob("*.jpg"))[: options.photos]:
        wanted = [(m, b) for m in options.methods for b in options.budgets if (path.stem, m, b) not in have]
        if not wanted:
            continue
        model, image = squeezenet(), photograph(path, options.size)
        output = int(model(image[None]).argmax())
        names = {METHODS[method][0] for method, _ in wanted} & set(options.converged_trees)
        truths = {tree: converged(model, image, path.stem, tree, output, options) for tree in sorted(names)}
        for method, budget in wanted:
            heatmap = explained(model, image, method, budget, output)
            truth = truths.get(METHODS[method][0])
            errors = (
                {}
                if truth is None
                else {f"error_{cell}": error(heatmap, truth, cell) for cell in options.cells}
            )
            scores = faithfulness(model, image, heatmap, output)
            yield {"photo": path.stem, "method": method, "budget": budget, **errors, **scores}


def with_object(image: np.ndarray, number: int, filling: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A star drawn on a photograph, and where it is: filled from another one, or with one colour and some shading."""
    chance = np.random.default_rng(number)
    angles = np.linspace(0, 2 * np.pi, 11)[:-1] + chance.uniform(0, 2 * np.pi)
    radii = np.where(np.arange(10) % 2, 0.45, 1.0) * chance.uniform(35, 60)
    centre = chance.uniform(70, 154, 2)
    corners = (centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]).astype(np.int32)
    where = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(where, [corners], 1)
    if filling is None:
        shading = chance.normal(0, 6, image.shape)
        filling = chance.uniform(0, 255, 3) + shading
    return np.where(where[..., None] == 1, filling, image).clip(0, 255), where.astype(bool)


def object_rows(options: argparse.Namespace, have: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    paths = sorted((SHARED / "data" / "imagenet50").glob("*.jpg"))[: options.photos]
    photographs = [
        np.asarray(Image.open(path).convert("RGB").resize((224, 224)), dtype=float) for path in paths
    ]
    for number, path in enumerate(paths):
        for kind in ("object", "textured"):
            filling = photographs[(number + 3) % len(paths)] if kind == "textured" else None
            image, where = with_object(photographs[number], number, filling)
            for method in METHODS:
                for budget in options.budgets:
                    if (path.stem, f"{kind}, {method}", budget) not in have:
                        score = overlap(image, where, method, budget)
                        yield {
                            "photo": path.stem,
                            "method": f"{kind}, {method}",
                            "budget": budget,
                            "iou": score,
                        }


def overlap(image: np.ndarray, where: np.ndarray, method: str, budget: int) -> float:
    """Intersection over union of an object with as many pixels of the largest values for the ideal model."""
    tree, contexts = METHODS[method]

    def ideal(images: np.ndarray) -> np.ndarray:
        return np.asarray((images[:, where] == image[where]).all(-1).mean(1))

    def of_masks(masks: np.ndarray) -> np.ndarray:
        return np.asarray(masks[:, where].mean(1, keepdims=True))

    if tree == "shap_bpt":
        heatmap = by_shap_bpt(of_masks, image.round().astype(np.uint8), budget)
    else:
        heatmap = PartitionShap(ideal, -1.0, tree, budget, contexts=contexts)(image).heatmap()[0, 0]
    found = np.zeros(where.size, bool)
    found[heatmap.flatten().topk(int(where.sum())).indices.numpy()] = True
    both = (found.reshape(where.shape) & where).sum()
    return float(both / (2 * where.sum() - both))


def show(rows: list[dict[str, Any]]) -> None:
    errors = sorted(
        {key for row in rows for key in row if key.startswith("error_")}, key=lambda k: -int(k[6:])
    )
    scores = [*errors, "insertion", "deletion", "iou"]
    print(f"{'method':24}{'budget':>8}" + "".join(f"{score:>11}" for score in scores) + f"{'photos':>8}")
    for method in dict.fromkeys(row["method"] for row in rows):
        for budget in sorted({row["budget"] for row in rows if row["method"] == method}):
            those = [row for row in rows if (row["method"], row["budget"]) == (method, budget)]
            means = [np.mean([row[s] for row in those]) if s in those[0] else None for s in scores]
            line = "".join(f"{'':>11}" if mean is None else f"{mean:11.3f}" for mean in means)
            print(f"{method:24}{budget:8}{line}{len(those):8}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=[50, 100, 300, 500, 1000, 2000, 5000])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--converged", type=int, default=14000, help="evaluations of the converged values")
    parser.add_argument("--converged-trees", nargs="*", default=["axis", "regions"])
    parser.add_argument("--truths", type=Path, help="a folder that keeps converged values for the next run")
    parser.add_argument("--cells", type=int, nargs="+", default=[28, 14], help="sides of cells, in pixels")
    parser.add_argument("--size", type=int, default=224, help="side of the photographs, in pixels")
    parser.add_argument("--object", action="store_true", help="the ideal model instead of SqueezeNet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("budget.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    rows = [json.loads(line) for line in lines]
    have = {(row["photo"], row["method"], row["budget"]) for row in rows}
    for row in (object_rows if options.object else photo_rows)(options, have):
        rows.append(row)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    show(rows)


if __name__ == "__main__":
    main()
