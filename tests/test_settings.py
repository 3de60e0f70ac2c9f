"""Settings are said once: the command line is made from them, and what runs stored before can be read."""

import importlib
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from shapsight.cli import COMMANDS, app
from shapsight.data.remedies.treatment import STRENGTH
from shapsight.models.plan import TrainingPlan
from shapsight.studies.shared.option import DataOptions, Option
from shapsight.studies.shared.run_folder import differences
from shapsight.studies.shared.settings import (
    CheckSettings,
    CompareSettings,
    CureSettings,
    DemoSettings,
    DiagnoseSettings,
    EvaluateSettings,
    ExplainSettings,
    LightningOptions,
    TrainingSettings,
)

SETTINGS = {
    "debug": TrainingSettings, "demo": DemoSettings, "explain": ExplainSettings, "train": TrainingSettings,
    "evaluate": EvaluateSettings, "check": CheckSettings, "diagnose": DiagnoseSettings, "cure": CureSettings,
    "compare": CompareSettings,
}  # fmt: skip
FUNCTIONS = {"explain": "explain_files"}
# What run.json held of `shapsight train DATA` before epochs and the like could be None.
STORED = {
    "train_on": "all", "arch": "auto", "weights": "auto", "epochs": 0, "batch_size": 0, "learning_rate": 0.0,
    "schedule": "auto", "warm_up": 0, "patience": None, "class_weights": True, "color_jitter": None,
    "image_size": 0, "references": 25, "references_drawn": False, "explain": 8, "roi": None, "remedies": None,
    "scenes": None, "seed": 0, "device": "auto",
    "reading": {
        "task": None, "pattern": None, "targets": None, "scale": [], "label": None, "classes": None,
        "environment": None, "split": None, "group": None, "hold_out": None, "validation_share": 0.2,
        "test_share": 0.0, "path_column": None, "allow_outside": False,
    },
    "logger": None, "watch_every": None, "trainer": {},
}  # fmt: skip


@pytest.fixture
def settings_of(monkeypatch):
    """What a command's study is called with."""

    def asked(command: str, *options: str):
        given = []
        study = importlib.import_module(f"shapsight.studies.{command}.study")

        def noted(*arguments: object, **others: object) -> list[str]:
            given.extend(one for one in (*arguments, *others.values()) if isinstance(one, SETTINGS[command]))
            return SimpleNamespace(lines=())

        monkeypatch.setattr(study, FUNCTIONS.get(command, command), noted)
        place = {"demo": [], "compare": ["a", "b"]}.get(command, ["a"])
        needed = ["--out", "out"] if command in ("debug", "train") else []
        result = CliRunner().invoke(app, [command, *place, *needed, *options])
        assert result.exit_code == 0, result.output
        return given[0]

    return asked


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_options_asks_for_what_python_does(command, settings_of):
    assert settings_of(command) == SETTINGS[command]()


def test_options_reach_the_settings_as_what_they_are(settings_of):
    trained = settings_of(
        "train", "--epochs", "3", "--early-stop", "2", "--no-jitter", "--scenes", "walls", "--devices", "2",
        "--scale", "a=0:1", "--scale", "b=0:2", "--validation-share", "0.5", "--references-drawn",
    )  # fmt: skip
    reading = DataOptions(scale=("a=0:1", "b=0:2"), validation_share=0.5)
    assert trained == TrainingSettings(
        epochs=3, patience=2, color_jitter=False, scenes=Path("walls"), references_drawn=True, reading=reading,
        trainer=LightningOptions(devices="2"),
    )  # fmt: skip
    assert trained.trainer.as_arguments() == {"devices": 2}
    assert settings_of("cure", "--try", "flip, noise+light") == CureSettings(("flip", "noise+light"))
    assert settings_of("diagnose", "--only", "why,") == DiagnoseSettings(only=("why",))
    assert settings_of("explain", "--probability") == ExplainSettings(as_probability=True)


def options_in(settings: type) -> dict[str, Option]:
    found = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        if is_dataclass(hint):
            found |= options_in(hint)
        else:
            found[name] = next(note for note in get_args(hint) if isinstance(note, Option))
    return found


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("debug", "train")])
def test_every_setting_is_an_option_with_its_help_and_nothing_else_is(command):
    shown = {parameter.name: parameter for parameter in get_command(app).commands[command].params}
    for name, option in options_in(SETTINGS[command]).items():
        assert shown.pop(name).help == option.help
    assert set(shown) <= {
        "run", "data", "first", "second", "paths", "out", "csv", "overwrite", "model", "train", "json"
    }  # fmt: skip


def test_debug_and_train_share_the_settings_of_a_training():
    debug, train = (
        {p.name for p in get_command(app).commands[name].params} & set(options_in(TrainingSettings))
        for name in ("debug", "train")
    )
    assert debug - train == {"explain"}
    assert train - debug == {"logger", "watch_every", *options_in(LightningOptions)}


def as_stored(settings: TrainingSettings) -> dict[str, object]:
    return json.loads(json.dumps(settings.as_dict(), default=str))


def test_run_json_keeps_its_form_and_older_runs_can_be_resumed():
    now = as_stored(TrainingSettings())
    assert now == STORED
    assert list(now) == list(STORED)
    assert differences(STORED, now) == ""
    changed = replace(TrainingSettings(epochs=4), trainer=LightningOptions(devices="2", precision="32-true"))
    assert as_stored(changed)["trainer"] == {"devices": 2, "precision": "32-true"}
    said = "epochs was 0, is 4; trainer.precision was None, is 32-true"
    assert differences(STORED, as_stored(changed)) == said


def test_a_plan_takes_from_settings_what_has_the_same_name():
    assert {field.name for field in fields(TrainingPlan)} <= {
        field.name for field in fields(TrainingSettings)
    }
    settings = TrainingSettings(
        epochs=3, batch_size=2, learning_rate=0.1, schedule="one-cycle", patience=2, seed=5
    )
    plan = TrainingPlan.of(settings, trainer={}, warm_up=1)
    assert plan == TrainingPlan(3, 2, 0.1, "one-cycle", 1, 2, color_jitter=None, references=25, seed=5)


def test_the_penalty_of_right_reasons_has_one_default():
    assert CureSettings().strength == STRENGTH
