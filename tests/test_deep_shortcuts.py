"""The ways in which DeepShap saves time give the same numbers as going without them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shapsight import DeepShap
from shapsight.attribution.deep.folding import Folding
from shapsight.attribution.deep.rules import pooling
from shapsight.attribution.deep.runs import Runs


def normed(channels: int = 4) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


class Folds(nn.Module):
    """A convolution and its batch norm, a residual, pooling that overlaps, and a head."""

    def __init__(self, is_reused: bool = False) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=is_reused), normed()
        self.head = nn.Linear(4 * 16, 2)
        self.is_reused = is_reused

    def forward(self, images: Tensor) -> Tensor:
        y = self.first(images)
        z = F.relu(self.norm(y))
        z = z + y if self.is_reused else z
        return self.head(F.max_pool2d(z, 3, 2, 1).flatten(1))


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    return torch.randn(5, 3, 8, 8).double(), torch.randn(2, 3, 8, 8).double()


def plan_of(model: nn.Module, images: Tensor, references: Tensor):
    runs = Runs(model)
    with runs.prepared():
        return runs.plan((images,), (references,))


@pytest.mark.parametrize("is_reused", [False, True])
def test_folding_batch_norms_changes_no_value(pictures, monkeypatch, is_reused: bool):
    references, images = pictures
    model = Folds(is_reused).double().eval()
    folded = DeepShap(model, references)(images)
    assert len(plan_of(model, images, references).folding.norms) == (0 if is_reused else 1)
    monkeypatch.setattr("shapsight.attribution.deep.folding.FoldingFinder.folding", lambda _: Folding())
    plain = DeepShap(model, references)(images)
    torch.testing.assert_close(folded.values, plain.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(folded.predictions, model(images).detach(), rtol=1e-10, atol=1e-12)


def test_a_convolution_that_is_also_returned_is_not_folded(pictures):
    references, images = pictures

    class Both(Folds):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            y = self.first(images)
            return {"logits": self.norm(y).mean((2, 3)), "features": y}

    model = Both().double().eval()
    explanation = DeepShap(model, references, output="logits")(images)
    runs = Runs(model, output="logits")
    with runs.prepared():
        assert not runs.plan((images,), (references,)).folding.norms
    assert explanation.completeness_gap.abs().max() < 1e-12


def test_a_model_that_needs_contiguous_memory_gets_it(pictures):
    references, images = pictures

    class Viewing(Folds):
        def forward(self, images: Tensor) -> Tensor:
            y = F.relu(self.norm(self.first(images)))
            return self.head(F.max_pool2d(y, 2).view(len(y), -1))

    model = Viewing().double().eval()
    assert plan_of(model, images, references).memory_format is torch.preserve_format
    assert plan_of(Folds().double().eval(), images, references).memory_format is torch.channels_last
    assert DeepShap(model, references)(images).completeness_gap.abs().max() < 1e-12


@pytest.mark.parametrize(
    "options",
    [(2,), (3, 2, 1), (3, 1, 1, 1), (2, 1, 0, 2), ((3, 2), (2, 1), (1, 0)), (3, 2, 1, 1, True), ([2], [1])],
)
def test_pooling_from_noted_places_equals_pooling_anew(pictures, monkeypatch, options):
    references, images = pictures

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, images: Tensor) -> Tensor:
            y = F.max_pool2d(F.relu(self.before(images)), *options)
            return torch.stack([y.square().mean((1, 2, 3)), y.sin().mean((1, 2, 3))], 1)

    model = Pooled().double().eval()
    noted = DeepShap(model, references)(images)
    monkeypatch.setattr(
        pooling,
        "_two_dimensional",
        lambda *args, **kwargs: pooling.Maximum(lambda t: F.max_pool2d(t, *args, **kwargs)),
    )
    anew = DeepShap(model, references)(images)
    torch.testing.assert_close(noted.values, anew.values, rtol=1e-10, atol=1e-12)
    assert noted.completeness_gap.abs().max() < 1e-12
