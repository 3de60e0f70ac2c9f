"""What all tests share: where the real photographs are, and a machine that downloads nothing."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

CHECKOUT = Path(__file__).parents[1]
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for a newer version

# The tests' networks are small, and the threads of several workers would only get in each other's way.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights; without it the test skips, except in CI, where it fails."""
    folder = Path(os.environ.get("SHAPSIGHT_SHARED", CHECKOUT.parent / "shared"))
    if not (folder / "data").is_dir():
        _missing(f"no real photographs at {folder.name}/data: set SHAPSIGHT_SHARED to their folder")
    return folder


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder of Fashion-MNIST's four files; without it the test skips, except in CI, where it fails."""
    folder = (
        Path(os.environ["SHAPSIGHT_FASHION_MNIST"])
        if "SHAPSIGHT_FASHION_MNIST" in os.environ
        else _installed()
    )
    if folder is None or not (folder / "train-images-idx3-ubyte.gz").is_file():
        _missing(
            "no Fashion-MNIST: install dataset-fashion-mnist, or set SHAPSIGHT_FASHION_MNIST to its folder"
        )
    assert folder is not None
    return folder


def _installed() -> Path | None:
    """Where Debian's package put the files."""
    if shutil.which("dpkg") is None:
        return None
    listed = subprocess.run(
        ["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True, check=False
    )
    files = [Path(line) for line in listed.stdout.splitlines() if line.endswith("train-images-idx3-ubyte.gz")]
    return files[0].parent if files else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium by Playwright; `.ci/run` installs it. Without it the test skips, except in CI."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a busy machine is slow
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        _missing("chromium is not installed, and this test looks at a page in it")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


def _missing(reason: str) -> None:
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random numbers."""
    torch.manual_seed(0)
