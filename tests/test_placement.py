"""Where sums are kept, and what a GPU is told meanwhile."""

import pytest
import torch

from shapsight.attribution.shared.placement import full_float32


def settings() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("before", [(True, False), (True, True), (False, False)])
def test_tf32_is_off_on_a_gpu_while_deepshap_runs_and_as_it_was_afterwards(before: tuple[bool, bool]):
    usual = settings()
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
    try:
        with full_float32(torch.device("cuda")):
            assert settings() == (False, False)
        assert settings() == before
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = usual


def test_settings_are_put_back_after_an_exception_and_left_alone_elsewhere():
    before = settings()
    with pytest.raises(KeyboardInterrupt), full_float32(torch.device("cuda")):
        raise KeyboardInterrupt
    assert settings() == before
    with full_float32(torch.device("cpu")):
        assert settings() == before
