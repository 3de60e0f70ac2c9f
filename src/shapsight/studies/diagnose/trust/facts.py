"""What the measures of trust come to: numbers, which checks they pass, and sentences that say so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from shapsight.diagnosis.exact_parts import AGREE
from shapsight.diagnosis.faithfulness.curves import area_under
from shapsight.diagnosis.intervals import mean_with_interval, ratio_with_interval
from shapsight.studies.shared.facts import Fact

RESAMPLES = 2000

# Shares of the checks that are passed. DeepSHAP of three trained SqueezeNets (ImageNet's, two on office photographs)
# passed 8 or 9 of nine; on the office, its own values shuffled, noise and `image - reference` passed 2 or 3, and the
# values of another image 4 or 6.
GOOD, MIXED = 0.85, 0.5


# Each with the reason for its threshold.
CHECKS: Mapping[str, str] = {
    "completeness": "the gap is below what DeepShap warns of: 1e-3 of the largest change or 1e-5 of the attribution",
    "deletion": "hiding what it names first moves the prediction farther than random orders do, with 95 % confidence",
    "insertion": "showing what it names first restores the prediction sooner than random orders do, likewise",
    "pixel flipping": "the prediction is lower when the most relevant blocks go first than when they go last, likewise",
    "infidelity": "it foretells what hidden rectangles change better than zeros do, and than its own blocks shuffled",
    "max-sensitivity": "noise that nobody sees changes its blocks by less than they are themselves",
    "randomised layers": "without the learned weights at most a quarter (0.5²) of the variance of its ranks is left",
    "agreement": "two other methods rank blocks alike: above 0.4, which 25 unrelated blocks exceed 1 time in 40",
    "exact values": "region by region it goes along with exact values against the same references: a mean rank "
    "correlation above 0.5, which four images of 6 unrelated regions exceed 1 time in 100, and four of 12 regions 3 "
    "times in 10,000",
    "scene and region": "their sums are as far from exact values as a fifth of what is shared out, or less: 4 % of its "
    "square, and no sentence says more than that",
}


def facts_of(tables: Mapping[str, pd.DataFrame], seed: int = 0) -> dict[str, Fact]:
    """Every fact that the tables of the measures hold; None for one that is not defined or was not measured."""
    facts = _of_completeness(tables["completeness"])
    if "curves" in tables:
        facts |= _of_curves(tables["curves"], seed)
    if "infidelity" in tables:
        facts |= _of_infidelity(tables["hidden"], tables["infidelity"])
    if "sensitivity" in tables:
        table = tables["sensitivity"]
        facts |= {
            "max_sensitivity": _number(table["max_sensitivity"].median()),
            "max_sensitivity_blocks": _number(table["of_blocks"].median()),
        }
    if "randomisation" in tables:
        table = tables["randomisation"]
        last = table[table["step"] == table["step"].max()]
        facts |= {
            "randomised_correlation": _number(last["rank_correlation"].mean()),
            "randomised_absolute": _number(last["absolute"].mean()),
            "randomised_ssim": _number(last["ssim"].mean()),
        }
    if "agreement" in tables:
        facts |= _of_agreement(tables["agreement"])
    if "exact" in tables:
        facts |= {
            "exact_regions": int(tables["regions"]["region"].max()) + 1,
            "exact_images": int(tables["regions"]["image"].nunique()),
            "exact_correlation": _number(tables["exact"]["rank_correlation"].mean()),
            "exact_pearson": _number(tables["exact"]["correlation"].mean()),
            "exact_same_sign": _number(tables["exact"]["same_sign"].mean()),
        }
    if "absence" in tables:
        facts["absence_correlation"] = _number(tables["absence"]["rank_correlation"].mean())
    if "parts" in tables:
        row = tables["parts"].iloc[0]
        names = ("correlation_scene", "correlation_region", "difference", "relative")
        facts |= {f"parts_{name}": _number(float(row[name])) for name in names}
    return facts


def checks_of(facts: Mapping[str, Fact]) -> dict[str, bool]:
    """Which of `CHECKS` are passed; those that cannot be judged are not there."""
    known = {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}

    def has(*names: str) -> bool:
        return all(name in known for name in names)

    passed: dict[str, bool] = {}
    if has("completeness_of_change", "completeness_gap"):
        passed["completeness"] = known["completeness_of_change"] <= 1e-3 or known["completeness_gap"] <= 1e-5
    if has("deletion_ratio_low"):
        passed["deletion"] = known["deletion_ratio_low"] > 1
    if has("insertion_ratio_high"):
        passed["insertion"] = known["insertion_ratio_high"] < 1
    if has("flipping_gap_low"):
        passed["pixel flipping"] = known["flipping_gap_low"] > 0
    if has("infidelity_relative", "infidelity_shuffled"):
        passed["infidelity"] = known["infidelity_relative"] < min(1, known["infidelity_shuffled"])
    if has("max_sensitivity_blocks"):
        passed["max-sensitivity"] = known["max_sensitivity_blocks"] < 1
    if has("randomised_correlation"):
        passed["randomised layers"] = abs(known["randomised_correlation"]) <= 0.5
    if has("agreement_gradient", "agreement_partition"):
        passed["agreement"] = min(known["agreement_gradient"], known["agreement_partition"]) > 0.4
    if has("exact_correlation"):
        passed["exact values"] = known["exact_correlation"] > 0.5
    if has("parts_relative"):
        passed["scene and region"] = known["parts_relative"] <= AGREE
    return passed


def level_of(passed: Mapping[str, bool]) -> str:
    """Good from 85 % of the checks on, mixed from half of them on, weak below; never good with a completeness gap."""
    share = sum(passed.values()) / max(1, len(passed))
    if len(passed) < 2:
        return "unknown"
    if share >= GOOD and passed.get("completeness", True):
        return "good"
    return "mixed" if share >= MIXED else "weak"


def _of_completeness(table: pd.DataFrame) -> dict[str, Fact]:
    largest = float(table["change"].abs().max())
    return {
        "completeness_gap": _number(table["of_attribution"].max()),
        "completeness_of_change": _number(table["gap"].abs().max() / largest) if largest > 0 else None,
    }


def _of_curves(curves: pd.DataFrame, seed: int) -> dict[str, Fact]:
    """Areas beside those of random orders, as ratios, which outputs of different units share."""
    moved = area_under(curves, "moved")
    order = "size" if "size" in set(curves["order"]) else "value"
    facts: dict[str, Fact] = {}
    for curve in ("deletion", "insertion"):
        areas = _beside(moved[moved["curve"] == curve], order, "random")
        # Each output on its own scale, that of its random orders.
        scale = areas.groupby("output")["random"].transform("mean")
        scaled = areas.assign(**{name: areas[name] / scale.where(scale > 0) for name in (order, "random")})
        ratio, low, high = _over_images(scaled, order, "random", seed)
        facts |= {f"{curve}_ratio": ratio, f"{curve}_ratio_low": low, f"{curve}_ratio_high": high}
    return facts | _of_flipping(curves, seed)


def _of_flipping(curves: pd.DataFrame, seed: int) -> dict[str, Fact]:
    """How much higher the first output stays if its most relevant blocks go last instead of first."""
    areas = area_under(curves[curves["order"] == "value"], "prediction")
    table = areas.pivot_table(index=["image", "output"], columns="curve", values="area", sort=False)
    gaps = (table["insertion"] - table["deletion"]).reset_index(name="gap")
    first = gaps[gaps["output"] == gaps["output"].iloc[0]] if _are_shared(gaps) else gaps
    values = first["gap"].to_numpy(float)
    gap, low, high = mean_with_interval(values, np.random.default_rng(seed), resamples=RESAMPLES)
    return {
        "flipping_gap": _number(gap),
        "flipping_gap_low": _number(low),
        "flipping_gap_high": _number(high),
        "flipping_right": _number((gaps["gap"] > 0).mean()),
    }


def _are_shared(gaps: pd.DataFrame) -> bool:
    """Whether every image explains the same outputs, so that the first one is the same for all."""
    return bool(gaps.groupby("output")["image"].nunique().min() == gaps["image"].nunique())


def _of_infidelity(hidden: pd.DataFrame, table: pd.DataFrame) -> dict[str, Fact]:
    """All images together, so that one whose prediction hardly changes does not decide; mean over outputs."""
    squares = hidden.assign(
        missed=(hidden["attributed"] - hidden["changed"]) ** 2,
        chance=(hidden["shuffled"] - hidden["changed"]) ** 2,
        whole=hidden["changed"] ** 2,
    )
    sums = squares.groupby("output")[["missed", "chance", "whole"]].sum()
    if len(sums) == squares["image"].nunique():  # each image its own class, in one unit
        sums = sums.sum().to_frame().T
    sums = sums[sums["whole"] > 0]
    return {
        "infidelity_relative": _number((sums["missed"] / sums["whole"]).mean()),
        "infidelity_shuffled": _number((sums["chance"] / sums["whole"]).mean()),
        "effect_correlation": _number(table["correlation"].median()),
    }


def _of_agreement(table: pd.DataFrame) -> dict[str, Fact]:
    medians = table.groupby(["first", "second"])["rank_correlation"].median()
    names = {
        "agreement_gradient": ("DeepSHAP", "GradientSHAP"),
        "agreement_partition": ("DeepSHAP", "PartitionSHAP"),
        "agreement_others": ("GradientSHAP", "PartitionSHAP"),
    }
    return {fact: _number(medians.get(pair, np.nan)) for fact, pair in names.items()}


def _beside(areas: pd.DataFrame, *orders: str) -> pd.DataFrame:
    table = areas.pivot_table(index=["image", "output"], columns="order", values="area", sort=False)
    return table[list(orders)].reset_index()


def _over_images(
    areas: pd.DataFrame, order: str, other: str, seed: int
) -> tuple[float | None, float | None, float | None]:
    """The ratio of two mean areas, with a bootstrap interval over images."""
    sums = areas.groupby("image")[[order, other]].sum().to_numpy(float)
    ratio, low, high = ratio_with_interval(
        sums[:, 0], sums[:, 1], np.random.default_rng(seed), resamples=RESAMPLES
    )
    return _number(ratio), _number(low), _number(high)


def _number(value: float) -> float | None:
    """A plain float for JSON, None for NaN."""
    return float(value) if np.isfinite(value) else None
