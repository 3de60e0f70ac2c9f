"""Do the attributions sum to the prediction, and go along with exact Shapley values?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.attribution.regions import RegionShap
from shapsight.diagnosis.exact_parts import AGREE
from shapsight.diagnosis.faithfulness.affordable import LEAST_WORK, affordable, work_of
from shapsight.diagnosis.faithfulness.agreement import against_exact, exact_agreement
from shapsight.diagnosis.faithfulness.completeness import completeness
from shapsight.drawing.style import number
from shapsight.studies.diagnose.case import Report
from shapsight.studies.diagnose.trust.facts import TrustFacts
from shapsight.studies.diagnose.trust.specimen import Check, Measured, Specimen, Step
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.words import count

OF_A_FUNCTION = 8  # regions: what asking a function costs is not known


def _completeness(specimen: Specimen, into: Measured, _report: Report) -> None:
    """Of all explanations, not only of those that are specimen."""
    table = completeness(specimen.case.explanation)
    into.tables["completeness"] = table
    largest = float(table["change"].abs().max())
    into.facts = replace(
        into.facts,
        completeness_gap=float(table["of_attribution"].max()),
        completeness_of_change=float(table["gap"].abs().max() / largest) if largest > 0 else float("nan"),
    )


def _exact(specimen: Specimen, into: Measured, report: Report) -> None:
    """Exact Shapley values of a few regions, from all their coalitions."""
    versions = (
        len(specimen.references) + 1
    )  # of each coalition: behind every reference, and behind the masker
    wanted = specimen.effort.regions or (None if specimen.bundle.has_gradients else OF_A_FUNCTION)
    work = versions * max(LEAST_WORK, work_of(specimen.model, specimen.images[:1]))
    grid, images = affordable(work, len(specimen.images), wanted)
    some = specimen.first(images)

    def exact_behind(masker: Any, before: int) -> RegionValues:
        def done(asked: int, total: int) -> None:
            report(before * total + (versions - 1 if before == 0 else 1) * asked, versions * total)

        return RegionShap(some.model, masker, grid).by_region(some.images, some.columns, progress=done)

    table = against_exact(some.explanation, exact_behind(some.references, 0))
    agrees = exact_agreement(table)
    into.tables |= {"regions": table, "exact": agrees}
    into.facts = replace(
        into.facts,
        exact_regions=int(table["region"].max()) + 1,
        exact_images=int(table["image"].nunique()),
        exact_correlation=float(agrees["rank_correlation"].mean()),
        exact_pearson=float(agrees["correlation"].mean()),
        exact_same_sign=float(agrees["same_sign"].mean()),
    )
    behind = exact_behind(some.masker, versions - 1)
    absence = exact_agreement(table.assign(attribution=behind.values.cpu().double().numpy().ravel()))
    into.tables["absence"] = absence
    into.facts = replace(into.facts, absence_correlation=float(absence["rank_correlation"].mean()))
    regions = grid[0] * grid[1]
    if wanted is None and regions < 12:
        into.left_out.append(
            f"Exact Shapley values are of {regions} regions: of 12 they take {4096 * versions:,} forward passes an "
            "image, which would take long. regions=12 computes them."
        )


def _parts(specimen: Specimen, into: Measured, report: Report) -> None:
    """Exact Shapley values of scene and region as players, behind all references of the explanation."""
    case = specimen.case
    if case.masks is None:
        return
    found = contributions_of(
        specimen.explanation,
        specimen.bundle,
        case.manifest,
        case.rows.iloc[specimen.positions],
        specimen.images,
        case.masks[specimen.positions],
        progress=report,
        seed=case.seed,
    )
    if found is None:
        return
    into.tables["parts"] = found.agreement
    row = found.agreement.iloc[0]
    into.facts = replace(
        into.facts,
        parts_correlation_scene=float(row["correlation_scene"]),
        parts_correlation_region=float(row["correlation_region"]),
        parts_difference=float(row["difference"]),
        parts_relative=float(row["relative"]),
    )


def completeness_check(found: TrustFacts) -> Check:
    """Of the sum of all attributions: told first, and never missed by a good explanation."""
    return Check(
        "completeness",
        "the gap is below what DeepShap warns of: 1e-3 of the largest change or 1e-5 of the attribution",
        found.completeness_of_change + found.completeness_gap,
        found.completeness_of_change <= 1e-3 or found.completeness_gap <= 1e-5,
        "The attributions miss prediction - base value by at most "
        f"{found.completeness_of_change:.1e} of the largest such difference.",
    )


def checks(found: TrustFacts) -> list[Check]:
    """Of exact values beside the attributions."""
    return [
        Check(
            "exact values",
            "region by region it goes along with exact values against the same references: a mean rank correlation "
            "above 0.5, which four images of 6 unrelated regions exceed 1 time in 100, and four of 12 regions 3 times "
            "in 10,000",
            found.exact_correlation,
            found.exact_correlation > 0.5,
            f"Beside exact Shapley values, against references too, of {found.exact_regions} regions in "
            f"{count(found.exact_images, 'image')} the rank correlation is {number(found.exact_correlation, 2)} on "
            f"average (Pearson's {number(found.exact_pearson, 2)}), and {found.exact_same_sign:.0%} of their sum has "
            "the same sign.",
        ),
        Check(
            "absence",
            "none: it tells how much the answer depends on what stands for what is hidden",
            found.absence_correlation,
            None,
            'What stands for "absent" is part of the question: exact values of the regions behind a blur instead of '
            f"the references have a rank correlation of {number(found.absence_correlation, 2)} with those.",
        ),
        Check(
            "scene and region",
            "their sums are as far from exact values as a fifth of what is shared out, or less: 4 % of its square, and "
            "no sentence says more than that",
            found.parts_relative,
            found.parts_relative <= AGREE,
            "The sums over scene and region differ from exact Shapley values of the two by "
            f"{number(found.parts_difference)}, {found.parts_relative:.0%} of what is shared out.",
        ),
    ]


COMPLETENESS = Step("Completeness", _completeness, cost=0)
EXACT = (
    Step("Agreement with exact Shapley values", _exact, cost=320, is_for_few=True),
    Step("Exact Shapley values of scene and region", _parts, cost=60),
)
