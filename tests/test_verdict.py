"""Verdicts: a pure function of facts, whose sentences hold the numbers and whose levels follow the thresholds."""

import json
from dataclasses import asdict, fields
from typing import Any

import pytest

from shapsight.data.remedies.recipes import read_recipe
from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import Thresholds, Verdict, fails_elsewhere, judge
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.shared.error_facts import ErrorFacts
from shapsight.studies.shared.facts import Facts

ERRORS = {
    "output": "x", "is_classes": False, "measure": "mean squared error of x", "metric": "MSE", "environments": 3,
    "home": "room_1", "home_error": 0.034, "home_error_low": 0.03, "home_error_high": 0.04, "home_images": 40,
    "worst": "room_2", "worst_error": 0.31, "worst_error_low": 0.27, "worst_error_high": 0.36, "worst_images": 100,
    "worst_unexplained": 0.8, "ratio": 9.1, "is_constant": False,
}  # fmt: skip
LOOK = {
    "output": "x", "has_region": True, "is_classes": False, "scene_share_home": 0.42, "scene_share_home_low": 0.35,
    "scene_share_home_high": 0.49, "scene_variance_home": 0.4, "scene_variance_home_low": 0.3,
    "scene_variance_home_high": 0.5, "scene_knows_home": 0.8, "scene_knows_home_low": 0.7, "scene_knows_home_high": 0.9,
    "scene_share_elsewhere": 0.2, "scene_share_elsewhere_low": 0.15, "scene_share_elsewhere_high": 0.25,
    "scene_knows_elsewhere": 0.05, "scene_knows_elsewhere_low": -0.2, "scene_knows_elsewhere_high": 0.3,
}  # fmt: skip
WHY = {
    "output": "x", "is_classes": False, "has_two_sides": True, "scene_change": 0.42, "scene_change_low": 0.4,
    "scene_change_high": 0.44, "scene_flips": 0.23, "region_change": 0.18, "control_change": 0.02,
    "scene_share": 0.61, "scene_share_low": 0.55, "scene_share_high": 0.66, "region_share": 0.39, "harm": 0.2,
    "harm_low": 0.15, "harm_high": 0.25, "control_error": 0.04, "swapped_error": 0.24, "top_patch": "top, left",
    "top_patch_share": 0.5, "patches_scene": 0.6,
}  # fmt: skip


KINDS: dict[str, type[Facts]] = {
    "errors": ErrorFacts, "look": LookFacts, "why": WhyFacts, "strategies": StrategyFacts, "trust": TrustFacts
}  # fmt: skip


def facts_of(**parts: dict[str, Any]) -> DiagnosisFacts:
    typed: dict[str, Any] = {name: KINDS[name].from_json(part) for name, part in parts.items()}
    return DiagnosisFacts(**typed)


def verdict(errors: dict[str, Any] | None = None, why: dict[str, Any] | None = None, **parts: Any) -> Verdict:
    parts = {"errors": ERRORS | (errors or {}), **parts}
    return judge(facts_of(**parts if why is None else parts | {"why": WHY | why}))


def test_a_ratio_beyond_a_hundred_is_written_out():
    errors = ErrorFacts(
        "x", "mean squared error of x", "MSE", environments=2, home="room_1", home_error=Estimate(0.0015),
        home_images=9, worst="room_2", worst_error=Estimate(0.29), worst_images=9, ratio=193.0,
    )  # fmt: skip
    assert (
        "error in room_2 is 190 times as high as at home (MSE" in judge(DiagnosisFacts(errors)).sentences[0]
    )


def test_a_shortcut_is_told_in_three_sentences_that_hold_the_numbers():
    found = verdict(why={}, look=LOOK)
    assert found.level == "shortcut"
    first, second, third = found.sentences
    assert first == (
        "Trained on room_1, the model's error in room_2 is 9.1 times as high as at home (MSE 0.31, 95 % 0.27 to 0.36, "
        "against 0.034, 0.03 to 0.04)."
    )
    assert second == (
        "The scene contributes 42% where it was trained (95 % 35% to 49%) and 20% elsewhere (95 % 15% to 25%) of what "
        "moves x; its correlation with the target is 0.80 where it was trained and 0.05 elsewhere."
    )
    assert "moves x by 0.42 on average and flips its sign in 23% of images" in third
    assert "region of interest moves it by 0.18" in third
    assert "the scene makes up 61% (95 % 55% to 66%)" in third


def test_every_sentence_has_the_facts_behind_it():
    facts = {"errors": ERRORS, "look": LOOK, "why": WHY}
    found = judge(facts_of(**facts))
    assert tuple(part.sentence for part in found.evidence) == found.sentences
    for part in found.evidence:
        assert part.facts
        for name, value in part.facts.items():
            place, _, fact = name.partition(".")
            assert facts[place].get(fact) == value
    json.dumps(asdict(found))


@pytest.mark.parametrize(
    ("errors", "why", "level"),
    [
        ({}, {}, "shortcut"),
        # The scene decides, but does no harm where it was tested.
        ({}, {"swapped_error": 0.045, "harm": 0.005, "harm_low": -0.01}, "suspicious"),
        # The interval of the scene's share goes down to nearly nothing.
        ({}, {"scene_share": 0.12, "scene_share_low": 0.01}, "suspicious"),
        # The scene says little, but the model fails elsewhere.
        ({}, {"scene_share": 0.01, "scene_share_low": 0.0, "scene_share_high": 0.02}, "suspicious"),
        ({"ratio": 1.2, "worst_error": 0.04, "worst_error_low": 0.03, "worst_unexplained": 0.1},
         {"scene_share": 0.01, "scene_share_low": 0.0, "scene_share_high": 0.02, "swapped_error": 0.04,
          "harm_low": -0.01}, "ok"),
        # Nothing was found, but in few images.
        ({"ratio": 1.2, "worst_error": 0.04, "worst_error_low": 0.03, "worst_unexplained": 0.1},
         {"scene_share": 0.04, "scene_share_low": 0.0, "scene_share_high": 0.4, "swapped_error": 0.04,
          "harm_low": -0.01}, "suspicious"),
    ],
)  # fmt: skip
def test_levels_follow_from_share_harm_and_failure(errors: dict[str, Any], why: dict[str, Any], level: str):
    found = verdict(errors, why)
    assert found.level == level
    assert found.reasons
    assert bool(found.advice) == (level != "ok")


def test_a_scene_that_tells_the_target_at_home_is_a_hint_that_a_test_overrules():
    cleared = {"scene_share": 0.01, "scene_share_low": 0.0, "scene_share_high": 0.02}
    cleared |= {"harm_low": -0.01, "swapped_error": 0.04}
    fine = {"ratio": 1.0, "worst_error": 0.034, "worst_error_low": 0.03, "worst_unexplained": 0.05}
    assert verdict(fine, cleared, look=LOOK).level == "ok"
    assert verdict(fine, look=LOOK).level == "suspicious"
    assert "proof" in verdict(fine, look=LOOK).reasons[-1]


# Less than a tenth of the variance, no harm: nothing by itself, and too much to clear the scene.
OPEN = {
    "scene_share": 0.08, "scene_share_low": 0.04, "scene_share_high": 0.15, "scene_share_home": 0.06,
    "swapped_error": 0.04, "harm_low": -0.01,
}  # fmt: skip


def test_what_the_scene_contributes_is_a_shortcut_where_swapped_scenes_agree():
    assert verdict(why=OPEN).level == "suspicious"
    found = verdict(why=OPEN, look=LOOK)
    assert found.level == "shortcut"
    assert "only there" in found.headline
    assert "40% of the prediction's variance" in found.reasons[0] and "(0.80)" in found.reasons[0]
    assert "6% where it was trained" in found.reasons[1]
    assert "swap-scene" in [advice.recipe for advice in found.advice]


@pytest.mark.parametrize(
    ("look", "why"),
    [
        # Swapped scenes do nothing where the model was trained: its contribution says where the region is not.
        ({}, {"scene_share_home": 0.01}),
        ({}, {"scene_share_home": None}),
        # It knows the target elsewhere as well.
        (
            {
                "scene_knows_elsewhere": 0.7,
                "scene_knows_elsewhere_low": 0.6,
                "scene_knows_elsewhere_high": 0.8,
            },
            {},
        ),
        # It is less, but within the intervals.
        ({"scene_knows_elsewhere_high": 0.75}, {}),
        # It does not know it at home.
        ({"scene_knows_home": 0.2, "scene_knows_home_low": 0.1}, {}),
        # It hardly takes part.
        ({"scene_variance_home": 0.08}, {}),
        ({"scene_variance_home_low": 0.02}, {}),
        # Nothing is known of it.
        ({"scene_knows_elsewhere": None}, {}),
    ],
)
def test_what_the_scene_contributes_is_no_evidence_where_any_part_of_it_is_missing(
    look: dict[str, Any], why: dict[str, Any]
):
    assert verdict(why=OPEN | why, look=LOOK | look).level == "suspicious"


def test_knowing_a_class_is_counted_from_chance():
    known = {"is_classes": True, "scene_knows_home": 0.6, "scene_knows_home_low": 0.55}
    assert verdict(why=OPEN, look=LOOK | known).level == "suspicious"
    known = {
        "is_classes": True, "scene_knows_home": 0.9, "scene_knows_home_low": 0.85, "scene_knows_elsewhere": 0.52,
        "scene_knows_elsewhere_high": 0.6,
    }  # fmt: skip
    assert verdict(why=OPEN, look=LOOK | known).level == "shortcut"


def test_without_any_test_nothing_is_called_ok():
    fine = {"ratio": 1.0, "worst_error": 0.034, "worst_error_low": 0.03, "worst_unexplained": 0.05}
    assert verdict(fine).level == "unknown"
    assert verdict().level == "suspicious"
    assert any("--roi" in advice.why for advice in verdict().advice)


def test_where_only_the_region_can_be_why_more_of_it_is_shown():
    cleared = {"scene_share": 0.01, "scene_share_low": 0.0, "scene_share_high": 0.02}
    found = verdict(why=cleared)
    assert "scene is not why" in found.headline
    recipes = [advice.recipe for advice in found.advice]
    assert recipes[:3] == ["more-environments", "flip", "light"]
    assert "swap-scene" not in recipes


def test_a_scene_that_is_neither_blamed_nor_cleared_is_told_so():
    found = verdict(
        why={"scene_share": 0.09, "scene_share_low": 0.04, "scene_share_high": 0.17, "harm_low": -0.01}
    )
    assert found.level == "suspicious"
    assert "stays open" in found.headline
    assert "up to 17%" in found.reasons[0]


def test_all_recipes_that_are_advised_exist():
    for why in ({}, {"scene_share": 0.01}, {"top_patch_share": 0.1}):
        for advice in verdict(why=why, look=LOOK | {"object": "chair"}).advice:
            if advice.recipe:
                assert read_recipe(advice.recipe).name
            assert advice.why.endswith(".")


def test_one_place_that_holds_most_of_the_scene_is_named():
    assert any("top, left" in advice.why for advice in verdict(why={}).advice)
    chair = verdict(why={"top_patch_share": 0.1}, look=LOOK | {"object": "chair"})
    assert any("chair" in advice.why for advice in chair.advice)


def test_more_environments_are_advised_only_where_there_are_more():
    assert "more-environments" in [advice.recipe for advice in verdict(why={}).advice]
    everywhere = verdict({"home": "room_1, room_2, room_3", "worst_error": None, "ratio": None}, {})
    assert "more-environments" not in [advice.recipe for advice in everywhere.advice]
    alone = verdict({"environments": 1, "worst_error": None, "ratio": None}, {})
    assert any("second environment" in advice.why for advice in alone.advice)


def test_weak_explanations_are_said_to_be_weak():
    found = verdict(why={}, look=LOOK, trust={"level": "weak", "failed_checks": "deletion, insertion"})
    assert "failed the tests of deletion, insertion" in found.reasons[-1]
    assert verdict(why={}, trust={"level": "good", "failed_checks": ""}).reasons == verdict(why={}).reasons


def test_a_strategy_whose_error_jumps_is_named():
    strategy = {"first_jump": 5.0, "first_share": 0.2}
    assert any("strategy 1" in advice.why for advice in verdict(why={}, strategies=strategy).advice)
    assert not any(
        "strategy 1" in advice.why for advice in verdict(why={}, strategies={"first_jump": 1.1}).advice
    )


def test_constant_predictions_are_no_verdict():
    found = verdict({"is_constant": True}, {})
    assert found.level == "unknown"
    assert "same x of every image" in found.sentences[0]


def test_a_failure_is_more_than_twice_a_tiny_error():
    assert fails_elsewhere(ErrorFacts.from_json(ERRORS))
    assert not fails_elsewhere(ErrorFacts.from_json(ERRORS | {"worst_unexplained": 0.02}))
    assert not fails_elsewhere(ErrorFacts.from_json(ERRORS | {"worst_error_low": 0.039}))
    assert not fails_elsewhere(ErrorFacts.from_json(ERRORS | {"ratio": None}))


def test_unknown_environments_and_shares_of_labels_are_said_in_their_own_way():
    nowhere = verdict({"worst": None, "worst_error": None, "ratio": None})
    assert "no other environment is left" in nowhere.sentences[0]
    no_home = verdict({"home_error": None, "ratio": None})
    assert "no image held out" in no_home.sentences[0]
    labels = verdict({"output": "label", "is_classes": True, "metric": "wrong"}, {"is_classes": True})
    assert "31% wrong labels, 95 % 27% to 36%" in labels.sentences[0]
    assert "changes the label in 23%" in labels.sentences[-1]


def test_thresholds_can_be_set_and_each_moves_a_level():
    facts = facts_of(errors=ERRORS, why=WHY)
    assert judge(facts, Thresholds(shortcut=0.9)).level == "suspicious"
    assert judge(facts, Thresholds(harm=10.0)).level == "suspicious"
    for field in fields(Thresholds):
        assert field.name in (Thresholds.__doc__ or "")
