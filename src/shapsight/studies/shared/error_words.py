"""What came out, in plain sentences, each computed from the tables of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shapsight.attribution.explanation import Explanation
from shapsight.studies.shared.analysis import Judged, Outcome

MOST_NAMED = 4  # outputs whose base values a sentence tells


@dataclass(frozen=True)
class ErrorInEnvironment:
    """The mean squared error of one target in one environment, with its interval."""

    environment: str
    split: str
    images: int
    mse: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mse:.3g} ({self.interval}, {count(self.images, 'image')})"

    @property
    def interval(self) -> str:
        """`"95 % 0.27 to 0.36"`."""
        return interval(self.low, self.high, ".3g")


def errors_of(outcome: Judged, target: str) -> list[ErrorInEnvironment]:
    """One entry an environment: its held-out images where it was trained on, all of them where it was not."""
    errors = outcome.errors
    wanted = errors[
        (errors["target"] == target) & (errors["split"] != "train") & (errors["environment"] != "all")
    ]
    if wanted.empty:
        wanted = errors[errors["target"] == target]
    return [
        ErrorInEnvironment(
            str(row["environment"]),
            str(row["split"]),
            int(row["images"]),
            row["mse"],
            row["mse_low"],
            row["mse_high"],
        )
        for row in wanted.to_dict("records")
    ]


def error_sentence(outcome: Judged) -> str:
    """How much larger the error is where the model was not trained."""
    target = outcome.manifest.targets[0]
    entries = errors_of(outcome, target)
    trained = outcome.manifest.train_on
    at_home = [entry for entry in entries if entry.environment in trained]
    elsewhere = [entry for entry in entries if entry.environment not in trained]
    if not at_home:
        return f"No image was held out of the training environments, so the error there is not known for {target}."
    if not elsewhere:
        parts = "; ".join(f"{entry.environment} {entry}" for entry in at_home)
        return (
            f"The mean squared error of {target} on held-out images: {parts}. No environment is left unseen."
        )
    home = max(at_home, key=lambda entry: entry.mse)
    worst = max(elsewhere, key=lambda entry: entry.mse)
    return (
        f"Trained on {', '.join(trained)}, the model's error for {target} is {ratio(worst.mse, home.mse)} in "
        f"{worst.environment}: MSE {worst} against {home} on held-out images of {home.environment}."
    )


def interval(low: float, high: float, form: str) -> str:
    """`"95 % 0.27 to 0.36"`, or that a single image has none."""
    return "no interval" if math.isnan(low) else f"95 % {low:{form}} to {high:{form}}"


def ratio(larger: float, smaller: float) -> str:
    """`"9.1 times as high"`, or that they hardly differ."""
    if smaller <= 0:
        return "higher"
    times = larger / smaller
    return "about the same" if 0.9 <= times <= 1.1 else f"{times:.2g} times as high"


def gap_sentence(outcome: Outcome) -> str:
    """How exactly the attributions sum to what they explain."""
    explanation = outcome.explanation
    gap = explanation.completeness_gap.abs()
    change = (explanation.predictions - explanation.base_values).abs()
    size = explanation.values.abs().sum((2, 3, 4))
    references = count(int(explanation.settings["references"]), "reference") + _chosen_from(explanation)
    return (
        f"{count(len(explanation), 'image')} explained with {explanation.method} against {references}; the sums miss "
        f"prediction - base value by at most {gap.max().item():.1e} of differences up to {change.max().item():.2g} "
        f"({(gap / size.clamp_min(1e-30)).max().item():.1e} of the absolute attribution)"
    )


def _chosen_from(explanation: Explanation) -> str:
    """How many the references were chosen from, and the base values beside those of all of them."""
    chosen_from, means = (explanation.settings.get(n) for n in ("references_chosen_from", "pool_base_values"))
    if chosen_from is None:
        return ""
    names = explanation.names()[0]
    if not isinstance(means, dict) or len(names) > MOST_NAMED or not set(names) <= set(means):
        return f" chosen from {chosen_from}"
    bases = explanation.base_values[0].tolist()
    said = [f"{base:.3g} for {name} ({means[name]:.3g})" for name, base in zip(names, bases, strict=True)]
    return (
        f" chosen from {chosen_from} (base values, in brackets those of all {chosen_from}: {', '.join(said)})"
    )


def count(number: int, noun: str) -> str:
    """`"1 image"`, `"12 images"`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
