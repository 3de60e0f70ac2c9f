"""All that a verdict reads: how wrong the model is at home and elsewhere, and the facts of the parts."""

from __future__ import annotations

from dataclasses import dataclass, field

from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.diagnose.strategies.facts import StrategyFacts
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.why.facts import WhyFacts
from shapsight.studies.shared.error_facts import ErrorFacts


@dataclass(frozen=True)
class DiagnosisFacts:
    """What every part found; of a part that was not done, nothing is known."""

    errors: ErrorFacts
    look: LookFacts = field(default_factory=LookFacts)
    why: WhyFacts = field(default_factory=WhyFacts)
    strategies: StrategyFacts = field(default_factory=StrategyFacts)
    trust: TrustFacts = field(default_factory=TrustFacts)
