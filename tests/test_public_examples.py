"""Every public name has an example in its docstring, and the examples run."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest

import shapsight as ss
from example_world import names, statements, write_world

# Examples that are not run, and why.
NEVER_RUN = {
    "cure": "dozens of trainings; test_cure.py and test_front_door.py",
    "demo": "takes minutes; test_demo.py",
    "ShapCallback": "ten epochs of a training; test_shap_callback.py",
    "targets": "detectors and segmenters; test_targets.py runs them",
}
# Statements that are not run, by what they hold, and why.
NOT_RUN = {
    "resnet18(weights=W)": "downloads weights; test_own_transform.py wraps a network with such a transform",
    "timm.create_model(": "downloads weights; test_wrap.py wraps timm's networks without them",
    "ViTForImageClassification(config)": "test_model_kinds.py",
    "keras_model": "test_model_kinds.py",
    '"net.onnx", transform': "test_onnx.py",
    "channels=11": "test_bands.py",
    "network_of_volumes": "test_bands.py",
    "RegionShap(swin": "65,536 coalitions; test_tokens.py",
    "onnxruntime.": "test_model_kinds.py",
    "torch.ops.mine": "operators of a user's own; test_deep_users.py registers one",
    "idx:/usr": "70,000 images; test_readers.py",
    "hugging_face_dataset": "test_datasets_in_memory.py",
    "samples=2000": "takes long on a processor",
    "max_evals=2000": "takes long on a processor",
}


def public() -> Iterator[tuple[str, Any]]:
    """Public names, the public methods of public classes, and what the public modules define."""
    for name in ss.__all__:
        thing = getattr(ss, name)
        if name == "__version__":
            continue
        yield name, thing
        for own, value in vars(thing).items() if hasattr(thing, "__dict__") else ():
            inner = getattr(value, "__func__", getattr(value, "fget", value))
            if own.startswith("_") or not (inspect.isfunction(inner) or inspect.isclass(inner)):
                continue
            if inspect.ismodule(thing) and own not in getattr(
                thing, "__all__", [own] * (inner.__module__ == thing.__name__)
            ):
                continue
            if inspect.ismodule(thing) or inspect.isclass(thing):
                yield f"{name}.{own}", inner


def examples(doc: str) -> list[str]:
    """The indented blocks after an empty line, as in Markdown."""
    blocks = re.findall(r"(?:^|\n)[ ]*\n((?:    .*(?:\n[ ]*\n(?=    ))?\n?)+)", doc + "\n")
    return [textwrap.dedent(block) for block in blocks]


PUBLIC = dict(public())
WITH_EXAMPLES = [name for name, thing in PUBLIC.items() if examples(inspect.getdoc(thing) or "")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    write_world(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in PUBLIC if "." not in name])
def test_every_public_name_has_an_example(name):
    assert name in WITH_EXAMPLES


@pytest.mark.filterwarnings("ignore:.*seems to be on another scale")  # the model is hardly trained
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # shap's
@pytest.mark.parametrize("name", [name for name in WITH_EXAMPLES if name.split(".")[0] not in NEVER_RUN])
def test_the_examples_of_public_names_run_and_what_they_give_is_shown_in_a_few_lines(
    name, world, monkeypatch
):
    monkeypatch.chdir(world)
    matplotlib.use("agg")
    given = names(name)
    for block in examples(inspect.getdoc(PUBLIC[name]) or ""):
        for text, code in statements(block):
            if not any(part in text for part in NOT_RUN):
                exec(code, given)
    shown = {
        key: repr(value) for key, value in given.items() if type(value).__module__.startswith("shapsight.")
    }
    assert {key: text for key, text in shown.items() if len(text) > 1500 or text.count("\n") > 20} == {}


def test_what_is_not_run_is_still_there():
    told = "\n".join(inspect.getdoc(thing) or "" for thing in PUBLIC.values())
    assert [part for part in NOT_RUN if part not in told] == []
    assert set(NEVER_RUN) <= set(WITH_EXAMPLES)
