"""How the page shows the tests of explanations."""

from __future__ import annotations

from shapsight.studies.diagnose.part import Part
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.study import trust

TRUST = Part("trust", "Can the explanation be trusted?", trust, TrustFacts)
