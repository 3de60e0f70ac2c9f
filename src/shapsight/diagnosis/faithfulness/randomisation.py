"""Randomisation of the model: an explanation must change when the weights that it explains are lost."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.modules import left_as_found
from shapsight.diagnosis.faithfulness.similarity import rank_correlation, structural_similarity
from shapsight.diagnosis.randomised import forget
from shapsight.errors import ExplainerError


def layers_from_the_output(model: nn.Module, image: Tensor) -> list[str]:
    """The names of all modules that hold weights of their own, the last that the model calls first.

    image: `(1, channels, height, width)`, run once to see the order. A module that is not called itself, such as the
    last layer of PyTorch's attention, counts as called with what it is part of.
    """
    called: dict[str, int] = {}
    clock = itertools.count(1)
    hooks = [
        module.register_forward_pre_hook(lambda _m, _i, name=name: called.update({name: next(clock)}))
        for name, module in model.named_modules()
    ]
    try:
        with left_as_found(model), torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    weighted = [
        name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))
    ]
    order = sorted((_when(name, called), number, name) for number, name in enumerate(weighted))
    return [name for _, _, name in reversed(order)]


def _when(name: str, called: dict[str, int]) -> int:
    """When a module was called, or what it is part of."""
    while name and name not in called:
        name = name.rpartition(".")[0]
    return called.get(name, 0)


def randomised_models(
    model: nn.Module, image: Tensor, *, steps: int | None = None, seed: int = 0
) -> Iterator[tuple[str, nn.Module]]:
    """A copy of the model whose layers lose what they learned, one after another, from the output to the input.

        for layer, random in randomised_models(model, images[:1]):
            explanation = DeepShap(random, references)(images)

    Each step yields the name of the layer that was randomised last and the *same* copy, in which all later layers are
    random too (cascading). A layer is initialised as PyTorch does it (`reset_parameters`, batch norm's running
    statistics too); where a module cannot do that, its weights are shuffled.

    Arguments
        image: `(1, channels, height, width)`, to see in which order layers are called.
        steps: how many steps, evenly over the layers; the last of them leaves nothing learned. None: each layer.

    Raises `ExplainerError` for a model without weights. Source: Adebayo et al. 2018, section 4.1.
    """
    layers = layers_from_the_output(model, image)
    if not layers:
        raise ExplainerError(f"{type(model).__name__} has no weights: there is nothing to randomise")
    count = len(layers) if steps is None else max(1, min(steps, len(layers)))
    shown = set(np.linspace(len(layers) / count, len(layers), count).round().astype(int).tolist())
    copied = copy.deepcopy(model)
    modules = dict(copied.named_modules())
    for number, name in enumerate(layers, start=1):
        _randomise(modules[name], seed + number)
        if number in shown:
            yield name, copied


def _randomise(module: nn.Module, seed: int) -> None:
    """New weights, with the caller's random numbers left as they were."""
    devices = {p.device for p in module.parameters(recurse=False) if p.device.type != "cpu"}
    kind = next(iter(devices)).type if devices else "cuda"
    with torch.random.fork_rng([device.index or 0 for device in devices], device_type=kind), torch.no_grad():
        torch.manual_seed(seed)
        forget(module)


def randomisation(
    explain: Callable[[nn.Module], Explanation],
    models: Iterable[tuple[str, nn.Module]],
    original: Explanation,
) -> tuple[pd.DataFrame, dict[str, Explanation]]:
    """How like the original the explanation stays while the model is randomised; and the explanations themselves.

        explain = lambda model: DeepShap(model, references)(images, outputs)
        table, _ = randomisation(explain, randomised_models(model, images[:1]), explain(model))

    Columns: `step, layer, image, output, rank_correlation, absolute, ssim`: Spearman's correlation of the heatmaps'
    pixels, that of their absolute values, and their structural similarity. The signed one should fall to about 0. The
    absolute one often does not, because `image - reference`, which any attribution of this kind holds as a factor,
    does not depend on the weights.
    Source: Adebayo et al. 2018, sections 3 and 4.
    """
    own = _maps(original)
    rows, explanations = [], {}
    for step, (layer, model) in enumerate(models, start=1):
        explanation = explain(model)
        explanations[layer] = explanation
        other = _maps(explanation)
        if own.shape != other.shape:
            raise ExplainerError("randomised models must be explained for the same images and outputs")
        one, two = own.reshape(len(own), -1), other.reshape(len(other), -1)
        rows.append(
            pd.DataFrame(
                {
                    "step": step,
                    "layer": layer,
                    "image": np.repeat(np.arange(len(original)), original.values.shape[1]),
                    "output": [name for names in original.names() for name in names],
                    "rank_correlation": rank_correlation(one, two),
                    "absolute": rank_correlation(np.abs(one), np.abs(two)),
                    "ssim": structural_similarity(own, other),
                }
            )
        )
    return pd.concat(rows, ignore_index=True), explanations


def _maps(explanation: Explanation) -> Float[np.ndarray, "maps height width"]:
    return np.asarray(explanation.heatmap().flatten(0, 1).cpu().double())
