"""What is explained, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from shapsight.studies.shared.option import Device, Option, Seed, Weights


@dataclass(frozen=True)
class ExplainSettings:
    """What `shapsight explain` is asked to do."""

    method: Annotated[str, Option("deep, gradient, partition or regions.")] = "partition"
    outputs: Annotated[str, Option("topK, all, or names or numbers by comma.", by_comma=True)] = "top4"
    masker: Annotated[
        str,
        Option(
            "partition, regions: what stands where pixels are hidden: blur(W,H), inpaint_telea, inpaint_ns, "
            "inpaint_diffuse, mean, constant(V)."
        ),
    ] = "inpaint_telea"
    max_evals: Annotated[int, Option("partition, regions: masked images that the model sees.")] = 500
    tree: Annotated[
        str, Option("partition: regions follows colours, axis halves rectangles, as shap does.")
    ] = "regions"
    contexts: Annotated[str, Option("partition: auto gets farthest, both gives shap's numbers; 0, 1.")] = (
        "auto"
    )
    regions: Annotated[str, Option("regions: grid(ROWS,COLUMNS) or slic(COUNT).")] = "grid(4,4)"
    estimator: Annotated[str, Option("regions: exact (16 at most), kernel or permutation.")] = "exact"
    samples: Annotated[int, Option("gradient: points on the way for each image.", at_least=1)] = 200
    references: Annotated[
        Path | None,
        Option(
            "deep, gradient: images that stand for 'feature absent'; of more than 25, 25 are chosen. A run has "
            "its own."
        ),
    ] = None
    references_drawn: Annotated[bool, Option("deep, gradient: compare with all of --references.")] = False
    arch: Annotated[
        str | None, Option("A classifier of torchvision or timm (timm:NAME), instead of a run.")
    ] = None
    weights: Weights = "imagenet"
    classes: Annotated[Path | None, Option("With --arch: class names in order, JSON list or one a line.")] = (
        None
    )
    as_probability: Annotated[
        bool,
        Option("With --arch: explain softmax probabilities, not logits.", flags=("--probability",)),
    ] = False
    detail: Annotated[
        str,
        Option(
            "Figures: sums over regions of the image (regions) or under a Gaussian (smooth), or pixels. "
            "auto: pixels in images of up to 32 a side and of --method partition and regions, else regions."
        ),
    ] = "auto"
    cmap: Annotated[str | None, Option("Figures: a colour map of matplotlib, such as coolwarm.")] = None
    show_noise: Annotated[
        bool, Option("Figures, partition: draw what cannot be told from the coins' noise.")
    ] = False
    image_size: Annotated[
        int | None, Option("With --arch: pixels squared; by default the network's own.", at_least=16)
    ] = None
    seed: Seed = 0
    device: Device = "auto"
