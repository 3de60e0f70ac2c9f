"""Right for the right reasons: a penalty on how outputs answer to pixels outside the region of interest."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def gradient_penalty(
    outputs: Float[Tensor, "images outputs"],
    inputs: Float[Tensor, "images channels height width"],
    regions: Bool[Tensor, "images height width"],
    *,
    are_logits: bool = False,
) -> Float[Tensor, ""]:
    """The squared gradients of the outputs by the inputs outside the regions, summed over them, mean over images.

        inputs.requires_grad_()
        outputs = model(inputs)
        loss = F.mse_loss(outputs, targets) + strength * gradient_penalty(outputs, inputs, regions)

    The second term of equation 1 of Ross, Hughes and Doshi-Velez 2017, where `regions` is 1 - A. For classes it is,
    as there, the gradient of the sum of the log-probabilities. For several outputs of a regression such a sum could
    cancel, so each output gets a random sign: the mean over signs is the sum of each output's squared gradient.
    The graph is kept, so that the penalty itself can be differentiated.
    """
    if are_logits:
        scalar = outputs.log_softmax(1).sum()
    else:
        signs = torch.randint(2, outputs.shape, device=outputs.device) * 2 - 1
        scalar = (outputs * signs).sum()
    (gradient,) = torch.autograd.grad(scalar, inputs, create_graph=True)
    return (gradient * ~regions[:, None]).square().sum((1, 2, 3)).mean()
