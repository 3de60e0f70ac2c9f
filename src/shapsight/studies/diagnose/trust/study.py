"""Can the explanation be trusted? The part of a diagnosis that puts its explanations to the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import torch

from shapsight.diagnosis.faithfulness.completeness import completeness
from shapsight.diagnosis.faithfulness.same_model import refuse_other_model
from shapsight.errors import ShapsightError
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Drawn, Findings, Part
from shapsight.studies.diagnose.trust import exact, hiding, repeating
from shapsight.studies.diagnose.trust.facts import TrustFacts, Trustworthiness
from shapsight.studies.diagnose.trust.pictures import pictures
from shapsight.studies.diagnose.trust.specimen import Check, Effort, Measured, Specimen
from shapsight.studies.shared.words import count

STEPS = (exact.COMPLETENESS, *hiding.HIDING, *repeating.REPEATING, *exact.EXACT)
# Shares of the checks that are passed. DeepSHAP of three trained SqueezeNets (ImageNet's, two on office photographs)
# passed 8 or 9 of the nine that there were then; on the office, its own values shuffled, noise and `image - reference`
# passed 2 or 3, and the values of another image 4 or 6.
GOOD, MIXED = 0.85, 0.5
CONSTANT = 1e-6  # a change of the prediction below this share of it is none
ADVICE = {
    "good": "They can be relied on.",
    "mixed": "Rely on what many images have in common, not on a single heatmap.",
    "weak": "Do not draw conclusions from them.",
    "unknown": "That is too little to judge them by.",
}
COARSE = "They can be relied on block by block, not pixel by pixel."


def trust(case: Case, report: Report = silent, **options: Any) -> Findings[Drawn]:
    """Test the explanations of a case on some of its images, by checks that each could fail.

        findings = trust(case)                             # 8 images; about as long as DeepSHAP of 40 images
        trust(case, images=24, few=8, layers=30)           # more of everything: see `Effort`
        findings.facts.level, findings.facts.failed_checks

    Options are the fields of `Effort`; facts are those of `TrustFacts`.
    Tables: completeness, curves, hidden, infidelity, sensitivity, randomisation, agreement, regions, exact, absence,
    parts; `image` counts the images tested, whose rows the table `images` names.
    Raises `ExplainerError` for an explanation of another model than the case's.
    """
    specimen = Specimen.of(case, Effort(**options))
    refuse_other_model(specimen.explanation, case.bundle, specimen.images)
    what = " and ".join(case.targets) if case.targets else "the predicted class"
    if _is_constant(case):
        return _nothing_to_test(case, what)
    measured, unit = measure(specimen, report), _unit(case)
    found = checks_of(measured.facts, unit)
    facts = with_level(measured.facts, found)
    still = [
        f"The prediction of {name} is constant: its measures are not defined."
        for column, name in enumerate(case.targets)
        if float(case.explanation.values[:, column].abs().max()) == 0.0
    ]
    return Findings(
        "trust",
        {"images": specimen.rows, **measured.tables},
        facts,
        (overall(facts, what), *(check.sentence for check in found if check.sentence)),
        pictures(measured, unit),
        (*still, *measured.left_out),
    )


def measure(specimen: Specimen, report: Report) -> Measured:
    """All measures, one after another, on the same images."""
    images, effort = len(specimen.images), specimen.effort
    measured = Measured(TrustFacts(images=images, few=min(effort.few, images)))
    total, before = sum(step.cost for step in STEPS), 0
    few = specimen.first(effort.few)
    for step in STEPS:

        def within(done: int, of: int, *, before: int = before, cost: int = step.cost) -> None:
            report(before + round(cost * done / max(of, 1)), total)

        if step.needs_gradients and not specimen.bundle.has_gradients:
            measured.left_out.append(
                f"{step.name} is left out: it looks inside the model, which can only be asked."
            )
            continue
        try:
            step.run(few if step.is_for_few else specimen, measured, within)
        except ShapsightError as error:  # one measure that cannot be taken does not lose the others
            measured.left_out.append(f"{step.name} could not be measured: {error}")
        before += step.cost
        report(before, total)
    return measured


def checks_of(facts: TrustFacts, unit: str = "") -> list[Check]:
    """The checks whose numbers are known; `unit` is that of the first output."""
    every = [
        exact.completeness_check(facts), *hiding.checks(facts, unit), *repeating.checks(facts), *exact.checks(facts)
    ]  # fmt: skip
    return [check for check in every if isfinite(check.number)]


def with_level(facts: TrustFacts, checks: Sequence[Check]) -> TrustFacts:
    """The same facts, with which checks are passed."""
    passed = {check.name: check.passes for check in checks if check.passes is not None}
    failed = [name for name, is_passed in passed.items() if not is_passed]
    return replace(
        facts,
        level=level_of(passed),
        checks=len(passed),
        checks_passed=len(passed) - len(failed),
        failed=len(failed),
        failed_checks=", ".join(failed),
    )


def level_of(passed: Mapping[str, bool]) -> Trustworthiness:
    """Good from 85 % of the checks on, mixed from half of them on, weak below; never good with a completeness gap."""
    share = sum(passed.values()) / max(1, len(passed))
    if len(passed) < 2:
        return "unknown"
    if share >= GOOD and passed.get("completeness", True):
        return "good"
    return "mixed" if share >= MIXED else "weak"


def _is_constant(case: Case) -> bool:
    """Whether no explained prediction differs from what the model says of the references."""
    explanation = case.explanation
    change = (explanation.predictions - explanation.base_values).abs().max()
    return bool(change <= CONSTANT * explanation.predictions.abs().max().clamp_min(torch.finfo().tiny))


def _nothing_to_test(case: Case, what: str) -> Findings[Drawn]:
    said = float(case.explanation.predictions.flatten()[0])
    return Findings(
        "trust",
        {"completeness": completeness(case.explanation)},
        TrustFacts(),
        (
            f"The model says the same of all {len(case.rows)} images and of the references (such as {said:.3g} for "
            f"{what}): no pixel matters to it, so there is no explanation to test.",
        ),
        {},
        ("The predictions are constant: every test of the explanations is left out.",),
    )


def _unit(case: Case) -> str:
    """What the first output is measured in, in a word or two."""
    if not case.targets:
        return "logits"
    return case.manifest.scales[case.targets[0]].unit.partition(",")[0] or f"units of {case.targets[0]}"


def overall(facts: TrustFacts, what: str) -> str:
    """How many checks are passed, which are not, and what follows; `what` is explained, such as "x"."""
    first, _, last = facts.failed_checks.rpartition(", ")
    failed = f"{first} and {last}" if first else last
    misses = f"; they fail {failed}" if failed else ""
    is_coarse = facts.level == "good" and facts.max_sensitivity > 0.5
    return (
        f"The explanations of {what} pass {facts.checks_passed} of {facts.checks} checks on "
        f"{count(facts.images, 'image')}{misses}. {COARSE if is_coarse else ADVICE[facts.level]}"
    )


TRUST = Part("trust", "Can the explanation be trusted?", trust, TrustFacts)
