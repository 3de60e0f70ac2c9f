"""What first screens say, of all that can be found: short, few numbers; and commands that can be pasted."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import replace
from math import nan
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from shapsight.diagnosis.estimate import Estimate
from shapsight.report.page import MOST_WORDS
from shapsight.studies.compare.page import Change, _verdict
from shapsight.studies.diagnose.first_screen import _place_of, evidence
from shapsight.studies.diagnose.look.facts import LookFacts, PlaceFacts
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import fails_elsewhere, judge
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.shared.error_facts import ErrorFacts, error_facts
from shapsight.studies.shared.first_screen import error_evidence, error_verdict
from shapsight.studies.shared.words import LETTERS, called, shell

PLACES = ("room_2", "the living room", "y" * 300, "1 <b>2</b> 3. 4", "\u202e'\"$HOME 5.5 6")
HOMES = ("room_1", "a, b, c, d, e, f", "z" * 300)
VALUES = (nan, 0.0, 0.05, 0.4)


def around(value: float) -> Estimate:
    return Estimate(value, value * 0.9, value * 1.1)


def every_error() -> list[ErrorFacts]:
    found = []
    for classes, constant, home, worst, trained, place in itertools.product(
        (False, True), (False, True), VALUES, VALUES, HOMES, (None, *PLACES)
    ):
        known = place is not None
        found.append(
            ErrorFacts(
                output="label" if classes else "x",
                measure="share of wrong labels" if classes else "mean squared error of x",
                metric="wrong" if classes else "MSE",
                is_classes=classes,
                environments=3,
                home=trained,
                home_error=around(home),
                home_images=0 if home != home else 12,
                worst=place,
                worst_error=around(worst if known else nan),
                worst_images=7 if known else 0,
                worst_unexplained=0.8,
                ratio=worst / home if known and home > 0 else nan,
                is_constant=constant,
            )
        )
    return found


def every_diagnosis() -> list[DiagnosisFacts]:
    errors = [
        each
        for each in every_error()
        if each.home in HOMES[:2] and each.worst in (None, PLACES[0], PLACES[2])
    ]
    found = [DiagnosisFacts(each) for each in errors]
    for each, share, harm, knows, moves in itertools.product(
        errors[::7], (nan, 0.01, 0.07, 0.12, 0.6), (0.01, 0.3), (0.1, 0.9), (nan, 0.123456)
    ):
        home = PlaceFacts(scene_share=around(share), scene_variance=around(share), scene_knows=around(knows))
        why = WhyFacts(
            output=each.output, is_classes=each.is_classes, has_two_sides=True, scene_share=around(share),
            scene_share_home=share, scene_change=around(moves), region_change=around(moves), harm=around(harm),
            control_error=around(0.1), swapped_error=around(0.1 + harm),
        )  # fmt: skip
        away = PlaceFacts(scene_knows=around(0.01))
        found.append(DiagnosisFacts(each, LookFacts(each.output, True, each.is_classes, home, away), why))
    return found


def is_one_sentence_of_few_numbers(said: str, *names: str | None) -> bool:
    for name in names:
        said = said.replace(called(name), "NAME") if name else said
    numbers = re.findall(r"\d[\d.]*(?:e−?\d+)?%?", said)
    return said.endswith(".") and ". " not in said and len(numbers) <= 3 and "nan" not in said.lower()


def test_verdicts_of_errors_have_at_most_twelve_words_and_no_unknown_numbers():
    for facts in every_error():
        said = error_verdict(facts)
        assert len(said.split()) <= MOST_WORDS, said
        assert len(said) <= 100 and said.endswith(".") and "nan" not in said.lower(), said


def test_evidence_of_errors_is_one_sentence_with_at_most_three_numbers():
    for facts in every_error():
        said = error_evidence(facts)
        assert not said or is_one_sentence_of_few_numbers(said, facts.home, facts.worst), said


def test_headlines_of_diagnoses_have_at_most_twelve_words_and_their_evidence_three_numbers():
    levels = set()
    for facts in every_diagnosis():
        verdict = judge(facts)
        levels.add(verdict.level)
        assert len(verdict.headline.split()) <= MOST_WORDS, verdict.headline
        said = evidence(facts)
        assert not said or is_one_sentence_of_few_numbers(said, facts.errors.home, facts.errors.worst), said
    assert levels == {"ok", "suspicious", "shortcut", "unknown"}


@pytest.mark.parametrize("kinds", [(), ("lower", "higher"), ("lower",), ("higher", "higher", "lower")])
def test_verdicts_of_comparisons_have_at_most_twelve_words_whatever_the_models_names(kinds):
    by = {"lower": Estimate(-1, -2, -0.5), "higher": Estimate(1, 0.5, 2)}
    changes = [Change(place, 1, 2, by[kind]) for place, kind in zip(PLACES, kinds, strict=False)]
    for one, two in itertools.permutations((*PLACES, "a b"), 2):
        compared: Any = SimpleNamespace(first=SimpleNamespace(name=one), second=SimpleNamespace(name=two))
        said = _verdict(compared, changes)
        assert len(said.split()) <= MOST_WORDS, said
        if kinds == ("lower",) and {one, two} == {"room_2", "a b"}:
            assert said == f"{two} does better than {one} in 1 of 1 environments."


def test_a_model_without_errors_at_home_fails_where_it_errs():
    facts = ErrorFacts(
        output="label", is_classes=True, environments=2, home="hall", home_error=Estimate(0, 0, 0), home_images=50,
        worst="yard", worst_error=Estimate(0.6, 0.5, 0.7), worst_images=50, worst_unexplained=0.6,
    )  # fmt: skip
    assert error_verdict(facts) == "No error at home, but 60% wrong labels in yard."
    assert fails_elsewhere(facts)
    assert judge(DiagnosisFacts(facts)).headline.startswith("It fails elsewhere")
    alike = replace(facts, worst_error=Estimate(0, 0, 0), worst_unexplained=0.0)
    assert error_verdict(alike) == "It does as well in yard as at home."
    assert not fails_elsewhere(alike)


def test_an_environment_whose_error_is_not_known_is_not_the_worst(shared_manifest):
    errors = pd.DataFrame(
        {
            "environment": ["a", "b", "c"], "split": "unseen", "target": "x", "images": 4,
            "mse": [0.1, nan, 0.3], "mse_low": [0.1, nan, 0.3], "mse_high": [0.1, nan, 0.3],
        }
    )  # fmt: skip
    rows = pd.DataFrame({"environment": list("aabbcc"), "x": [0.0, 1] * 3, "predicted_x": [0.0, 1] * 3})
    assert error_facts(errors, rows, shared_manifest).worst == "c"
    assert error_facts(errors.assign(mse=nan), rows, shared_manifest).worst == "a"


@pytest.fixture
def shared_manifest() -> Any:
    return SimpleNamespace(
        class_names=(), targets=("x",), train_on=(), environments=("a", "b", "c"),
        scales={"x": SimpleNamespace(unit="", half=1.0)},
    )  # fmt: skip


def test_names_in_sentences_are_cut_in_their_middle():
    assert called("room_1") == "room_1"
    assert len(called("y" * 300)) <= LETTERS


def test_a_group_is_of_the_place_whose_whole_name_it_begins_with():
    environments = ("room", "room: 2", "<b>: ")
    assert _place_of("room: a.jpg", environments) == "room"
    assert _place_of("room: 2: a: b.jpg", environments) == "room: 2"
    assert _place_of("a.jpg", environments) == ""


def test_commands_can_be_pasted_into_a_shell_whatever_the_names_in_them():
    words = ["shapsight", "diagnose", 'runs/my run\'s "one" $HOME `x`; rm \n', "--try", "flip+light,noise"]
    assert shlex.split(shell(*words)) == words
    assert shell("shapsight", "cure", "runs/a", "--try", "flip+light,noise", "--roi", "below:112") == (
        "shapsight cure runs/a --try flip+light,noise --roi below:112"
    )
