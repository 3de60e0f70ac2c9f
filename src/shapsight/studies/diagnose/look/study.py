"""Where does it look? The part of a diagnosis that measures what scene and region contribute."""

from __future__ import annotations

from shapsight.report.page import Column, plain
from shapsight.studies.diagnose.case import Case, Report, silent
from shapsight.studies.diagnose.findings import Drawn, Findings, Part, Shown
from shapsight.studies.diagnose.look.facts import LookFacts, facts_of
from shapsight.studies.diagnose.look.pictures import pictures
from shapsight.studies.diagnose.look.tables import LookTables, is_home, tables_of
from shapsight.studies.diagnose.look.words import sentences
from shapsight.studies.shared.contributions import AGREEMENT


def look(
    case: Case,
    report: Report = silent,
    *,
    randomised_images: int = 6,
    randomised_copies: int = 3,
    resamples: int = 1000,
) -> Findings[Drawn]:
    """Measure what scene and region contribute, and where the attribution lies beside chance and randomised copies.

        look(case).sentences
        look(case, randomised_copies=0)             # without the control, in seconds

    `randomised_images` spread over the environments are explained for each of `randomised_copies` models with the same
    layers and random weights. Without a region of interest the measures that need one are left out, and `left_out`
    says so; an image whose region is empty or everything is not counted in them.

    What scene and region contribute are the signed sums of the attributions over them, held against exact Shapley
    values of the two in every image (`exact_parts`); the exact ones are told where the two disagree.

    Tables: `contributions` (`contributions_per_environment`), `contributions_by_place`, `contributions_per_image`,
    `agreement_with_exact`; `measures` (`measures_per_environment`), `measures_per_image`, `places` (the same for
    "home", the held-out images of the environments that were trained on, and "elsewhere", all others), `fixed_places`,
    `objects` where there are several categories.

    Facts: see `LookFacts`.
    """
    tables = tables_of(case, report, images=randomised_images, copies=randomised_copies, resamples=resamples)
    facts = facts_of(tables, has_region=case.masks is not None, is_classes=bool(case.manifest.class_names))
    return Findings(
        "look", tables.files, facts, sentences(facts), pictures(case, tables), _left_out(case, tables)
    )


def _left_out(case: Case, found: LookTables) -> tuple[str, ...]:
    said = []
    if case.masks is None:
        said.append(
            "No region of interest was given: mass accuracy, rank accuracy and the pointing game are left out."
        )
    else:
        area = case.masks.mean((1, 2))
        useless = int(((area == 0) | (area == 1)).sum())
        if useless:
            said.append(
                f"{useless} of {len(area)} images have a region of interest that is empty or the whole image: they are "
                "not counted in the measures that need one."
            )
    silent_images = int(found.per_image["entropy"].isna().sum())
    if silent_images:
        said.append(f"{silent_images} heatmaps hold no attribution at all and are not counted.")
    if is_home(case.rows, case.manifest.train_on).all():
        said.append(
            "No image of an unseen environment was explained: nothing is said of where it looks there."
        )
    if case.manifest.class_names:
        said += _absent_classes(case)
    if not case.objects:
        said.append("No annotations of several kinds of objects were given: shares of objects are left out.")
    return tuple(said)


def _absent_classes(case: Case) -> list[str]:
    """Classes that some environment never shows, so that its measures say nothing of them."""
    names = set(case.manifest.class_names)
    said = []
    for environment, rows in case.rows.groupby("environment", sort=True):
        absent = sorted(names - set(rows["label"]))
        if absent:
            some = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
            said.append(f"No image of {environment} shows {some}: nothing is said of that there.")
    return said


TABLES = (
    Shown(
        "contributions_by_place",
        "What scene and region contribute, at home (held-out images of the environments that were trained on) and "
        "elsewhere",
        (
            Column("environment", "place"),
            *plain("output", "part", "measure"),
            Column("images", format="d"),
            Column("value", "value", ".3g", low="low", high="high"),
        ),
    ),
    Shown(
        "agreement_with_exact",
        "Sums of the attributions beside exact Shapley values of scene and region in the same images",
        AGREEMENT,
    ),
    Shown(
        "places",
        "Where it lies, at home (held-out images of the environments that were trained on) and elsewhere",
        (
            Column("environment", "place"),
            *plain("output", "measure"),
            Column("images", format="d"),
            Column("value", "value", ".2f", low="low", high="high"),
            Column("chance", "chance", ".2f"),
            Column("randomised", "random weights", ".2f"),
        ),
    ),
    Shown(
        "objects",
        "Attribution on kinds of objects",
        (
            *plain("environment", "output"),
            Column("category", "object"),
            Column("images", format="d"),
            Column("share", "share", ".1%", low="low", high="high"),
            Column("chance", "chance", ".1%"),
        ),
    ),
)
LOOK = Part("look", "Where does it look?", look, LookFacts, TABLES)
