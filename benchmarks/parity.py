"""The largest difference between PartitionShap(contexts="both") and shap.PartitionExplainer on a real photograph.

    python benchmarks/parity.py --budgets 100                       # four maskers, three shapes of image
    python benchmarks/parity.py --budgets 5000 --maskers constant   # minutes

SqueezeNet-1.1 as a function of numpy images, three outputs. The difference is of single values, absolute and as a
share of the sum of an output's absolute values. Ties between shares are broken by chance on both sides; a share
that is tied shows as a large difference.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable

import numpy as np
import torch
from budget import SHARED, squeezenet
from PIL import Image

from shapsight import PartitionShap

MASKERS = ("blur(128,128)", "inpaint_telea", "inpaint_ns", "constant")
SHAPES = ("224x224x3", "224x160x3", "224x224x1")
COLUMNS = [132, 131, 135]
GREY = 90.0


def predictor() -> Callable[[np.ndarray], np.ndarray]:
    model = squeezenet().model
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def predict(images: np.ndarray) -> np.ndarray:
        coloured = images if images.shape[3] == 3 else images.repeat(3, axis=3)
        scaled = torch.from_numpy((coloured / 255 - mean) / std).float().permute(0, 3, 1, 2)
        with torch.inference_mode():
            return model(scaled.contiguous(memory_format=torch.channels_last)).numpy()

    return predict


def photograph(name: str, shape: str) -> np.ndarray:
    height, width, channels = map(int, shape.split("x"))
    picture = Image.open(SHARED / "data" / "imagenet50" / f"{name}.jpg")
    picture = picture.convert("RGB" if channels == 3 else "L").resize((width, height))
    return np.asarray(picture, dtype=float).reshape(height, width, channels)


def difference(
    predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, masker: str, budget: int, batch: int
) -> tuple[float, float]:
    import shap

    theirs_masker = np.full(image.shape, GREY) if masker == "constant" else masker
    explainer = shap.PartitionExplainer(predict, shap.maskers.Image(theirs_masker, image.shape))
    found = explainer(image[None], max_evals=budget, batch_size=batch, outputs=COLUMNS, silent=True)
    theirs = np.moveaxis(found.values[0], (3, 2), (0, 1))
    ours_masker = GREY if masker == "constant" else masker
    ours = PartitionShap(predict, ours_masker, "axis", budget, batch, "both")(image, outputs=COLUMNS)
    apart = np.abs(theirs - ours.values[0].numpy()).max((1, 2, 3))
    return float(apart.max()), float((apart / np.abs(theirs).sum((1, 2, 3))).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 500, 5000])
    parser.add_argument("--maskers", nargs="+", default=list(MASKERS), choices=list(MASKERS))
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), help="height x width x channels")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--photo", default="sim_n02010272_1613")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    predict = predictor()
    for shape, masker, budget in itertools.product(options.shapes, options.maskers, options.budgets):
        apart, share = difference(predict, photograph(options.photo, shape), masker, budget, options.batch)
        print(
            f"{shape:12} {masker:15} {budget:5} evaluations  {apart:.1e}  {share:.1e} of the sum", flush=True
        )


if __name__ == "__main__":
    main()
