"""The examples run to their last line, as scripts, on real data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("steering", "fashion_mnist", "imagenet_black_box")


def run(script, out, settings, **environment):
    """What a script prints; it must end well."""
    command = [sys.executable, "-W", "error::DeprecationWarning", str(EXAMPLES / f"{script}.py")]
    done = subprocess.run(
        [*command, "--out", str(out), *settings],
        env=os.environ | environment | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_picture(path):
    """Whether a file is a picture with red and blue in it."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = pixels[..., 0] - pixels[..., 2]
    return min(pixels.shape[:2]) > 200 and (red > 60).any() and (red < -60).any()


@pytest.mark.shared
def test_the_steering_script_runs_to_its_last_line(shared, tmp_path):
    settings = "--epochs 1 --references 6 --images 2 --samples 24 --size 112".split()
    said = run("steering", tmp_path, settings, SHAPSIGHT_SHARED=str(shared))
    assert (
        "DeepExplainer: values (2, 2, 112, 112, 3)" in said
        and "GradientExplainer: values (2, 2, 112, 112, 3)" in said
    )
    assert float(re.search(r"by at most (\S+)", said)[1]) < 1e-4
    assert all(is_picture(tmp_path / f"steering_{kind}.png") for kind in ("deep", "gradient"))


@pytest.mark.fashion_mnist
def test_the_fashion_mnist_script_runs_to_its_last_line(fashion_mnist, tmp_path):
    settings = "--train 3000 --epochs 1 --references 100 --images 2".split()
    said = run("fashion_mnist", tmp_path, settings, SHAPSIGHT_DATA=str(fashion_mnist))
    found = re.findall(r"(\w+): accuracy (\S+), 10 outputs of \(2, 1, 28, 28\).* by at most (\S+)", said)
    assert [name for name, _, _ in found] == ["FromModules", "Functional"]
    assert all(float(accuracy) > 0.4 and float(missing) < 1e-4 for _, accuracy, missing in found)
    assert len(list(tmp_path.glob("*.png"))) == 4 and all(map(is_picture, tmp_path.glob("*.png")))


@pytest.mark.shared
def test_the_black_box_script_runs_to_its_last_line(shared, tmp_path):
    said = run("imagenet_black_box", tmp_path, ["--evaluations", "100"], SHAPSIGHT_SHARED=str(shared))
    assert "values (2, 224, 224, 3, 4)" in said
    assert all(is_picture(tmp_path / f"imagenet_{kind}.png") for kind in ("inpaint", "blur"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_only_the_import_differs_from_a_script_for_shap(script):
    text = (EXAMPLES / f"{script}.py").read_text()
    imports = [
        line for line in text.splitlines() if line.startswith(("import ", "from ")) and "shapsight" in line
    ]
    assert imports == ["import shapsight.compat.shap as shap"]
    for path in set(re.findall(r"\bshap((?:\.[A-Za-z]\w*)+)", text.replace("shapsight.compat.shap", ""))):
        found = shap
        for name in path.removeprefix(".").split("."):
            found = getattr(found, name)
        assert found is not None
