"""Max-sensitivity: how far the explanation moves when the image hardly does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.diagnosis.faithfulness.blocks import block_map, block_sums
from shapsight.errors import ExplainerError

Explain = Callable[[Float[Tensor, "images channels height width"]], Explanation]


def uniform_noise(
    images: Float[Tensor, "images channels height width"],
    radius: float | Tensor,
    samples: int,
    *,
    seed: int = 0,
) -> list[Float[Tensor, "images channels height width"]]:
    """Noise, evenly distributed between -radius and +radius in each pixel; a radius for each channel may differ."""
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.rand(images.shape, generator=generator).to(images) for _ in range(samples))
    return [(2 * draw - 1) * radius for draw in draws]


def max_sensitivity(
    explain: Explain,
    images: Float[Tensor, "images channels height width"],
    noises: Sequence[Float[Tensor, "images channels height width"]],
    *,
    block: int | None = None,
    original: Explanation | None = None,
) -> Float[Tensor, "images outputs"]:
    """The largest change of an explanation under small noise, relative to its size.

        explain = lambda images: DeepShap(model, references)(images, outputs=classes)
        max_sensitivity(explain, images, uniform_noise(images, 0.02, 10))

    `max over δ of ‖Φ(x + δ) - Φ(x)‖ / ‖Φ(x)‖`, with Euclidean norms over pixels and channels, or over the sums of
    squares of `block` pixels: 0 for an explanation that does not move, NaN for one that is 0 everywhere.

    Arguments
        explain: from images to an explanation of the same outputs each time: give classes by number, not by rank.
        noises: what is added to all images, one after another; see `uniform_noise`.
        original: the explanation of the images themselves, made the same way, if it is there already.

    Raises `ExplainerError` where the outputs of an image change with the noise, or no noise is given.
    Source: Yeh et al. 2019, section 3 (SENS_MAX), divided by the norm of the explanation, as Quantus and captum do.
    """
    if not noises:
        raise ExplainerError("max_sensitivity needs at least one noise to add to the images")
    original = explain(images) if original is None else original
    own = _flat(original, block)
    changes = []
    for noise in noises:
        moved = explain(images + noise)
        if not torch.equal(moved.output_index, original.output_index):
            raise ExplainerError(
                "with noise other outputs were explained than without it: let `explain` name the outputs, such as "
                "outputs=explanation.output_index, instead of TopK"
            )
        changes.append((_flat(moved, block) - own).norm(dim=2))
    size = own.norm(dim=2)
    return torch.where(size > 0, torch.stack(changes).amax(0) / size, torch.nan)


def _flat(explanation: Explanation, block: int | None) -> Float[Tensor, "images outputs values"]:
    if block is None:
        return explanation.values.cpu().double().flatten(2)
    heatmap = explanation.heatmap()
    return block_sums(heatmap, block_map(heatmap.shape[2:], block))
