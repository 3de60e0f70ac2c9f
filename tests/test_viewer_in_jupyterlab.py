"""`explanation.view()` in a notebook: JupyterLab runs headless, and a real browser looks at the cell's output."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

from shapsight import Explanation
from shapsight.drawing.viewer.content import FINENESS

SIDE = 224
CELL = 'from shapsight import Explanation\nExplanation.load("why.safetensors").view(["a.jpg"], unit="m")'


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    values = torch.from_numpy(np.random.default_rng(3).standard_t(2, (1, 2, 3, SIDE, SIDE))).float() * 1e-3
    y, x = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")
    return Explanation(
        values=values,
        base_values=torch.zeros(1, 2),
        predictions=values.sum((2, 3, 4)),
        completeness_gap=torch.zeros(1, 2),
        output_index=torch.arange(2)[None],
        images=torch.stack([x, y, (x * 9).sin() / 2 + 0.5])[None],
        output_names=("x", "y"),
        method="DeepSHAP",
    )


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory, explanation):  # a lab that is ended while it starts would not end
    """JupyterLab with a folder and settings of its own; the address of a notebook with one cell."""
    folder: Path = tmp_path_factory.mktemp("lab")
    explanation.save(folder / "why.safetensors")
    cell = {
        "cell_type": "code",
        "id": "why",
        "source": CELL,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "why.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=", "--LabApp.news_url=", f"--ServerApp.root_dir={folder}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=folder, env={**os.environ, **own, "IPYTHONDIR": str(folder / "ipython")},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        if f"http://127.0.0.1:{port}" in line:
            break
    else:
        pytest.fail("".join(said))
    yield f"http://127.0.0.1:{port}/lab/tree/why.ipynb"
    server.terminate()
    server.communicate()


def under_the_cursor(page: Page, x: int, y: int) -> float:
    canvas = page.locator(".shapsight .stage canvas")
    canvas.scroll_into_view_if_needed()
    edges = canvas.bounding_box()
    assert edges is not None
    page.mouse.move(
        edges["x"] + (x + 0.5) / SIDE * edges["width"], edges["y"] + (y + 0.5) / SIDE * edges["height"]
    )
    expect(page.locator(".shapsight .said")).to_contain_text(f"x {x}, y {y}: ")
    return float(page.locator(".shapsight").get_attribute("data-value") or "nan")


@pytest.mark.page
def test_the_value_under_the_cursor_is_the_same_in_a_notebook_in_a_page_and_in_the_explanation(
    lab, browser, explanation, tmp_path
):
    values = explanation.heatmap()[0, 0].double().numpy()
    step = np.abs(values).max() / FINENESS[0].levels
    file = explanation.view(["a.jpg"], unit="m").save(tmp_path / "why.html")
    notebook, page = (browser.new_page(viewport={"width": 1200, "height": 1000}) for _ in range(2))
    page.goto(file.as_uri())
    notebook.goto(lab)
    notebook.locator(".jp-Cell .cm-content").first.click(timeout=120_000)
    notebook.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(
        state="attached", timeout=120_000
    )
    notebook.keyboard.press("Control+Enter")
    notebook.locator(".shapsight[data-ready=true]").wait_for(timeout=120_000)
    for x, y in ((13, 7), (200, 100), (111, 112)):
        found = under_the_cursor(notebook, x, y)
        assert found == pytest.approx(values[y, x], abs=1.01 * step)
        assert found == under_the_cursor(page, x, y)
