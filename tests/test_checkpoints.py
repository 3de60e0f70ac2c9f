"""Gradient checkpointing, in each library's way, changes no value."""

import threading

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from shapsight import DeepShap, GradientShap, PartitionShap
from shapsight.attribution.shared.checkpoints import without_checkpoints

EXPLAINERS = {
    "deep": DeepShap,
    "gradient": lambda model, references: GradientShap(model, references, 6),
    "partition": lambda model, _: PartitionShap(model, "mean", max_evals=10),
}


class Parts(nn.Module):
    """Two convolutions, checkpointed or not."""

    def __init__(self, run):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3), nn.Tanh())
        self.run = run

    def forward(self, images):
        return self.run(self.body, images).mean((2, 3))


def timm_model(name):
    def make(is_checkpointed):
        import timm

        model = timm.create_model(name, num_classes=3)
        model.set_grad_checkpointing(is_checkpointed)
        return model

    return make


def hugging_face(use_reentrant):
    def make(is_checkpointed):
        from transformers import ViTConfig, ViTForImageClassification

        sizes = {"hidden_size": 16, "intermediate_size": 16, "image_size": 32, "patch_size": 8}
        model = ViTForImageClassification(ViTConfig(num_hidden_layers=2, num_attention_heads=2, **sizes))
        if is_checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
        return model

    return make


def own(use_reentrant, whole=True):
    def checkpointed(body, images):
        if whole:
            return checkpoint(body, images, use_reentrant=use_reentrant)
        return checkpoint_sequential(body, 2, images, use_reentrant=use_reentrant)

    return lambda is_checkpointed: Parts(checkpointed if is_checkpointed else lambda body, x: body(x))


MODELS = {
    "torchvision's DenseNet": lambda is_on: torchvision.models.DenseNet(
        8, (2, 2), 16, memory_efficient=is_on, num_classes=3
    ),
    **{name: timm_model(name) for name in ("resnet10t", "convnext_atto", "test_efficientnet")},
    **{f"Hugging Face, reentrant {r}": hugging_face(r) for r in (True, False)},
    **{f"own, reentrant {r}": own(r) for r in (True, False)},
    **{f"own in a sequence, reentrant {r}": own(r, whole=False) for r in (True, False)},
}


@pytest.mark.filterwarnings("ignore")  # what the libraries say of their own checkpointing
@pytest.mark.parametrize("explainer", EXPLAINERS)
@pytest.mark.parametrize("name", MODELS)
def test_checkpointing_changes_no_value(name, explainer):
    found = []
    for is_checkpointed in (False, True):
        torch.manual_seed(0)
        model = MODELS[name](is_checkpointed).train()
        images, references = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32)
        found.append(EXPLAINERS[explainer](model, references)(images, 0))
    torch.testing.assert_close(found[1].values, found[0].values, rtol=1e-5, atol=1e-8)


def count_runs(use_reentrant):
    """How often a checkpointed part runs for one forward and one backward pass."""
    runs = []

    def part(x):
        runs.append(1)
        return F.gelu(x).square()

    x = torch.randn(4, requires_grad=True)
    checkpoint(part, x, use_reentrant=use_reentrant).sum().backward()
    return len(runs)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_training_checkpoints_as_before_in_other_threads_and_afterwards(use_reentrant):
    counts = []
    with without_checkpoints():
        assert count_runs(use_reentrant) == 1
        thread = threading.Thread(target=lambda: counts.append(count_runs(use_reentrant)))
        thread.start()
        thread.join()
        with without_checkpoints():
            pass
        assert count_runs(use_reentrant) == 1
    assert counts == [2]
    assert count_runs(use_reentrant) == 2
