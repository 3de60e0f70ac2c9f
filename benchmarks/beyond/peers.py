"""A transformer and a detector that answer by one planted patch: who finds it, beside shapiq, shap_bpt and grad-cam.

    pip install --no-deps --target peers shapiq grad-cam ttach shap-bpt     # not into your own environment
    PYTHONPATH=peers python benchmarks/beyond/peers.py

The transformer is that of `docs/tokens.py`; it tells the colour of a patch among 64. The detector, known by
construction, finds the reddest of 64 cells. Each method has 400 evaluations an image and hides the same way where it
hides: tokens taken away, or the picture's mean colour. "found": the planted patch has the largest sum of values.
"gap": what the values miss of prediction - base value, as a share of it; NaN where a method promises no sum.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))  # before the benchmark of that name
from tokens import PATCH, SIDE, TESTED, pictures, trained

import shapsight as ss
from shapsight.attribution.targets import Box

HEADING = "| method | found | its share | gap | time |\n| --- | --- | --- | --- | --- |"
EVALUATIONS, CELLS = 400, (SIDE // PATCH) ** 2
Found = tuple[np.ndarray, float]  # the values of an image, (height, width), and prediction - base value


class Detector(nn.Module):
    """The reddest cell as a box of label 1, and how red it is as its score; as torchvision's detectors answer."""

    def __init__(self) -> None:
        super().__init__()
        self.redness = nn.Conv2d(3, 1, PATCH, PATCH)
        with torch.no_grad():
            self.redness.weight.copy_(torch.tensor([1.0, -0.5, -0.5])[None, :, None, None] / PATCH**2)
            self.redness.bias.zero_()

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        """A box for each image."""
        answers = []
        for cells in torch.sigmoid(20 * (self.redness(images).flatten(1) - 0.4)):
            best = int(cells.argmax())
            top, left = best // 8 * PATCH, best % 8 * PATCH
            box = torch.tensor([[left, top, left + PATCH, top + PATCH]], dtype=torch.float)
            answers.append({"boxes": box, "labels": torch.tensor([1]), "scores": cells[best : best + 1]})
        return answers


def with_red(count: int) -> tuple[Tensor, Tensor]:
    """Pictures with a red patch, and where."""
    images, colour, place = pictures(6 * count, torch.Generator().manual_seed(11))
    is_red = (colour == 0).nonzero().flatten()[:count]
    return images[is_red], place[is_red]


def of_cells(values: np.ndarray) -> np.ndarray:
    """The sum of each cell."""
    return values.reshape(8, PATCH, 8, PATCH).sum((1, 3)).ravel()


def ours(explainer: Any, image: Tensor, output: Any) -> Found:
    """The values of one of our explainers."""
    found = explainer(image[None], output)
    return found.heatmap()[0, 0].numpy(), float((found.predictions - found.base_values)[0, 0])


def by_shapiq(model: Any, image: Tensor, colour: int) -> Found:
    """KernelSHAP over 64 players that are tokens, taken away by hand."""
    import shapiq

    with torch.no_grad():
        tokens = model._pos_embed(model.patch_embed(image[None]))

    def game(coalitions: np.ndarray) -> np.ndarray:
        said = []
        for kept in torch.from_numpy(np.atleast_2d(coalitions)).bool():
            left = torch.cat([tokens[:, :1], tokens[:, 1:][:, kept]], 1)
            with torch.no_grad():
                said.append(float(model.forward_head(model.norm(model.blocks(left)))[0, colour]))
        return np.array(said)

    ends = game(np.stack([np.zeros(CELLS), np.ones(CELLS)]))
    values = shapiq.KernelSHAP(n=CELLS, random_state=0).approximate(EVALUATIONS, game).get_n_order_values(1)
    return np.kron(values.reshape(8, 8), np.ones((PATCH, PATCH))) / PATCH**2, float(ends[1] - ends[0])


def by_shap_bpt(ask: Callable[[Tensor], np.ndarray], image: Tensor, method: str) -> Found:
    """shap_bpt's Owen values, of one number an image."""
    import shap_bpt

    mean = image.mean((1, 2), keepdim=True)

    def masked(masks: np.ndarray) -> np.ndarray:
        visible = torch.from_numpy(np.asarray(masks)).bool()[:, None]
        return ask(torch.where(visible, image, mean))[:, None]

    photograph = (image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    explainer = shap_bpt.Explainer(masked, photograph, 1)
    values = explainer.explain_instance(EVALUATIONS, method=method)
    return values[0], float(explainer.base_f_S[0] - explainer.base_f_0[0])


def by_grad_cam(model: nn.Module, layer: nn.Module, image: Tensor, target: Any, reshape: Any = None) -> Found:
    """GradCAM's map, which promises no sum."""
    from pytorch_grad_cam import GradCAM

    with GradCAM(model, [layer], reshape_transform=reshape) as cam:
        return cam(image[None], [target])[0], float("nan")


def line(name: str, explain: Callable[[int], Found], place: Tensor) -> None:
    """What a method comes to over all pictures."""
    started, hits, shares, gaps = time.perf_counter(), 0, [], []
    for number in range(len(place)):
        values, change = explain(number)
        cells, patch = of_cells(values), int(place[number])
        hits += int(cells.argmax() == patch)
        shares.append(cells[patch] / max(float(np.abs(cells).sum()), 1e-12))
        gaps.append(abs(change - values.sum()) / max(abs(change), 1e-12))
    seconds = (time.perf_counter() - started) / len(place)
    print(
        f"| {name} | {hits} of {len(place)} | {np.mean(shares):.0%} | {np.median(gaps):.1e} | {seconds:.2f} s |",
        flush=True,
    )


def transformer() -> None:
    """Every method on the transformer."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model: Any = trained()
    images, colour, place = pictures(TESTED, torch.Generator().manual_seed(7))
    which = colour.tolist()
    regions = ss.RegionShap(model, "tokens", "patches", "kernel", max_evals=EVALUATIONS)
    owen = ss.PartitionShap(model, "tokens", max_evals=EVALUATIONS)
    painted = ss.PartitionShap(model, "mean", max_evals=EVALUATIONS)

    def ask(n: int) -> Callable[[Tensor], np.ndarray]:
        return lambda given: model(given).detach()[:, which[n]].numpy()

    def as_grid(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].reshape(len(tokens), 8, 8, -1).permute(0, 3, 1, 2)

    print(f"\ntransformer, {TESTED} pictures\n\n{HEADING}")
    line("shapsight RegionShap, kernel, tokens", lambda n: ours(regions, images[n], which[n]), place)
    line("shapsight PartitionShap, tokens", lambda n: ours(owen, images[n], which[n]), place)
    line("shapsight PartitionShap, mean colour", lambda n: ours(painted, images[n], which[n]), place)
    line("shapiq KernelSHAP, tokens", lambda n: by_shapiq(model, images[n], which[n]), place)
    for method in ("BPT", "AA"):
        line(f"shap_bpt {method}, mean colour", lambda n, m=method: by_shap_bpt(ask(n), images[n], m), place)
    layer = model.blocks[-1].norm1
    line(
        "grad-cam GradCAM, last block",
        lambda n: by_grad_cam(model, layer, images[n], ClassifierOutputTarget(which[n]), as_grid),
        place,
    )


def detector() -> None:
    """Every method on the detector."""
    from pytorch_grad_cam.utils.model_targets import FasterRCNNBoxScoreTarget

    model, (images, place) = Detector().eval(), with_red(TESTED)
    boxes = [Box.of(model(image[None])) for image in images]
    owen = ss.PartitionShap(model, "mean", max_evals=EVALUATIONS)

    def ask(n: int) -> Callable[[Tensor], np.ndarray]:
        box = torch.tensor([boxes[n].xyxy])

        def scores(given: Tensor) -> np.ndarray:
            import torchvision

            with torch.no_grad():
                said = model(given)
            return np.array(
                [float(torchvision.ops.box_iou(box, a["boxes"]).mul(a["scores"]).max()) for a in said]
            )

        return scores

    def target(n: int) -> Any:
        return FasterRCNNBoxScoreTarget([1], [np.array(boxes[n].xyxy)])

    print(f"\ndetector, {len(images)} pictures\n\n{HEADING}")
    line("shapsight PartitionShap, Box", lambda n: ours(owen, images[n], boxes[n]), place)
    for method in ("BPT", "AA"):
        line(
            f"shap_bpt {method}, its score by hand",
            lambda n, m=method: by_shap_bpt(ask(n), images[n], m),
            place,
        )
    line(
        "grad-cam GradCAM, its only convolution",
        lambda n: by_grad_cam(model, model.redness, images[n], target(n)),
        place,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformer()
    detector()
