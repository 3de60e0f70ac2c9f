"""The demo: does it tell the story to its end, with what the other commands would find?"""

import json
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from shapsight.cli import app
from shapsight.errors import SettingError
from shapsight.studies.cure import study as cure
from shapsight.studies.cure.trials import treatment_of
from shapsight.studies.demo import study
from shapsight.studies.demo.facts import Demo
from shapsight.studies.shared.found import open_run

ONE, TWO, BOTH = ("room_1",), ("room_1", "room_2"), "more-environments+swap-scene"
ROOMS = {"baseline": ONE, "swap-scene": ONE, "more-environments": TWO, BOTH: TWO}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The demo of a world of a few small pictures, and what was trained for it: recipe, rooms, seed, steps."""
    usual = study.USUAL
    small = replace(
        usual,
        training=replace(usual.training, arch="small_cnn", image_size=48, epochs=8, references=3, explain=1),
        images_per_room=10,
        asked=replace(usual.asked, images=9, references=3),
    )
    trained, seen = cure.trained, []

    def watched(trial, budget, material, *more):
        loader = treatment_of(trial.recipe, budget, material).loader(material.manifest, material.images, 2)
        seen.append((trial.recipe, trial.trained_on, trial.seed, len(loader)))
        return trained(trial, budget, material, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "USUAL", small)
        patch.setattr(cure, "trained", watched)
        run = tmp_path_factory.mktemp("demo") / "run"
        story = study.demo(run, seed=3, device="cpu", progress=False)
    return story, seen


def test_every_remedy_gets_as_many_images_and_the_one_with_the_lowest_error_where_none_was_is_diagnosed(told):
    story, seen = told
    assert isinstance(story, Demo)
    assert seen == [(recipe, on, 3, 4) for recipe, on in ROOMS.items()]
    assert [(each.recipe, each.trained_on) for each in story.attempts] == [*ROOMS.items()]
    errors = {each.recipe: each.errors["room_3"].value for each in story.attempts[1:]}
    assert story.best.recipe == min(errors, key=errors.__getitem__)
    for attempt, found in ((story.attempts[0], story.before), (story.best, story.after)):
        unseen = [e.value for room, e in attempt.errors.items() if room not in attempt.trained_on]
        assert found.facts.errors.worst_error.value == max(unseen)
        assert found.facts.look.home.scene_share.is_known and found.facts.why.scene_share.is_known


def test_both_models_are_runs_whose_errors_are_those_that_are_told(told):
    story, _ = told
    assert json.loads((story.folder / "run.json").read_text())["status"] == "done"
    said, page = " ".join(" ".join(story.lines).split()), story.report().read_text()
    for folder, diagnosed in ((story.folder, story.before), (story.folder / "cured", story.after)):
        run = open_run(folder)
        predictions = pd.read_parquet(folder / "predictions.parquet")
        unseen = predictions[predictions["environment"] == "room_3"]
        assert set(unseen["split"]) == {"unseen"}
        by_hand = ((unseen["predicted_x"] - unseen["x"]) ** 2).mean()
        rows = run.errors[(run.errors["environment"] == "room_3") & (run.errors["target"] == "x")]
        assert rows["mse"].iloc[0] == pytest.approx(by_hand, rel=1e-5)
        assert f"room_3 {by_hand:.2g}" in said
        assert diagnosed.verdict.headline in said and diagnosed.verdict.headline in page
    assert open_run(story.folder / "cured").manifest.train_on == story.best.trained_on


def test_the_commands_go_on_with_what_the_demo_left(told, tmp_path):
    story, _ = told

    def shapsight(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result

    how = ("--only", "why", "--images", 9, "--references", 3, "--seed", 3)
    for folder in (story.folder, story.folder / "cured"):
        assert "Done already: look, why" in shapsight("diagnose", folder, *how).stderr
    shapsight("compare", story.folder, story.folder / "cured", "--explain", 1, "--out", tmp_path / "compared")


def test_of_quick_and_full_one_is_asked_for(tmp_path):
    with pytest.raises(SettingError, match="quick form or in its full form"):
        study.demo(tmp_path / "run", quick=True, full=True)
    assert not (tmp_path / "run").exists()
