"""Right for the right reasons: a penalty on how outputs answer to pixels outside the region of interest."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shapsight.errors import DataError, ModelError


def right_reasons(
    outputs: Float[Tensor, "images outputs"],
    images: Float[Tensor, "images channels height width"],
    masks: Bool[Tensor, "images height width"],
    strength: float = 1.0,
    *,
    are_logits: bool = False,
) -> Float[Tensor, ""]:
    """`strength` times the squared gradients of the outputs by pixels outside the region, summed, mean over images.

        images.requires_grad_()
        outputs = model(images)
        loss = criterion(outputs, targets) + right_reasons(outputs, images, masks, strength=1.0)
        loss.backward()

    The second term of equation 1 of Ross, Hughes and Doshi-Velez 2017, where the region is 1 - A. For classes
    (`are_logits`) it is, as there, the gradient of the sum of the log-probabilities. For several outputs of a
    regression such a sum could cancel, so each output gets a random sign: the mean over signs is the sum of each
    output's squared gradient. The graph is kept, so that the penalty itself can be differentiated.

    Args
        images: what the model was given, normalised or not: the unit of the gradients is the outputs' over theirs.
        masks: True (or not 0) inside the region of interest; a dimension of one channel may stand after the first.
        strength: 0 or more. What suits depends on both units: start where the penalty is about as large as the loss.

    Raises `DataError` for masks of another size than the images, `ModelError` where the outputs do not depend on
    `images` or these ask for no gradients.
    """
    inside = masks.as_subclass(Tensor).bool()  # tv_tensors of two kinds cannot be multiplied
    if inside.ndim == images.ndim and inside.shape[1] == 1:
        inside = inside[:, 0]
    if inside.shape != (len(images), *images.shape[2:]):
        raise DataError(
            f"masks of shape {tuple(masks.shape)} do not fit images of shape {tuple(images.shape)}: one for each image "
            "is needed, of its height and width"
        )
    if not images.requires_grad:
        raise ModelError(
            "right_reasons needs gradients by the images: call images.requires_grad_() before the model"
        )
    if not outputs.requires_grad:
        raise ModelError(
            "right_reasons needs outputs with gradients: they were made under no_grad or inference_mode"
        )
    if are_logits:
        scalar = outputs.log_softmax(1).sum()
    else:
        signs = torch.randint(2, outputs.shape, device=outputs.device) * 2 - 1
        scalar = (outputs * signs).sum()
    (gradient,) = torch.autograd.grad(scalar, images, create_graph=True, allow_unused=True)
    if gradient is None:
        raise ModelError(
            "the outputs do not depend on these images: give right_reasons the tensor the model was given"
        )
    return strength * (gradient * ~inside[:, None]).square().sum((1, 2, 3)).mean()
