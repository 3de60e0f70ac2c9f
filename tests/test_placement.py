"""Where sums are kept, and what a GPU is told meanwhile."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from shapsight import DeepShap, GradientShap
from shapsight.attribution import integrand
from shapsight.attribution.deep import runs
from shapsight.attribution.shared.placement import full_float32


def settings() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(params=[(True, False), (True, True), (False, False)])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    usual = settings()
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = request.param
    yield request.param
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = usual


class Asked(nn.Module):
    """A linear model that notes what TF32 is set to, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        noted.add(settings())
        scores = self.linear(images.flatten(1))
        if scores.requires_grad:
            scores.register_hook(lambda gradient: noted.add(settings()))
        return scores


noted: set[tuple[bool, bool]] = set()  # not the model's own, which is put back as it was found


@pytest.mark.parametrize(
    ("explainer", "engine"), [(DeepShap, runs), (GradientShap, integrand)], ids=["deep", "gradient"]
)
def test_tf32_is_off_on_a_gpu_while_gradients_are_taken_and_as_it_was_afterwards(
    explainer: type, engine: object, before: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def as_on_a_gpu(device: torch.device):
        asked.append(device)
        return full_float32(torch.device("cuda"))

    monkeypatch.setattr(engine, "full_float32", as_on_a_gpu)
    noted.clear()
    explainer(Asked(), torch.rand(2, 3, 2, 2))(torch.rand(1, 3, 2, 2), on_gap="ignore")
    assert noted == {(False, False)}
    assert asked == [torch.device("cpu")]  # the model's
    assert settings() == before


def test_settings_are_put_back_after_an_exception_and_left_alone_elsewhere():
    before = settings()
    with pytest.raises(KeyboardInterrupt), full_float32(torch.device("cuda")):
        raise KeyboardInterrupt
    assert settings() == before
    with full_float32(torch.device("cpu")):
        assert settings() == before
