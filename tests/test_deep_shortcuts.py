"""The ways in which DeepShap saves time give the same numbers as going without them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shapsight import DeepShap
from shapsight.attribution.deep import replay
from shapsight.attribution.deep.folding import Folding
from shapsight.attribution.deep.layout import widen
from shapsight.attribution.deep.rules import pooling
from shapsight.attribution.deep.runs import Runs
from shapsight.attribution.shared.memory import budget
from shapsight.errors import ExplainerError


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


def test_little_memory_changes_the_amounts_and_no_value(pictures):
    references, images = pictures
    model = Folds().double().eval()
    need = plan_of(model, images, references).need
    plenty = DeepShap(model, references)(images)
    least = need.per_reference + need.per_image
    little = DeepShap(model, references, max_memory=least)
    tight = little(images, outputs=torch.tensor([1, 0]))
    torch.testing.assert_close(tight.values[0, 0], plenty.values[0, 1], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(tight.values[1, 0], plenty.values[1, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(tight.std_errors[0, 0], plenty.std_errors[0, 1], rtol=1e-8, atol=1e-12)
    amounts = budget(need, least, torch.device("cpu"))
    assert (amounts.chunk, amounts.group) == (1, 1)


def test_memory_that_is_not_enough_for_one_reference_is_refused_with_what_it_takes(pictures):
    references, images = pictures
    with pytest.raises(ExplainerError, match="not enough"):
        DeepShap(Folds().double().eval(), references, max_memory=100)(images)


@pytest.mark.parametrize("fails_in", ["forward", "backward"])
def test_out_of_memory_halves_the_references_and_goes_on(pictures, monkeypatch, fails_in: str):
    references, images = pictures
    model = Folds().double().eval()
    plenty = DeepShap(model, references)(images)
    if fails_in == "forward":
        replay = Runs.replay

        def scarce(self, chunk, *args, **kwargs):
            if len(chunk[0]) > 2:
                raise torch.OutOfMemoryError("not enough memory")
            return replay(self, chunk, *args, **kwargs)

        monkeypatch.setattr(Runs, "replay", scarce)
    else:
        grad, calls = torch.autograd.grad, []

        def scarce_grad(outputs, *args, **kwargs):
            calls.append(1)
            if len(calls) == 3:  # two of the four places are done by then
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return grad(outputs, *args, **kwargs)

        monkeypatch.setattr(torch.autograd, "grad", scarce_grad)
    scarcely = DeepShap(model, references)(images)
    torch.testing.assert_close(scarcely.values, plenty.values, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(scarcely.base_values, plenty.base_values, rtol=1e-10, atol=1e-12)
    assert scarcely.settings["references"] == 5


def test_an_error_that_is_not_about_memory_is_raised_on(pictures, monkeypatch):
    references, images = pictures

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something else")

    model = Folds().double().eval()
    monkeypatch.setattr(torch.autograd, "grad", broken)
    with pytest.raises(RuntimeError, match="something else"):
        DeepShap(model, references)(images)


def test_a_model_too_large_for_what_is_free_is_refused_before_the_system_ends_it(pictures, monkeypatch):
    references, images = pictures
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(64 * 64, 2)
    ).double()
    kept = 2 * 2 * 64 * 64 * 8  # two images, before and after GELU
    monkeypatch.setattr("shapsight.attribution.shared.memory._free_main_memory", lambda: kept)
    with pytest.raises(
        ExplainerError, match=r"memory is not enough: before 1 \(GELU\), two images .* 80% of what"
    ):
        DeepShap(model, references)(images)
    monkeypatch.setattr("shapsight.attribution.shared.memory._free_main_memory", lambda: 4 * kept)
    assert DeepShap(model, references)(images).completeness_gap.abs().max() < 1e-12


def test_memory_that_runs_out_with_a_single_reference_says_so(pictures, monkeypatch):
    references, images = pictures

    def scarce(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(torch.autograd, "grad", scarce)
    with pytest.raises(ExplainerError, match="single reference at a time"):
        DeepShap(Folds().double().eval(), references)(images)


def test_a_model_that_predicts_otherwise_in_another_memory_layout_keeps_the_one_it_is_given(pictures):
    """Rounding, which the layout changes, is all that decides what a badly conditioned network predicts."""
    references, images = pictures

    class ByLayout(Folds):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images * (1.0 if images.is_contiguous() else 3.0))

    model = ByLayout().double().eval()
    assert plan_of(model, images, references).memory_format is torch.preserve_format
    explanation = DeepShap(model, references)(images)
    torch.testing.assert_close(explanation.predictions, model(images).detach(), rtol=1e-10, atol=1e-12)
    assert explanation.completeness_gap.abs().max() < 1e-12


class FrozenNorm(nn.Module):
    """A batch norm written out, as detectors have it: a product and a sum for each channel."""

    def __init__(self, shape: tuple[int, ...], is_in_place: bool = False) -> None:
        super().__init__()
        self.scale, self.shift, self.is_in_place = torch.randn(shape), torch.randn(shape), is_in_place
        self.scale, self.shift = self.scale.double(), self.shift.double()

    def forward(self, images: Tensor) -> Tensor:
        if self.is_in_place:
            return images.mul_(self.scale).add_(self.shift)
        return images * self.scale + self.shift


@pytest.mark.parametrize(
    ("shape", "is_in_place", "is_reused", "folded"),
    [
        ((1, 4, 1, 1), False, False, 2),
        ((4, 1, 1), False, False, 2),
        ((1, 4, 1, 1), False, True, 0),  # the convolution's own result is used, too
        ((1, 4, 1, 1), True, False, 0),
        ((1, 1, 8, 1), False, False, 0),  # for each row, and not for each channel
        ((1, 1, 1, 1), False, False, 0),
    ],
)
def test_a_batch_norm_that_is_written_out_is_folded_and_nothing_else(
    pictures, monkeypatch, shape, is_in_place, is_reused, folded
):
    references, images = pictures
    model = Folds(is_reused)
    model.norm = FrozenNorm(shape, is_in_place)
    model = model.double().eval()
    found = DeepShap(model, references)(images)
    assert len(plan_of(model, images, references).folding.norms) == folded
    monkeypatch.setattr("shapsight.attribution.deep.runs.FoldingFinder.folding", lambda finder: Folding())
    plain = DeepShap(model, references)(images)
    torch.testing.assert_close(found.values, plain.values, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.predictions, model(images).detach(), rtol=1e-9, atol=1e-12)


class Windows(nn.Module):
    """Attention within windows of 4 × 4 pixels, with keys and queries of length one, as in Swin (Liu et al. 2022)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.queries, self.values, self.head = nn.Linear(3, 8), nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        grid = images.reshape(n, channels, height // 4, 4, width // 4, 4)
        windows = grid.permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, channels)
        q = F.normalize(self.queries(windows), dim=-1)
        weights = (5 * q @ q.transpose(-2, -1)).softmax(-1)
        found = F.layer_norm(weights @ F.gelu(self.values(windows)), (6,))
        return (
            self.head(found * found.sigmoid() + found / (1 + found.norm(dim=2, keepdim=True)))
            .view(n, -1, 2)
            .mean(1)
        )


def test_an_images_windows_are_not_copied_for_every_reference(monkeypatch):
    model = Windows().double()
    images, references = torch.rand(2, 3, 8, 12).double(), torch.rand(3, 3, 8, 12).double()
    explainer = DeepShap(model, references)
    beside = explainer(images)
    widened = []
    monkeypatch.setattr(
        replay, "widen", lambda one, many, fold: widened.append(one.shape) or widen(one, many, fold)
    )
    explainer(images)
    assert not widened
    monkeypatch.setattr(replay, "_spans_less", lambda kept: False)
    copied = explainer(images)
    assert (6, 16, 6) in widened
    torch.testing.assert_close(beside.values, copied.values, rtol=1e-9, atol=1e-12)
    assert beside.completeness_gap.abs().max() < 1e-12
