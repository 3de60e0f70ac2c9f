"""Where does it look? The part of a diagnosis that measures what scene and region contribute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int
from numpy import ndarray

from shapsight.attribution.deep import DeepShap
from shapsight.diagnosis.contributions import PARTS, contributions_per_environment
from shapsight.diagnosis.fixed_places import FEWEST, same_place, still_parts, target_groups
from shapsight.diagnosis.groups import groups
from shapsight.diagnosis.intervals import mean_with_interval
from shapsight.diagnosis.object_shares import object_shares, object_shares_per_environment
from shapsight.diagnosis.randomised import randomised_copy
from shapsight.diagnosis.relevance import relevance_mass_accuracy
from shapsight.diagnosis.relevance_measures import measures_per_environment, measures_per_image
from shapsight.studies.diagnose.case import Case, Findings, Report, silent
from shapsight.studies.diagnose.look.pictures import pictures
from shapsight.studies.diagnose.look.words import sentences
from shapsight.studies.shared.contributions import PREDICTED, Contributions, estimate_of
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.facts import Fact
from shapsight.studies.shared.sampling import spread_over_environments

HOME, ELSEWHERE = "home", "elsewhere"
FACTS = {
    "inside": "mass_accuracy",
    "rank_accuracy": "rank_accuracy",
    "pointing": "pointing_game",
    "entropy": "entropy",
    "area": "area",
}
CONTRIBUTED = {
    "size": "size",
    "share": "share",
    "variance": "variance_share",
    "knows": "knows",
    "pull": "pull",
}


@dataclass(frozen=True, eq=False)
class Looked:
    """The tables of this part, of which sentences and pictures are made."""

    output: str
    per_image: pd.DataFrame
    measures: pd.DataFrame
    places: pd.DataFrame
    fixed: pd.DataFrame
    objects: pd.DataFrame | None
    contributions: Contributions | None
    contributed: pd.DataFrame | None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names that their files get."""
        tables = {
            "measures": self.measures,
            "measures_per_image": self.per_image,
            "places": self.places,
            "fixed_places": self.fixed,
        }
        if self.objects is not None:
            tables["objects"] = self.objects
        if self.contributions is not None and self.contributed is not None:
            tables |= {**self.contributions.tables, "contributions_by_place": self.contributed}
        return tables


def look(
    case: Case,
    report: Report = silent,
    *,
    randomised_images: int = 6,
    randomised_copies: int = 3,
    resamples: int = 1000,
) -> Findings:
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

    Facts, of the first explained target or the predicted class, shares in [0, 1], None where unknown; PLACE is "home"
    or "elsewhere":
        output, has_region, is_classes, images_PLACE;
        PART_size_PLACE (PART: "scene" or "region"), PART_share_PLACE, PART_variance_PLACE, PART_knows_PLACE,
            PART_pull_PLACE, each with _low and _high: the measures of `diagnosis.contributions`;
        contributions_from: "DeepSHAP" or "exact Shapley values"; exact_correlation_scene, exact_correlation_region,
            exact_difference (in the output's unit), exact_relative: how well the two agree;
        inside_PLACE and inside_PLACE_low, _high, _chance, _randomised: relevance mass accuracy;
        rank_accuracy_PLACE, pointing_PLACE, entropy_PLACE, area_PLACE (share of pixels that carry 90 %), each with
            the same endings;
        same_place_PLACE: how far the attribution of low, middle and high targets overlaps (1: it does not move),
            same_place_PLACE_shuffled: with shuffled targets; does_move_PLACE: whether it is lower than 95 % of those;
        still_PLACE, still_PLACE_chance: the share of attribution on the quarter of pixels that vary least;
        object, object_share, object_chance: the category with most attribution, its share and its area.
    """
    images = len(case.rows)
    steps = 2 * images + randomised_copies * min(randomised_images, images)
    per_image = measures_per_image(case.explanation, case.rows, case.masks)
    contributions = None
    if case.masks is not None:

        def done(some: int, total: int) -> None:
            report(images * some // max(total, 1), steps)

        contributions = contributions_of(
            case.explanation, case.bundle, case.manifest, case.rows, case.images, case.masks, progress=done,
            seed=case.seed,
        )  # fmt: skip
    report(2 * images, steps)
    control = _control(case, randomised_images, randomised_copies, report, steps)
    found = _looked(case, per_image, control, contributions, resamples)
    facts = _facts(case, found)
    measured = None if contributions is None else contributions.measures
    figures = pictures(case, found.output, found.measures, found.objects, measured)
    report(steps, steps)
    return Findings("look", found.tables, facts, sentences(facts), figures, _left_out(case, found))


def _looked(
    case: Case,
    per_image: pd.DataFrame,
    control: pd.DataFrame | None,
    contributions: Contributions | None,
    resamples: int,
) -> Looked:
    """The tables of environments, of home and elsewhere, of fixed places, and of objects where there are any."""
    pooled = PREDICTED if case.manifest.class_names else None
    summary = partial(measures_per_environment, pooled=pooled, resamples=resamples, seed=case.seed)
    control_by_place = None if control is None else _by_place(control, case)
    objects = None
    if case.objects:
        shares = object_shares(case.explanation, case.rows, case.objects)
        shares = shares.assign(output=pooled) if pooled else shares
        objects = object_shares_per_environment(shares, resamples=resamples, seed=case.seed)
    return Looked(
        output=pooled or case.explanation.name_of(0, 0),
        per_image=per_image,
        measures=summary(per_image, randomised=control),
        places=summary(_by_place(per_image, case), randomised=control_by_place),
        fixed=fixed_places(case),
        objects=objects,
        contributions=contributions,
        contributed=None
        if contributions is None
        else contributions_per_environment(_by_place(contributions.per_image, case), seed=case.seed),
    )


def is_home(rows: pd.DataFrame, case: Case) -> Bool[ndarray, "rows"]:
    """Which rows come from an environment that the model was trained on."""
    return rows["environment"].isin(case.manifest.train_on).to_numpy(bool)


def fixed_places(case: Case) -> pd.DataFrame:
    """What points to the scene without a region of interest, in each environment, for the first output.

    Columns: `environment, split, images, same_place, shuffled, shuffled_low, does_move, still, still_low, still_high,
    still_chance, variation`; see `same_place` and `still_parts`. `shuffled_low` is what 5 % of shuffled targets fall
    below, `does_move` whether the real ones do, `variation` the largest standard deviation of what counts as still.
    """
    sizes = case.explanation.heatmap("abs")[:, 0].cpu()
    position = {index: number for number, index in enumerate(case.rows.index)}
    records = []
    for environment, split, group in groups(case.rows):
        at = [position[index] for index in group.index]
        if len(at) < 2 * FEWEST:
            continue
        overlap, shuffled = same_place(sizes[at], _targets(case, group), seed=case.seed)
        still, variation = still_parts(case.images[at])
        shares = relevance_mass_accuracy(sizes[at][:, None], np.repeat(still[None], len(at), 0))[:, 0]
        share, low, high = mean_with_interval(shares, np.random.default_rng(case.seed))
        lowest = float(np.quantile(shuffled, 0.05))
        records.append(
            {
                "environment": environment,
                "split": split,
                "images": len(at),
                "same_place": overlap,
                "shuffled": float(shuffled.mean()),
                "shuffled_low": lowest,
                "does_move": None if np.isnan(overlap) else bool(overlap < lowest),
                "still": share,
                "still_low": low,
                "still_high": high,
                "still_chance": float(still.mean()),
                "variation": variation,
            }
        )
    columns = (
        "environment split images same_place shuffled shuffled_low does_move still still_low still_high still_chance "
        "variation"
    )
    return pd.DataFrame.from_records(records, columns=columns.split())


def _targets(case: Case, rows: pd.DataFrame) -> Int[ndarray, "rows"]:
    """Groups of images that should be told apart: low, middle and high targets, or predicted classes."""
    if case.targets:
        return target_groups(rows[case.targets[0]].to_numpy(float), 3 if len(rows) >= 3 * FEWEST else 2)
    return np.asarray(pd.factorize(rows["predicted_label"])[0])


def _control(case: Case, images: int, copies: int, report: Report, steps: int) -> pd.DataFrame | None:
    """The measures of randomised copies on a few images; None where there are to be none."""
    if copies < 1 or images < 1:
        return None
    rows = np.sort(spread_over_environments(case.rows["environment"].to_numpy(str), images, case.seed))
    pixels = case.images[torch.from_numpy(rows)]
    masks = None if case.masks is None else case.masks[rows]
    references = case.bundle.prepared_references(_references_of(case))
    tables = []
    for number in range(copies):
        model = randomised_copy(case.bundle.model, case.seed + number)
        explainer = DeepShap(model, references, output_names=case.explanation.output_names)
        outputs = case.explanation.output_index[torch.from_numpy(rows)]
        explanation = explainer(case.bundle.prepare(pixels), outputs, on_gap="ignore")
        measured = measures_per_image(explanation, case.rows.iloc[rows], masks)
        tables.append(measured.assign(copy=number))
        report(2 * len(case.rows) + (number + 1) * len(rows), steps)
    return pd.concat(tables, ignore_index=True)


def _references_of(case: Case) -> int | None:
    """As many references as the explanation was made with, so that both are equally smooth."""
    used = case.explanation.settings.get("references")
    return used if isinstance(used, int) else None


def _by_place(per_image: pd.DataFrame, case: Case) -> pd.DataFrame:
    """The same rows with "home" and "elsewhere" for environments; at home held-out images only, if there are any."""
    at_home = is_home(per_image, case)
    was_trained_on = per_image["split"].to_numpy(str) == "train"
    kept = ~at_home | ~was_trained_on if (at_home & ~was_trained_on).any() else np.full(len(at_home), True)
    placed = per_image.assign(
        within=per_image["environment"], environment=np.where(at_home, HOME, ELSEWHERE), split="all"
    )
    return placed[kept]


def _facts(case: Case, found: Looked) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "output": found.output,
        "has_region": case.masks is not None,
        "is_classes": bool(case.manifest.class_names),
    }
    at_home = is_home(case.rows, case)
    table = {
        (row["environment"], row["measure"]): row
        for row in found.places[found.places["output"] == found.output].to_dict("records")
    }
    for place, here in ((HOME, at_home), (ELSEWHERE, ~at_home)):
        facts[f"images_{place}"] = int(here.sum())
        for fact, measure in FACTS.items():
            row = table.get((place, measure))
            for ending in ("value", "low", "high", "chance", "randomised"):
                name = f"{fact}_{place}" + ("" if ending == "value" else f"_{ending}")
                facts[name] = None if row is None else _number(getattr(row, ending))
        facts |= _fixed_facts(found.fixed, place, case) | _contributed_facts(found, place)
    return facts | _agreement_facts(found) | _object_facts(found)


def _contributed_facts(found: Looked, place: str) -> dict[str, Fact]:
    """What each part contributes at a place, with intervals."""
    facts: dict[str, Fact] = {}
    for part in PARTS:
        for name, measure in CONTRIBUTED.items():
            row = None
            if found.contributed is not None:
                row = estimate_of(found.contributed, found.output, measure, part=part, environment=place)
            for ending in ("value", "low", "high"):
                fact = f"{part}_{name}_{place}" + ("" if ending == "value" else f"_{ending}")
                facts[fact] = None if row is None else _number(getattr(row, ending))
    return facts


def _agreement_facts(found: Looked) -> dict[str, Fact]:
    """How well the sums agree with exact values, and which are told."""
    names = ("correlation_scene", "correlation_region", "difference", "relative")
    if found.contributions is None:
        return {"contributions_from": None, **dict.fromkeys((f"exact_{name}" for name in names), None)}
    table = found.contributions.agreement
    row = table[table["output"] == found.output].iloc[0]
    return {
        "contributions_from": str(row["quoted"]),
        **{f"exact_{name}": _number(row[name]) for name in names},
    }


def _fixed_facts(fixed: pd.DataFrame, place: str, case: Case) -> dict[str, Fact]:
    """Means over the environments of a place, weighted by their images."""
    rows = fixed[(fixed["environment"] != "all") & (is_home(fixed, case) == (place == HOME))]
    names = {
        f"same_place_{place}": "same_place",
        f"same_place_{place}_shuffled": "shuffled",
        f"still_{place}": "still",
        f"still_{place}_chance": "still_chance",
    }
    facts: dict[str, Fact] = {}
    for name, column in names.items():
        known = rows.dropna(subset=column)
        values, weights = known[column].to_numpy(float), known["images"].to_numpy(float)
        facts[name] = float(np.average(values, weights=weights)) if len(known) else None
    answers = rows["does_move"].dropna()
    facts[f"does_move_{place}"] = bool(answers.astype(bool).any()) if len(answers) else None
    return facts


def _object_facts(found: Looked) -> dict[str, Fact]:
    """The kind of object with most attribution, in unseen environments if there are any."""
    nothing: dict[str, Fact] = {"object": None, "object_share": None, "object_chance": None}
    if found.objects is None or found.objects.empty:
        return nothing
    table = found.objects[found.objects["output"] == found.output]
    unseen = table[table["split"] == "unseen"]
    means = (unseen if len(unseen) else table).groupby("category")[["share", "chance"]].mean()
    most = means.sort_values("share").iloc[-1]
    return {
        "object": str(most.name),
        "object_share": _number(most["share"]),
        "object_chance": _number(most["chance"]),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _left_out(case: Case, found: Looked) -> tuple[str, ...]:
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
    if is_home(case.rows, case).all():
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
