"""Can an explanation be trusted? Each measure is a function of explanations, images and the model."""

from shapsight.diagnosis.faithfulness.agreement import against_exact, agreement, exact_agreement
from shapsight.diagnosis.faithfulness.completeness import completeness
from shapsight.diagnosis.faithfulness.curves import area_under, games_of, removal_curves
from shapsight.diagnosis.faithfulness.infidelity import (
    hidden_effects,
    infidelity,
    infidelity_per_image,
    pearson,
    random_rectangles,
)
from shapsight.diagnosis.faithfulness.randomisation import randomisation, randomised_models
from shapsight.diagnosis.faithfulness.same_model import refuse_other_model
from shapsight.diagnosis.faithfulness.sensitivity import max_sensitivity, uniform_noise
from shapsight.diagnosis.faithfulness.similarity import rank_correlation, structural_similarity

__all__ = [
    "against_exact",
    "agreement",
    "area_under",
    "completeness",
    "exact_agreement",
    "games_of",
    "hidden_effects",
    "infidelity",
    "infidelity_per_image",
    "max_sensitivity",
    "pearson",
    "random_rectangles",
    "randomisation",
    "randomised_models",
    "rank_correlation",
    "refuse_other_model",
    "removal_curves",
    "structural_similarity",
    "uniform_noise",
]
