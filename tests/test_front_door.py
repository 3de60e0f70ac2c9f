"""The studies as functions of a bundle or a run, in Python and on the command line."""

import inspect
import json
import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import transforms
from typer.main import get_command
from typer.testing import CliRunner

import shapsight as ss
from discs import write_discs
from shapsight.cli import COMMANDS, app
from shapsight.data.scale import Scale
from shapsight.drawing.charts.files import svg
from shapsight.errors import DataError, ModelError, SettingError, ShapsightError
from shapsight.models.bundle import Bundle
from shapsight.studies.cure.study import comparable
from shapsight.studies.explain.study import explain_files
from shapsight.studies.shared.subject import prediction_warnings

SIZE = 32
QUICK = {"images": 8, "references": 2, "device": "cpu", "progress": False}
TRAINED = {
    "arch": "small_cnn", "epochs": 2, "batch_size": 4, "references": 3, "device": "cpu", "progress": False,
}  # fmt: skip
OWN = """
import shapsight
from pathlib import Path

def load_bundle():
    return shapsight.load_bundle(Path(__file__).parent / "run" / "model")

def number():
    return 3

plan = shapsight.training(arch="small_cnn", epochs=1, batch_size=4, image_size=32)
"""


class Steering(nn.Module):
    """A network of a user's own."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, outputs)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def own_bundle(model: nn.Module | None = None, names: tuple[str, ...] = ("x", "y")) -> Bundle:
    """A model of a user's own, without references."""
    torch.manual_seed(0)
    return Bundle.wrap(Steering(len(names)) if model is None else model, outputs=names, size=SIZE)


def shapsight(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    for number, room in enumerate(("red", "green", "blue")):
        write_discs(folder / "data" / room, 10, seed=number)
    ss.train(folder / "data", folder / "run", train_on=["red"], **TRAINED)
    (folder / "my_front.py").write_text(OWN)
    return folder


@pytest.fixture
def photos(place: Path):
    return ss.read_dataset(place / "data", train_on="red")


def facts_of(folder: Path) -> dict[str, object]:
    return {part.parent.name: json.loads(part.read_text())["facts"] for part in folder.glob("*/facts.json")}


def test_a_run_its_bundle_and_the_command_line_come_to_the_same_facts(place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    run = ss.open(place / "run")
    of_run = ss.diagnose(run, out=tmp_path / "run", roi="below:16", **QUICK)
    of_bundle = ss.diagnose(ss.load_bundle(place / "run" / "model"), run.manifest, roi="below:16", **QUICK)
    assert of_run.facts.why.scene_share.is_known
    assert of_run.verdict == of_bundle.verdict
    for part in ("errors", "look", "why", "strategies", "trust"):
        assert getattr(of_run.facts, part).to_json() == getattr(of_bundle.facts, part).to_json()
    common = ["--roi", "below:16", "--images", 8, "--references", 2, "--device", "cpu", "--out"]
    for given in ([place / "run"], ["--model", "my_front:load_bundle", place / "run"]):
        result = shapsight("diagnose", *given, *common, tmp_path / str(len(given)))
        assert result.exit_code == 0, result.output
        assert facts_of(tmp_path / str(len(given))) == facts_of(tmp_path / "run")


def test_the_same_weights_wrapped_with_a_transform_come_to_the_same_facts(place, tmp_path):
    run = ss.open(place / "run")
    card, side = run.bundle.card, run.bundle.seen.size
    steps = [transforms.Resize(side), transforms.ToTensor(), transforms.Normalize(card.mean, card.std)]
    wrapped = ss.Bundle.wrap(run.bundle.model, transforms.Compose(steps), outputs=card.output_names)
    wrapped = wrapped.with_references(run.bundle.chosen)
    pictures = run.bundle.load(run.manifest)
    torch.testing.assert_close(wrapped.load(run.manifest), pictures)
    torch.testing.assert_close(wrapped.predict(pictures), run.bundle.predict(pictures))
    of_run = ss.diagnose(run, out=tmp_path / "run", roi="below:16", **QUICK)
    of_wrapped = ss.diagnose(wrapped, run.manifest, roi="below:16", **QUICK)
    assert of_run.verdict == of_wrapped.verdict
    for part in ("errors", "look", "why", "strategies", "trust"):
        assert getattr(of_run.facts, part).to_json() == getattr(of_wrapped.facts, part).to_json()


def test_what_is_found_shows_itself_and_is_kept_as_long_as_it_is_asked_for(place, photos, tmp_path):
    found = ss.diagnose(
        ss.load_bundle(place / "run" / "model"), photos, only=["why"], roi="below:16", **QUICK
    )
    assert set(found.parts) == {"why"}
    assert {"errors", "images", "why.variants"} <= set(found.tables)
    html = found._repr_html_()
    assert found.verdict.headline in html
    assert 'src="data:image/png;base64,' in html
    assert (
        found.report(tmp_path / "pages" / "why.html").read_text()
        == (found.folder / "report.html").read_text()
    )
    kept, gone = found.save(tmp_path / "kept"), found.folder
    assert (kept / "verdict.json").is_file()
    assert all(path.is_file() for path in found.figures.values())
    del found
    assert not gone.exists()


def test_evaluate_measures_a_bundle_on_what_the_data_call_trained_and_says_so(place, photos):
    found = ss.evaluate(ss.load_bundle(place / "run" / "model"), photos, progress=False)
    of_run = ss.evaluate(ss.open(place / "run"), progress=False)
    pd.testing.assert_frame_equal(found.table, of_run.table)
    assert any("8 train, 2 validation, 20 unseen" in line for line in found.lines)
    assert not any("taken from the splits" in line for line in of_run.lines)
    assert svg(found.plot(), "a").startswith("<svg")
    trained = replace(photos, table=photos.table.assign(split="train"))
    said = ss.evaluate(ss.load_bundle(place / "run" / "model"), trained, progress=False).lines
    assert any("Nothing is held out" in line for line in said)
    unseen = ss.evaluate(ss.load_bundle(place / "run" / "model"), place / "data", progress=False)
    assert set(unseen.table["split"]) == {"unseen"}
    assert any("all 30 images count as unseen" in line for line in unseen.lines)


def test_a_model_without_references_gets_them_and_is_left_as_it_was(photos):
    bundle = own_bundle()
    bundle.model.train()
    before = {name: value.clone() for name, value in bundle.model.state_dict().items()}
    found = ss.diagnose(bundle, photos, only=["look"], roi="below:16", images=6, progress=False)
    assert any("were chosen among the 8 training images" in note for note in found.examined.notes)
    assert found.facts.look.home.scene_share.is_known
    assert bundle.model.training
    assert all(torch.equal(before[name], value) for name, value in bundle.model.state_dict().items())
    assert len(bundle.references) == 0


def test_models_of_ones_own_are_compared_on_what_the_data_hold_out(photos, tmp_path):
    torch.manual_seed(1)
    found = ss.compare(
        own_bundle(),
        own_bundle(Steering()),
        photos,
        roi="below:16",
        explain=1,
        names=["before", "after"],
        progress=False,
    )
    assert len(found.first.predictions) == 22
    assert (found.first.name, found.second.name) == ("before", "after")
    change = found.table.set_index(["environment", "target"])
    blue = found.second.predictions.query("environment == 'blue'")
    assert change.loc[("blue", "x"), "second"] == pytest.approx(
        ((blue["predicted_x"] - blue["x"]) ** 2).mean()
    )
    assert not list(found.folder.glob("model*"))


def test_a_function_that_can_only_be_asked_is_compared_and_diagnosed_by_asking_it(photos):
    def brightness(batch):
        return np.stack([batch[:, :, 16:].mean((1, 2, 3)), batch[:, :, :16].mean((1, 2, 3))], 1) / 127.5 - 1

    bundle = Bundle.wrap(brightness, outputs=["x", "y"], size=SIZE)
    found = ss.compare(bundle, bundle, photos, roi="below:16", explain=1, progress=False)
    assert (found.first.name, found.second.name) == ("first", "second")
    assert found.second.explanation.method.startswith("PartitionSHAP")
    share = found.first.shares("x")
    assert share == pytest.approx(dict.fromkeys(share, 0.0), abs=1e-6)  # x is of the region alone
    told = ss.diagnose(bundle, photos, roi="below:16", images=8, only=["why"], outputs=["y"], progress=False)
    assert told.facts.why.scene_share.value > 0.98  # and y of the scene


def test_a_cure_of_ones_own_training_ranks_what_it_returns_and_lists_what_failed(photos):
    called = []

    def my_train(images, recipe, seed):
        called.append((recipe.name, images.train_on, seed))
        row = images.split("train").iloc[0]
        assert recipe.roi.mask(row).shape == (row["height"], row["width"])
        if recipe.name == "light" and seed == 1:
            raise ValueError("no luck")
        if recipe.name == "noise":
            return None
        torch.manual_seed(seed)
        return own_bundle()

    found = ss.cure(
        my_train, photos, recipes=["light", "noise", "flip+light"], seeds=2, roi="below:16", explain=1, references=2,
        progress=False,
    )  # fmt: skip
    names, rooms = (
        ("baseline", "light", "noise", "flip+light"),
        [(room,) for room in ("red", "green", "blue")],
    )
    assert set(called) == set(product(names, rooms, (0, 1)))
    assert set(found.table["recipe"]) == {"baseline", "light", "flip+light"}
    assert set(found.table["seeds"]) == {1}
    reasons = found.failed.groupby("recipe")["reason"].first()
    assert reasons["light"] == "ValueError: no luck"
    assert "my_train returned nothing" in reasons["noise"]
    assert any("Seed 1 is left out" in line for line in found.lines)
    judged = found.tables["judged"].query("recipe == 'baseline'")
    by_hand = (((judged["predicted_x"] - judged["x"]) ** 2 + (judged["predicted_y"] - judged["y"]) ** 2) / 2).groupby(
        judged["environment"]
    ).mean().mean()  # fmt: skip
    assert found.table.set_index("recipe").loc["baseline", "error"] == pytest.approx(by_hand)
    assert "no luck" in found.report().read_text()
    with pytest.raises(DataError, match="right-reasons is no change of images"):
        ss.cure(my_train, photos, recipes=["right-reasons"], roi="below:16", progress=False)
    with pytest.raises(ModelError, match="every training failed; the first: ValueError: broken"):
        ss.cure(_broken, photos, recipes=["light"], seeds=1, progress=False)
    with pytest.raises(ModelError, match=r"give a run, shapsight\.training"):
        ss.cure(own_bundle(), photos, progress=False)


def _broken(photos, recipe, seed):
    raise ValueError("broken")


def test_a_plan_is_cured_in_python_and_on_the_command_line(place, photos, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    plan = ss.training(arch="small_cnn", epochs=1, batch_size=4, image_size=32)
    found = ss.cure(plan, ss.read_dataset(place / "data"), recipes=["light"], seeds=1, progress=False)
    result = shapsight(
        "cure",
        "--train",
        "my_front:plan",
        place / "data",
        "--try",
        "light",
        "--seeds",
        1,
        "--out",
        tmp_path / "cure",
    )
    assert result.exit_code == 0, result.output
    again = pd.read_csv(tmp_path / "cure" / "ranking.csv").set_index("recipe")["error"]
    np.testing.assert_allclose(again, found.table.set_index("recipe")["error"].loc[again.index], rtol=1e-6)


def test_trainings_can_be_compared_where_the_same_seeds_are_left():
    judged = pd.DataFrame([("baseline", 0), ("baseline", 1), ("a", 0), ("b", 1)], columns=["recipe", "seed"])
    failed = pd.DataFrame([("a", "red", 1, "x"), ("b", "red", 0, "x"), ("b", "red", 1, "x")])
    failed.columns = ["recipe", "trained_on", "seed", "reason"]
    left, said = comparable(judged, failed)
    assert left.values.tolist() == [["baseline", 0], ["a", 0]]
    assert said[0] == "b is not ranked: it failed in seed 0, 1."
    assert said[1].startswith("Seed 1 is left out")
    assert comparable(judged, failed[:0])[0] is judged
    with pytest.raises(ModelError, match="the baseline failed in every seed"):
        comparable(judged, failed.assign(recipe="baseline"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": 3}, "diagnose has no option 'image': did you mean images"),
        ({"images": 1}, "images=1 must be 2 or more"),
        ({"images": "many"}, "images='many' is not a whole number"),
        ({"images": True}, "images=True is not a whole number"),
        ({"only": [3]}, "is not a list of texts"),
        ({"settings": ss.training()}, "takes DiagnoseSettings, not TrainingSettings"),
        ({"targets": ["x"]}, "targets cannot be given here, since the data were read already"),
        ({"only": "look,what"}, "what is no part of a diagnosis"),
    ],
)
def test_an_option_that_cannot_be_is_one_sentence(photos, given, said):
    with pytest.raises(ShapsightError, match=re.escape(said)):
        ss.diagnose(own_bundle(), photos, **given)
    assert issubclass(SettingError, TypeError)


def test_lists_and_texts_by_comma_are_the_same_settings():
    one = ss.training(train_on=["red", "blue"], targets=["x"], scale=["x=0:1"], remedies="flip,light")
    two = ss.training(train_on="red,blue", targets="x", scale=("x=0:1",), remedies=["flip", "light"])
    assert one == two
    with pytest.raises(SettingError, match="train_on"):
        ss.training(train_on=["a,b"])


def test_a_mismatch_of_model_and_data_names_both(place, photos, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    with pytest.raises(DataError, match="predicts speed, the data hold x, y"):
        ss.evaluate(own_bundle(names=("speed",)), photos, progress=False)
    more = ss.evaluate(own_bundle(_Some([1, 0]), names=("y", "x")), photos, progress=False)
    plain = ss.evaluate(own_bundle(_Some([0, 1])), photos, progress=False)
    for target in ("x", "y"):
        one, two = (found.table.set_index("target").loc[target, "mse"] for found in (more, plain))
        np.testing.assert_allclose(one, two)
    for model, complaint in [
        ("my_front:number", "gives a int, not a Bundle"),
        ("my_front:missing", "cannot be imported"),
        ("nowhere", "is no run of shapsight"),
        (nn.Identity(), "a study takes a Bundle"),
    ]:
        with pytest.raises(ShapsightError, match=complaint):
            ss.evaluate(model, photos, progress=False)
    with pytest.raises(DataError, match="say which images"):
        ss.evaluate(own_bundle(), progress=False)


class _Some(nn.Module):
    """Some outputs of the same network."""

    def __init__(self, columns: list[int]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steering, self.columns = Steering(), columns

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.steering(images)[:, self.columns]


def test_data_without_targets_are_refused_where_they_are_judged(place):
    without = ss.read_dataset(place / "data", targets=[])
    for study in (ss.evaluate, ss.diagnose):
        with pytest.raises(DataError, match="have no targets, so there is nothing to judge Steering by"):
            study(own_bundle(), without, progress=False)


@pytest.mark.parametrize(
    ("said", "is_told"),
    [
        (lambda x, noise: 112 * (x + 1), True),  # pixels
        (lambda x, noise: (x + 1) / 2 + 0.02 * noise, True),  # from 0 to 1
        (lambda x, noise: 40 * x, True),  # degrees
        (lambda x, noise: x + noise, False),  # bad, but on its scale
        (lambda x, noise: 0 * x + 0.01, False),  # constant
        (lambda x, noise: 0.1 * noise, False),  # knows nothing
        (lambda x, noise: -x, False),  # the wrong way round
    ],
)
def test_another_scale_is_noticed_from_the_numbers(photos, said, is_told):
    x = 0.4 * np.sin(np.arange(60)) + 0.1
    table = pd.DataFrame({"x": x, "predicted_x": said(x, np.random.default_rng(0).normal(size=60))})
    table = table.assign(y=x, predicted_y=x)
    if not is_told:
        assert prediction_warnings(table, photos) == ()
        return
    with pytest.warns(
        UserWarning, match=r"x seems to be on another scale .* the data hold -0\.3 to 0\.5, the model says"
    ):
        assert len(prediction_warnings(table, photos)) == 1


def test_a_run_trained_in_python_is_opened_again_and_keeps_its_files(place, photos, tmp_path):
    run = ss.train(photos, train_on=["green"], **TRAINED)
    assert run.manifest.train_on == ("green",)
    assert set(run.manifest.split("unseen")["environment"]) == {"red", "blue"}
    assert len(run.errors) == len(ss.open(run.save(tmp_path / "kept")).errors)
    assert run.bundle.predict(
        place / "data" / "red" / photos.split("train")["path"].iloc[0].split("/")[1]
    ).shape == (1, 2)
    assert "small_cnn trained on green" in run._repr_html_()
    checked = ss.check(photos, progress=False)
    assert len(checked.lines) == len(checked.table)


def test_the_command_line_wants_a_dataset_beside_a_model_of_ones_own(place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.chdir(tmp_path)
    alone = shapsight("evaluate", "--model", "my_front:load_bundle")
    assert alone.exit_code == 2
    assert "name the dataset" in " ".join(alone.stderr.split())
    assert shapsight("evaluate").exit_code == 2
    for _ in range(2):  # what is there by default is replaced
        both = shapsight("evaluate", "--model", "my_front:load_bundle", place / "data", "--device", "cpu")
        assert both.exit_code == 0, both.output
    assert (tmp_path / "runs" / "evaluation" / "report.html").is_file()
    compared = shapsight(
        "compare",
        place / "run",
        "--model",
        "my_front:load_bundle",
        place / "data",
        "--explain",
        1,
        "--out",
        tmp_path / "c",
    )
    assert compared.exit_code == 0, compared.output
    image = next((place / "data" / "red").iterdir())
    told = shapsight(
        "explain",
        image,
        "--model",
        "my_front:load_bundle",
        "--max-evals",
        20,
        "--masker",
        "mean",
        "--out",
        tmp_path / "e",
    )
    assert told.exit_code == 0, told.output
    shutil.rmtree(tmp_path / "runs")


FUNCTIONS = {name: getattr(ss, name) for name in COMMANDS if name != "explain"} | {"explain": explain_files}
# What only one side has: a path instead of an object, and how Python is told to be quiet.
NOT_IN_PYTHON = {"run": "model", "paths": "paths"}
NOT_ON_THE_COMMAND_LINE = {"settings", "progress", "command"}


@pytest.mark.parametrize("command", COMMANDS)
def test_python_and_the_command_line_have_the_same_options_and_defaults(command):
    shown = {parameter.name: parameter for parameter in get_command(app).commands[command].params}
    asked = inspect.signature(FUNCTIONS[command]).parameters
    mine = set(asked) - NOT_ON_THE_COMMAND_LINE
    theirs = set(shown) - {"json"} - ({"run", "model"} if command != "explain" else set())
    assert mine - {"model"} - ({"train"} if command == "cure" else set()) == theirs - {"model", "train"}
    for name in set(mine) & set(shown) - {"out", "train", "model"}:
        default = asked[name].default
        if default is inspect.Parameter.empty:
            continue
        as_text = ",".join(default) if isinstance(default, tuple) else default
        assert shown[name].default in (default, as_text) or (default == () and not shown[name].default)


def test_the_table_in_the_docs_has_every_command_with_its_function():
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (?:`ss\.(\w+)`|–)", text, re.MULTILINE))
    assert set(told) == set(get_command(app).commands)
    assert all(hasattr(ss, function) for function in told.values() if function)
    assert {command for command in COMMANDS if told[command] != command} == set()


def test_a_diagnosis_of_a_network_in_training_is_that_of_one_in_eval_mode_and_leaves_it_alone(photos):
    found = []
    for is_training in (True, False):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), Steering().layers[2:])
        network[1].running_mean.fill_(0.3)
        bundle = own_bundle(network.train(is_training))
        before = {name: value.clone() for name, value in network.state_dict().items()}
        facts = ss.diagnose(
            bundle, photos, only=["look", "trust"], roi="below:16", images=6, progress=False
        ).facts
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert {module.training for module in network.modules()} == {is_training}
        found.append(facts.trust.to_json())
    assert found[0] == found[1]


def test_one_image_makes_no_model_constant(photos):
    one = replace(photos, table=photos.table.iloc[:1])
    found = ss.diagnose(own_bundle(), one, only=["look"], progress=False)
    assert not found.facts.errors.is_constant
    assert "every image" not in " ".join(found.lines)


@pytest.mark.filterwarnings("ignore:.*seems to be on another scale")  # four images do not tell
def test_one_image_of_each_environment_is_too_few_to_swap_scenes(photos):
    first = photos.table.groupby("environment").head(1)
    four = replace(
        photos, table=pd.concat([first, first.iloc[:1].assign(environment="yellow")], ignore_index=True)
    )
    found = ss.diagnose(own_bundle(), four, roi="below:16", only=["why"], progress=False)
    assert not found.facts.why.scene_change.is_known
    assert "No two images are of one environment" in found.parts["why"].left_out[0]


def test_a_classifier_of_one_label_is_constant_only_where_its_probabilities_are(place):
    labelled = ss.read_dataset(place / "data", task="classification", label="folder:1", environment="name:^.")
    for spread, is_constant in ((1.0, False), (0.0, True)):
        model = Steering(3)
        with torch.no_grad():
            model.layers[-1].weight.mul_(spread)
            model.layers[-1].bias.copy_(torch.tensor([9.0, 0, 0]))
        bundle = Bundle.wrap(model, outputs=labelled.class_names, size=SIZE, task="classification")
        found = ss.diagnose(bundle, labelled, only=["look"], images=6, progress=False)
        assert found.facts.errors.is_constant == is_constant


def test_a_target_of_a_tiny_unit_is_not_taken_for_constant(photos):
    names = list(photos.targets)
    table = photos.table.assign(**{name: photos.table[name] * 1e-7 for name in names})
    tiny = replace(photos, table=table, scales={name: Scale(-1e-7, 1e-7) for name in names})
    model = Steering()
    with torch.no_grad():
        model.layers[-1].weight.mul_(1e-7)
        model.layers[-1].bias.mul_(1e-7)
    found = ss.diagnose(own_bundle(model), tiny, only=["look"], images=6, progress=False)
    assert not found.facts.errors.is_constant


def test_a_module_of_ones_own_that_fails_is_told_in_a_sentence(place, tmp_path, monkeypatch):
    (tmp_path / "my_broken.py").write_text("def boom():\n    raise ValueError('no weights here')\n")
    (tmp_path / "my_syntax.py").write_text("def boom(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, said in (("my_broken:boom", "no weights here"), ("my_syntax:boom", "SyntaxError")):
        with pytest.raises(ss.ShapsightError, match=said):
            ss.evaluate(name, place / "data")


def test_bundles_that_see_other_parts_of_an_image_cannot_be_compared(place, photos):
    network = ss.open(place / "run").bundle.model
    size = transforms.Resize((32, 32))
    whole, part = (
        ss.Bundle.wrap(network, transforms.Compose([*steps, transforms.ToTensor()]), outputs=["x", "y"])
        for steps in ([size], [transforms.CenterCrop(20), size])
    )
    with pytest.raises(ss.ShapsightError, match="see other parts of an image"):
        ss.compare(whole, part, photos)


def test_answers_that_are_no_numbers_are_counted_and_said(photos):
    class Sometimes(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.is_bad = torch.nn.Conv2d(3, 2, 32), False

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.net(images).flatten(1)
            return found.where(torch.tensor(not self.is_bad), torch.nan)

    network = Sometimes()
    bundle = ss.Bundle.wrap(network, transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()]),
                            outputs=["x", "y"])  # fmt: skip
    network.is_bad = True
    with pytest.warns(UserWarning, match="answers 30 of 30 images with NaN or infinite numbers"):
        ss.evaluate(bundle, photos, progress=False)
