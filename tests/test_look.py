"""Where does it look: the part of a diagnosis, on networks of which it is known where they look."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from pictures import rows_of
from shapsight.attribution.deep import DeepShap
from shapsight.attribution.shared.outputs import TopK
from shapsight.data.manifest import Manifest, no_skipped
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.diagnosis.randomised import randomised_copy
from shapsight.diagnosis.relevance_measures import NAMES
from shapsight.drawing.charts.measures import measures_plot, objects_plot
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.look.study import TABLES, look
from shapsight.studies.diagnose.look.words import sentences
from shapsight.studies.diagnose.strategies.study import strategies

SIZE = 24


class Window(nn.Module):
    """A network that sees nothing but some rows of the picture: their mean red, after a convolution of weights 1."""

    def __init__(self, first: int, last: int, outputs: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, outputs, 1)
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[:, 0] = 1 + torch.arange(outputs)[:, None, None]
            self.convolution.bias.zero_()
        self.rows = slice(first, last)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(self.convolution(images[:, :, self.rows])).mean((2, 3))


def case_of(
    rows: slice = slice(0, 12),
    environments: tuple[str, ...] = ("home", "away"),
    classes: tuple[str, ...] = (),
    labels: list[str] | None = None,
    region: slice | None = slice(12, SIZE),
    each: int = 12,
) -> Case:
    """Pictures of noise, explained exactly, for a network that sees `rows` while it should see `region`."""
    generator = torch.Generator().manual_seed(0)
    count = each * len(environments)
    images = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    names = classes or ("x",)
    card = Card(
        "window", names, {}, SIZE, (0.0,) * 3, (1.0,) * 3, class_names=classes,
        task="classification" if classes else "regression",
    )  # fmt: skip
    bundle = Bundle(Window(rows.start, rows.stop, len(names)), card, images[:6].clone())
    table = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(count)],
            "environment": np.repeat(environments, each),
            "split": ["validation" if name == "home" else "unseen" for name in np.repeat(environments, each)],
            "width": SIZE,
            "height": SIZE,
        }
    )
    targets = () if classes else ("x",)
    if classes:
        table["label"] = labels or [classes[number % len(classes)] for number in range(count)]
    else:
        table["x"] = np.linspace(-1, 1, each).tolist() * len(environments)
    manifest = Manifest(Path(), table, targets, no_skipped(), train_on=("home",), class_names=classes)
    explainer = DeepShap(bundle.model, bundle.prepare(bundle.references), output_names=names)
    explanation = explainer(bundle.prepare(images), TopK(1) if classes else ["x"])
    masks = None
    if region is not None:
        masks = np.zeros((count, SIZE, SIZE), bool)
        masks[:, region] = True
    rows_of_case = predict_table(bundle, manifest, images)
    return Case(bundle, manifest, rows_of_case, images, masks, explanation, targets)


@pytest.fixture(scope="module")
def findings():
    return look(case_of())


def test_a_network_that_sees_only_the_scene_has_all_of_its_attribution_outside(findings):
    table = findings.tables["measures"].set_index(["environment", "measure"])["value"]
    for environment in ("home", "away"):
        assert table[environment, "mass_accuracy"] == 0
        assert table[environment, "rank_accuracy"] == 0
        assert table[environment, "pointing_game"] == 0
        assert 0.3 < table[environment, "area"] < 0.5
    facts = findings.facts.to_json()
    assert facts["inside_elsewhere"] == 0
    assert facts["inside_elsewhere_chance"] == 0.5
    assert facts["images_home"] == facts["images_elsewhere"] == 12
    assert facts["scene_share_home"] == facts["scene_share_elsewhere"] == 1
    assert facts["region_size_home"] == 0
    assert facts["scene_variance_elsewhere"] == pytest.approx(1)
    assert facts["contributions_from"] == "DeepSHAP"
    assert facts["exact_relative"] < 1e-5
    assert "the scene contributes 100% where it was trained" in findings.sentences[0]
    assert {"contributions", "contributions_by_place", "agreement_with_exact"} <= set(findings.tables)


def test_a_network_that_sees_only_the_region_has_none_outside():
    facts = look(case_of(rows=slice(12, 24)), randomised_copies=0).facts.to_json()
    assert facts["inside_home"] == facts["pointing_elsewhere"] == 1
    assert facts["scene_share_home"] == facts["scene_size_elsewhere"] == 0
    assert facts["rank_accuracy_elsewhere"] == 1
    assert facts["inside_elsewhere_randomised"] is None


def test_the_randomised_copy_stands_beside_every_measure_that_both_have(findings):
    table = findings.tables["measures"]
    # The network has no other rows to see, whatever its weights are.
    inside = table[table["measure"] == "mass_accuracy"]
    assert (inside["randomised"].dropna() == 0).all()
    assert table["randomised"].notna().all()
    assert (table["randomised_low"] <= table["randomised_high"]).all()


def test_a_randomised_copy_has_other_weights_and_leaves_the_model_and_the_random_numbers_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MultiheadAttention(4, 2))
    model[1].running_mean += 3
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    copies = [randomised_copy(model, seed) for seed in (0, 0, 1)]
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    one, two, three = (copied.state_dict() for copied in copies)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["0.weight"], before["0.weight"])
    assert not torch.equal(one["0.weight"], three["0.weight"])
    assert (one["1.running_mean"] == 0).all()
    assert not torch.equal(one["2.in_proj_weight"], before["2.in_proj_weight"])
    shuffled, own = (
        one["2.in_proj_weight"].flatten().sort().values,
        before["2.in_proj_weight"].flatten().sort().values,
    )
    assert torch.equal(shuffled, own)
    assert not copies[0].training


def test_facts_can_be_written_as_json_and_every_documented_one_is_there(findings):
    written = json.loads(json.dumps(findings.facts.to_json(), allow_nan=False))
    for place in ("home", "elsewhere"):
        for name in ("inside", "rank_accuracy", "pointing", "entropy", "area"):
            for ending in ("", "_low", "_high", "_chance", "_randomised"):
                assert f"{name}_{place}{ending}" in written
        assert {f"same_place_{place}", f"still_{place}", f"does_move_{place}"} <= set(written)
    json.dumps(strategies(case_of()).facts.to_json(), allow_nan=False)


def test_without_a_region_the_measures_that_need_one_are_left_out_and_that_is_said():
    found = look(case_of(region=None), randomised_copies=1, randomised_images=2)
    assert set(found.tables["measures"]["measure"]) == {"entropy", "area"}
    assert any("No region of interest" in said for said in found.left_out)
    assert not found.facts.elsewhere.inside.is_known
    assert len(found.sentences) >= 2
    assert len(found.pictures) == 4


@pytest.mark.parametrize("region", [slice(0, 0), slice(0, SIZE)])
def test_a_region_that_is_empty_or_everything_counts_nowhere_and_that_is_said(region):
    found = look(case_of(region=region), randomised_copies=0)
    assert any("24 of 24 images" in said for said in found.left_out)
    assert set(found.tables["measures"]["measure"]) == {"entropy", "area"}


def test_a_region_that_is_empty_in_some_images_is_counted_in_the_others():
    case = case_of()
    masks = case.masks.copy()
    masks[:5] = False
    found = look(dataclasses.replace(case, masks=masks), randomised_copies=0)
    assert any("5 of 24 images" in said for said in found.left_out)
    table = found.tables["measures"].set_index(["environment", "measure"])
    assert table.loc[("home", "mass_accuracy"), "images"] == 7
    assert table.loc[("home", "entropy"), "images"] == 12


def test_a_region_of_another_size_is_refused_with_both_sizes():
    case = case_of()
    with pytest.raises(DataError, match=r"\(24, 24, 24\)"):
        dataclasses.replace(case, masks=np.ones((24, 12, 12), bool))


def test_a_single_environment_is_diagnosed_and_what_is_missing_is_said():
    case = case_of(environments=("home",), each=20)
    found = look(case, randomised_copies=0)
    assert any("unseen environment" in said for said in found.left_out)
    assert "where it was trained" in found.sentences[0]
    assert any("unseen" in said for said in strategies(case).left_out)


def test_fewer_images_than_clusters_leave_strategies_out():
    found = strategies(case_of(each=2), clusters=5)
    assert found.facts.count is None
    assert "5 clusters cannot be made of 4 images" in found.left_out[0]
    assert "too few" in strategies(case_of(each=2)).left_out[0]


def test_classes_are_pooled_and_one_that_an_environment_lacks_is_named():
    labels = ["cat", "dog"] * 6 + ["cat"] * 12
    found = look(case_of(classes=("cat", "dog"), labels=labels), randomised_copies=1, randomised_images=2)
    assert found.facts.output == "the predicted class"
    assert found.facts.elsewhere.inside.value == 0
    assert any("No image of away shows dog" in said for said in found.left_out)
    assert "the predicted class" in set(found.tables["measures"]["output"])


def test_objects_get_their_share_and_the_one_with_most_is_named():
    case = case_of()
    window, bench = np.zeros((2, 24, SIZE, SIZE), bool)
    window[:, :6] = True
    bench[:, 12:14] = True
    found = look(dataclasses.replace(case, objects={"window": window, "bench": bench}), randomised_copies=0)
    shares = found.tables["objects"].set_index(["environment", "category"])["share"]
    assert shares["away", "bench"] == 0
    assert shares["away", "window"] == pytest.approx(0.5, abs=0.05)
    assert "Attribution on kinds of objects" in {picture.alt for picture in found.pictures}
    for shown in TABLES:
        table = found.tables[shown.name]
        assert [column.name for column in shown.columns] == [column.name for column in shown.present(table)]
    assert found.facts.object_chance == pytest.approx(
        {"window": 0.25, "everything else": 2 / 3}[found.facts.object], abs=0.01
    )


def test_a_corner_that_the_network_always_looks_at_stays_whatever_the_target(findings):
    assert findings.facts.elsewhere.same_place > 0.85
    assert any("stays at the same place" in said or "moves little" in said for said in findings.sentences)


def test_only_without_a_region_does_attribution_that_stays_point_to_the_scene():
    facts = look(case_of(region=None), randomised_copies=0).facts
    still = replace(facts.elsewhere, same_place=0.97, same_place_shuffled=0.96, does_move=False)
    facts = replace(facts, elsewhere=still)
    assert any("points to the scene" in said for said in sentences(facts))
    assert not any("points to the scene" in said for said in sentences(replace(facts, has_region=True)))
    apart = replace(still, same_place=0.5)
    assert any("cannot be told" in said for said in sentences(replace(facts, elsewhere=apart)))
    moves = replace(facts, elsewhere=replace(apart, does_move=True))
    assert any("moves with the target" in said for said in sentences(moves))


def test_sentences_are_made_of_what_is_known_only():
    nothing = look(case_of(region=None, each=2), randomised_copies=0).facts
    said = sentences(nothing)
    assert len(said) == 1
    assert said[0].startswith("90 % of the attribution")


def test_an_explanation_without_any_attribution_is_told():
    case = case_of()
    flat = dataclasses.replace(case.explanation, values=torch.zeros_like(case.explanation.values))
    found = look(dataclasses.replace(case, explanation=flat), randomised_copies=0)
    assert any("24 heatmaps hold no attribution" in said for said in found.left_out)
    assert "too few" in strategies(dataclasses.replace(case, explanation=flat)).left_out[0]


def test_the_same_seed_gives_the_same_findings(findings):
    again = look(case_of())
    for name in findings.tables:
        pd.testing.assert_frame_equal(findings.tables[name], again.tables[name])
    assert findings.facts.to_json() == again.facts.to_json()


def test_progress_ends_at_its_total():
    seen: list[tuple[int, int]] = []
    look(
        case_of(each=4),
        lambda done, total: seen.append((done, total)),
        randomised_copies=2,
        randomised_images=2,
    )
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_pictures_show_each_measure_environment_and_output_or_refuse(findings):
    chart = next(
        picture.chart for picture in findings.pictures if picture.alt == "Where the attribution lies"
    )
    assert len(chart.vconcat) == len(NAMES)
    assert {row["row"] for row in rows_of(chart)} == {"home · validation", "away · unseen"}
    with pytest.raises(DataError):
        measures_plot(findings.tables["measures"], "no such output", {})
    with pytest.raises(DataError):
        objects_plot(pd.DataFrame(), "x")
    mean = next(
        picture for picture in findings.pictures if picture.alt == "Mean attribution in each environment"
    )
    assert [image.caption for image in mean.images] == [
        f"{place}, mean of 12 images: mean, standard deviation" for place in ("away", "home")
    ]
    sizes = case_of().explanation.heatmap(detail="pixels")[:, 0].abs().numpy()
    away = case_of().rows["environment"].to_numpy() == "away"
    np.testing.assert_allclose(mean.images[0].maps[0].values, sizes[away].mean(0), rtol=1e-6)
    np.testing.assert_allclose(mean.images[0].maps[1].values, sizes[away].std(0), rtol=1e-5, atol=1e-9)
