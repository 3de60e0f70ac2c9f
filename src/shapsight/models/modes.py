"""Asking a model in eval mode, and leaving it in the mode that it was in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Every module is in eval mode inside, and afterwards in the mode that it was in."""
    before = [(module, module.training) for module in model.modules()]
    if not any(was_training for _, was_training in before):
        yield
        return
    model.eval()
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training
