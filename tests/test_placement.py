"""Where sums are kept, and what a GPU is told meanwhile."""

import pytest
import torch

from shapsight.attribution.placement import full_float32


def settings() -> list[str]:
    parts = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    return [part.fp32_precision for part in parts]


def test_tf32_is_off_on_a_gpu_while_deepshap_runs_and_as_it_was_afterwards():
    before = settings()
    with full_float32(torch.device("cuda")):
        assert settings() == ["ieee"] * 3
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert settings() == before
    assert torch.backends.cudnn.allow_tf32  # PyTorch's own way to ask still works


def test_settings_are_put_back_after_an_exception_and_left_alone_elsewhere():
    before = settings()
    with pytest.raises(KeyboardInterrupt), full_float32(torch.device("cuda")):
        raise KeyboardInterrupt
    assert settings() == before
    with full_float32(torch.device("cpu")):
        assert settings() == before
