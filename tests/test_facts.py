"""Facts are typed fields, and flat names in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from shapsight.diagnosis.estimate import NOT_MEASURED, Estimate
from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.strategies.study import sentences
from shapsight.studies.shared.facts import Facts


@dataclass(frozen=True)
class SwapFacts(Facts):
    output: str
    images: int = 0
    scene_share: Estimate = NOT_MEASURED


def test_an_estimate_is_three_names_in_json_and_comes_back():
    facts = SwapFacts("x", 12, Estimate(0.3, 0.2, 0.4))
    flat = {"output": "x", "images": 12, "scene_share": 0.3, "scene_share_low": 0.2, "scene_share_high": 0.4}
    assert facts.to_json() == flat
    assert SwapFacts.from_json(json.loads(json.dumps(flat))) == facts


def test_an_estimate_that_could_not_be_computed_is_null_and_keeps_its_reason():
    flat = SwapFacts("x", scene_share=Estimate(reason="one scene only")).to_json()
    assert flat["scene_share"] is flat["scene_share_low"] is flat["scene_share_high"] is None
    back = SwapFacts.from_json(json.loads(json.dumps(flat, allow_nan=False))).scene_share
    assert not back.is_known and back.reason == "one scene only" and back.between(".0%") == ""


def test_numbers_of_numpy_and_infinite_ones_can_be_written():
    flat = SwapFacts("x", np.int64(3), Estimate(np.float32(0.5), -np.inf, np.nan)).to_json()
    assert json.loads(json.dumps(flat, allow_nan=False))["scene_share"] == 0.5
    assert flat["scene_share_low"] is None and type(flat["images"]) is int


def test_a_field_that_there_is_not_is_an_error():
    with pytest.raises(ValueError, match="SwapFacts has no field scene_shar"):
        SwapFacts.from_json({"output": "x", "scene_shar": 0.3})
    with pytest.raises(TypeError, match="output"):
        SwapFacts.from_json({})


def test_the_sentence_on_strategies_says_its_facts():
    facts = StrategyFacts(2, 0.25, 30, 0.5, 4.0, "hall 30", 0.9, 0.8)
    first, second = sentences(facts, "x")
    assert (
        "2 groups" in first and "30 images (25%; hall 30)" in first and "4 times as high in unseen" in first
    )
    assert "low from high x" in second and "80%" in second
    assert len(sentences(StrategyFacts(1), "x")) == 1
