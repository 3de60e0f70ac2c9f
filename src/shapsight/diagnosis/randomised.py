"""A copy of a model that has lost all it learned: what its explanations show is not learned."""

from __future__ import annotations

import copy

import torch
from torch import nn

APART = (
    7_919  # seeds of trainings are small numbers, and the weights that a training began with are none of ours
)


def randomised_copy(model: nn.Module, seed: int = 0) -> nn.Module:
    """The same network with new random weights, in eval mode; the model itself stays as it is.

        DeepShap(randomised_copy(model), references)(images)

    Every layer is initialised as PyTorch does it (`reset_parameters`, batch norm's running statistics too); where a
    module cannot do that, its own weights are shuffled. Source: the model randomisation test of Adebayo et al. 2018.
    """
    copied = copy.deepcopy(model)
    devices = sorted({p.device.index or 0 for p in copied.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(APART + seed)
        for module in copied.modules():
            forget(module)
    return copied.eval()


def forget(module: nn.Module) -> None:
    """New random weights for a module itself, not for those inside it, by torch's global random numbers.

    As PyTorch initialises it (`reset_parameters`, batch norm's running statistics too); where a module cannot do that,
    its weights are shuffled.
    """
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    for parameter in module.parameters(recurse=False):
        places = torch.randperm(parameter.numel()).to(parameter.device)
        parameter.copy_(parameter.flatten()[places].reshape(parameter.shape))
