"""Agreement: do methods that work differently find the same, and do they find what exact Shapley values say?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.diagnosis.faithfulness.infidelity import pearson
from shapsight.diagnosis.faithfulness.similarity import rank_correlation
from shapsight.errors import ExplainerError


def agreement(explanations: Mapping[str, Explanation], *, block: int = 32) -> pd.DataFrame:
    """The rank correlation of every two methods' block values, image by image.

        agreement({"DeepSHAP": deep, "GradientSHAP": gradient, "PartitionSHAP": partition}, block=32)

    Columns: `first, second, image, output, rank_correlation`: Spearman's, in [-1, 1], of the sums over squares of
    `block` pixels; NaN where one of them is the same everywhere. Single pixels would compare noise.
    Raises `ExplainerError` where the explanations are not of the same images and outputs.
    """
    names = list(explanations)
    if len(names) < 2:
        raise ExplainerError("agreement needs at least two explanations to compare")
    first = explanations[names[0]]
    labels = block_map(first.values.shape[3:], block)
    for name in names[1:]:
        _check(first, explanations[name], names[0], name)
    sums = {name: _rows(block_sums(e.heatmap(), labels)) for name, e in explanations.items()}
    parts = [
        pd.DataFrame(
            {
                "first": one,
                "second": two,
                "image": np.repeat(np.arange(len(first)), first.values.shape[1]),
                "output": [name for names in first.names() for name in names],
                "rank_correlation": rank_correlation(sums[one], sums[two]),
            }
        )
        for one, two in itertools.combinations(names, 2)
    ]
    return pd.concat(parts, ignore_index=True)


def against_exact(explanation: Explanation, exact: RegionValues) -> pd.DataFrame:
    """What an explanation gives each region, beside the region's exact Shapley value.

        exact = RegionShap(model, "blur(64,64)", "grid(3,4)").by_region(images, outputs)
        table = against_exact(explanation, exact)

    Columns: `image, output, region, attribution, exact`, in the unit of the output. Both should mean the same by
    "absent", such as the same references; DeepSHAP approximates, so they need not be equal, but should go together.
    Raises `ExplainerError` where they are not of the same images and outputs.
    """
    same = torch.equal(explanation.output_index.cpu(), exact.output_index.cpu())
    if not same or explanation.values.shape[3:] != exact.labels.shape[1:]:
        raise ExplainerError("the exact values are of other images or outputs than the explanation")
    sums = explanation.parts(exact.labels).values.cpu().double().numpy()
    images, outputs, regions = exact.values.shape
    known = exact.values.cpu().double().numpy()
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(images), outputs * regions),
            "output": np.repeat([name for names in explanation.names() for name in names], regions),
            "region": np.tile(np.arange(regions), images * outputs),
            "attribution": sums.ravel(),
            "exact": known.ravel(),
        }
    )


def exact_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How well an explanation goes along with exact values, image by image, from `against_exact`'s table.

    Columns: `image, output, rank_correlation, correlation, same_sign`: Spearman's, which small regions shuffle, and
    Pearson's, which large ones decide; and the share of the exact values' absolute sum that lies in regions to which
    both give the same sign.
    """
    rows = []
    for (image, output), group in table.groupby(["image", "output"], sort=False):
        said, known = group["attribution"].to_numpy(float), group["exact"].to_numpy(float)
        size = np.abs(known).sum()
        agreed = np.abs(known)[np.sign(said) == np.sign(known)].sum()
        rows.append(
            {
                "image": image,
                "output": output,
                "rank_correlation": float(rank_correlation(said[None], known[None])[0]),
                "correlation": pearson(said, known),
                "same_sign": float(agreed / size) if size > 0 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _rows(sums: Tensor) -> Float[np.ndarray, "maps blocks"]:
    return np.asarray(sums.flatten(0, 1).cpu())


def _check(first: Explanation, other: Explanation, one: str, two: str) -> None:
    same = first.values.shape[:2] == other.values.shape[:2] and torch.equal(
        first.output_index.cpu(), other.output_index.cpu()
    )
    if not same or first.values.shape[3:] != other.values.shape[3:]:
        raise ExplainerError(f"{one} and {two} do not explain the same images and outputs at the same size")
