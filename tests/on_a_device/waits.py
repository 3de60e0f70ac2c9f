"""How often the processor waits for a device: each number that it reads there, and each copy, waits for all before."""

from collections import Counter

import pytest
import software_device
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shapsight import DeepShap, GradientShap
from small_networks import convolutional, pictures

DEVICE = software_device.installed()
READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal")


class Waits(TorchDispatchMode):
    """Counts the calls that wait for the device."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        devices = {t.device.type for t in tree_leaves((args, result)) if isinstance(t, torch.Tensor)}
        if DEVICE.type in devices and (name in READS or len(devices) > 1):
            self.calls[name] += 1
        return result


def waits_of(explainer, images):
    with Waits() as waits:
        explainer(images, on_gap="ignore")
    return sum(waits.calls.values())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient_shap_waits_for_a_device_no_more_often_with_more_batches(smoothing):
    model, references, images = convolutional().to(DEVICE), pictures(3, seed=1), pictures(1)
    few, many = (
        waits_of(GradientShap(model, references, samples, batch_size=6, smoothing=smoothing), images)
        for samples in (12, 60)
    )
    noise = (
        8 if smoothing else 0
    )  # is drawn on the processor, so that it is the same on every device: a copy a batch
    assert many - few == noise


def test_deep_shap_waits_for_a_device_no_more_often_with_more_references_or_images():
    model, references, images = convolutional().to(DEVICE), pictures(60, seed=1), pictures(4)
    few = waits_of(DeepShap(model, references[:10]), images[:1])
    assert waits_of(DeepShap(model, references), images[:1]) == few
    assert waits_of(DeepShap(model, references), images) == few
