"""What all tests share: where the real photographs are, and a machine that downloads nothing."""

import os
from pathlib import Path

import pytest
import torch

CHECKOUT = Path(__file__).parents[1]

# The tests' networks are small, and the threads of several workers would only get in each other's way.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights; without it the test skips, except in CI, where it fails."""
    folder = Path(os.environ.get("SHAPSIGHT_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir():
        reason = f"no real photographs at {folder.name}/data: set SHAPSIGHT_SHARED to their folder"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random numbers."""
    torch.manual_seed(0)
