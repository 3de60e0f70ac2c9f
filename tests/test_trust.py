"""The part of the diagnosis that tests explanations: it trusts good ones, and finds bad ones."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from shapsight.diagnosis.faithfulness.affordable import EXACT_WORK, affordable, work_of
from shapsight.drawing.charts.files import svg
from shapsight.drawing.stills import stills_plot
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.specimen import Effort, Measured, Specimen
from shapsight.studies.diagnose.trust.study import STEPS, checks_of, level_of, trust
from shapsight.studies.shared.sampling import spread_over_environments
from trust_cases import a_case, case_of, trained

QUICK = {"images": 6, "few": 2, "regions": 6, "layers": 2, "noises": 1, "evaluations": 40, "samples": 16}


@pytest.fixture(scope="module")
def of_regression():
    seen = []
    return trust(a_case(), lambda done, total: seen.append((done, total)), **QUICK), seen


def test_the_explanations_of_a_model_that_finds_the_square_are_trusted(of_regression):
    findings, _ = of_regression
    facts = findings.facts
    assert facts.level == "good", facts
    assert facts.checks == 11
    assert facts.deletion_ratio.value > 1 > facts.insertion_ratio.value
    assert facts.completeness_of_change < 1e-4
    assert findings.part == "trust"


def test_facts_are_flat_json_and_every_sentence_is_of_these_numbers(of_regression):
    findings, _ = of_regression
    written = json.dumps(findings.facts.to_json(), allow_nan=False)
    assert TrustFacts.from_json(json.loads(written)) == findings.facts
    text = " ".join(findings.sentences)
    assert f"pass {findings.facts.checks_passed} of 11 checks on 6 images" in text
    assert "nan" not in text.lower()
    assert findings.left_out == ()


def test_progress_only_grows_and_ends_at_its_total(of_regression):
    _, seen = of_regression
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {sum(step.cost for step in STEPS)} == {done[-1]}


def test_there_is_a_table_and_a_picture_of_every_measure(of_regression):
    findings, _ = of_regression
    assert set(findings.tables) == set(
        "images completeness curves hidden infidelity sensitivity randomisation agreement regions exact "
        "absence parts occlusion".split()
    )
    assert len(findings.pictures) == 7
    for picture in findings.pictures:
        if picture.chart is None:
            stills_plot(picture.images, picture.maps).canvas.draw()
        else:
            assert svg(picture.chart, "a").startswith("<svg")
    assert set(findings.tables["images"]["environment"]) == {"here", "there"}


@pytest.mark.parametrize("kind", ["shuffled", "noise"])
def test_values_at_the_wrong_places_are_not_trusted(kind):
    case = a_case()
    values = case.explanation.values
    generator = torch.Generator().manual_seed(3)
    if kind == "shuffled":
        places = torch.randperm(values[0, 0, 0].numel(), generator=generator)
        wrong = values.flatten(3)[..., places].reshape(values.shape)
    else:
        wrong = torch.randn(values.shape, generator=generator)
    bad = dataclasses.replace(case, explanation=dataclasses.replace(case.explanation, values=wrong))
    facts = trust(bad, **QUICK).facts
    assert facts.level == "weak", facts
    assert "deletion" in facts.failed_checks
    assert "exact values" in facts.failed_checks
    assert "occlusion sensitivity" in facts.failed_checks


def test_several_targets_and_classes_are_tested_output_by_output():
    both = trust(a_case(targets=("x", "y")), **QUICK)
    assert set(both.tables["curves"]["output"]) == {"x", "y"}
    assert both.facts.images == 6
    assert both.facts.level == "good"
    classes = trust(a_case("classes"), **QUICK)
    assert "probability" in classes.tables["curves"]
    assert classes.facts.level in ("good", "mixed")
    assert classes.facts.deletion_ratio.value > 1
    assert "the predicted class" in classes.sentences[0]
    assert "logits" in " ".join(classes.sentences)


def test_constant_predictions_are_said_and_nothing_is_tested():
    bundle = trained("regression")
    model = nn.Sequential(*list(bundle.model)[:-1], nn.Linear(8 * 36, 2)).eval()
    nn.init.zeros_(model[-1].weight)
    findings = trust(case_of(Bundle(model, bundle.card, bundle.references), ("x",)))
    assert findings.facts.level == "unknown"
    assert "says the same of all 6 images" in findings.sentences[0]
    assert findings.left_out
    assert not findings.pictures


def test_one_constant_target_beside_another_is_said():
    bundle = trained("regression")
    head = nn.Linear(8 * 36, 2)
    head.load_state_dict(bundle.model[-1].state_dict())
    with torch.no_grad():
        head.weight[1] = 0
    model = nn.Sequential(*list(bundle.model)[:-1], head).eval()
    findings = trust(case_of(Bundle(model, bundle.card, bundle.references), ("x", "y")), **QUICK)
    assert findings.left_out == ("The prediction of y is constant: its measures are not defined.",)
    assert findings.facts.deletion_ratio.value > 1
    assert findings.facts.level in ("good", "mixed")


def test_an_explanation_of_another_model_is_refused():
    case, other = a_case(), a_case("classes")
    wrong = dataclasses.replace(case, bundle=other.bundle)
    with pytest.raises(ExplainerError, match="another model"):
        trust(wrong, **QUICK)


def test_one_image_is_enough_and_has_no_intervals():
    facts = trust(a_case(count=2), **{**QUICK, "images": 1, "few": 1}).facts
    assert facts.images == facts.few == 1
    assert facts.deletion_ratio.value > 0
    assert not facts.deletion_ratio.has_interval
    assert "deletion" not in [check.name for check in checks_of(facts)]


def test_an_effort_of_nothing_and_a_wrong_number_of_regions_are_refused():
    with pytest.raises(ExplainerError, match="few=0"):
        Effort(few=0)
    with pytest.raises(ExplainerError, match="regions=9"):
        Effort(regions=9)


def test_a_measure_that_cannot_be_taken_is_left_out_and_the_others_are_there():
    findings = trust(a_case(), **{**QUICK, "masker": "blur(99,99)", "layers": 1})
    assert sum("could not be measured" in said for said in findings.left_out) == 2
    assert "larger than the image" in findings.left_out[0]
    # What is compared as values hides behind the references, and needs no masker.
    assert {"infidelity", "occlusion", "sensitivity", "agreement", "exact", "parts"} <= set(findings.tables)
    assert not {"curves", "absence"} & set(findings.tables)
    assert "Agreement of methods, and exact values" in {picture.alt for picture in findings.pictures}
    assert np.isfinite(findings.facts.exact_correlation) and np.isnan(findings.facts.absence_correlation)


def test_the_finest_grid_that_the_models_cost_allows_is_divided():
    assert affordable(1e6, 4) == ((3, 4), 4)
    assert affordable(9 * 3.6e9, 4) == ((2, 3), 4)  # ResNet-18, behind eight references and a blur
    assert affordable(1e12, 4) == ((2, 3), 2)
    assert affordable(3.6e9, 4, regions=12) == ((3, 4), 4)
    for work in (1e7, 1e8, 1e9, 3e9):
        (rows, columns), images = affordable(work, 4)
        assert images * 2 ** (rows * columns) * work <= EXACT_WORK


def test_work_is_counted_not_timed():
    model = nn.Conv2d(3, 5, 3, bias=False)
    assert work_of(model, torch.zeros(1, 3, 10, 10)) == 2 * 5 * 8 * 8 * 3 * 9


def test_images_of_all_environments_are_tested_in_turn():
    rows = a_case(count=6).rows.assign(environment=["a"] * 4 + ["b", "c"])
    for seed in range(4):
        chosen = spread_over_environments(rows["environment"].to_numpy(str), 4, seed)
        assert list(rows["environment"].iloc[chosen[:3]].sort_values()) == ["a", "b", "c"]
        assert len(set(chosen)) == 4


def test_what_was_not_measured_is_neither_a_fact_nor_a_check():
    tested, measured = Specimen.of(a_case(), Effort(**QUICK)), Measured(TrustFacts())
    for step in STEPS[:2]:
        step.run(tested, measured, lambda done, total: None)
    assert np.isnan(measured.facts.exact_correlation)
    judged = {check.name for check in checks_of(measured.facts)}
    assert judged == {"completeness", "deletion", "insertion", "pixel flipping"}
    assert not checks_of(TrustFacts())


def test_levels_follow_the_share_of_checks_passed():
    names = ["completeness", "deletion", "agreement", *(f"check {number}" for number in range(7))]
    assert level_of(dict.fromkeys(names, True)) == "good"
    assert level_of({**dict.fromkeys(names, True), "agreement": False}) == "good"
    assert level_of({**dict.fromkeys(names, True), "completeness": False}) == "mixed"
    assert level_of({**dict.fromkeys(names, True), "agreement": False, "deletion": False}) == "mixed"
    assert level_of(dict.fromkeys(names, False)) == "weak"
    assert level_of({}) == "unknown"
