"""The tables of where a model looks: everywhere, at home and elsewhere, beside randomised copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool
from numpy import ndarray

from shapsight.attribution.deep import DeepShap
from shapsight.diagnosis.contributions import contributions_per_environment
from shapsight.diagnosis.fixed_places import fixed_places
from shapsight.diagnosis.object_shares import object_shares, object_shares_per_environment
from shapsight.diagnosis.randomised import randomised_copy
from shapsight.diagnosis.relevance_measures import measures_per_environment, measures_per_image
from shapsight.studies.diagnose.case import Case, Report
from shapsight.studies.diagnose.look.streamed import Atlas, beside_few, streamed, with_all
from shapsight.studies.shared.contributions import PREDICTED, Contributions
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.sampling import spread_over_environments

HOME, ELSEWHERE = "home", "elsewhere"
MOST_PLACES = 8


@dataclass(frozen=True, eq=False)
class LookTables:
    """What sentences and pictures of this part are made of.

    Attributes
        output: the first explained target, or the predicted class.
        rows, trained_on: of the case, or of the store that it is of.
        atlas: the mean heatmap of each environment.
    """

    output: str
    rows: pd.DataFrame
    trained_on: Sequence[str]
    per_image: pd.DataFrame
    measures: pd.DataFrame
    places: pd.DataFrame
    fixed: pd.DataFrame
    objects: pd.DataFrame | None
    contributions: Contributions | None
    contributed: pd.DataFrame | None
    atlas: Atlas

    @property
    def files(self) -> dict[str, pd.DataFrame]:
        """The tables, by the names that their files get."""
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


def is_home(rows: pd.DataFrame, trained_on: Sequence[str]) -> Bool[ndarray, "rows"]:
    """Which rows come from an environment that the model was trained on."""
    return rows["environment"].isin(trained_on).to_numpy(bool)


def tables_of(case: Case, report: Report, *, images: int, copies: int, resamples: int) -> LookTables:
    """All of them; `images` are explained for each of so many randomised `copies` of the model."""
    count, rows, whole = len(case.rows), case.rows, case.whole
    many = 0 if whole is None else len(whole.rows)
    steps = many + 2 * count + copies * min(images, count)
    places = _most(case.rows if whole is None else whole.rows)
    found = None if whole is None else streamed(whole, places, lambda done: report(done, steps))
    if found is not None and whole is not None:
        per_image, atlas, rows = found.per_image, found.atlas, whole.rows
    else:
        per_image, atlas = measures_per_image(case.explanation, case.rows, case.masks), Atlas(places)
        atlas.add(case.rows, case.explanation, case.images.float() / 255, case.masks)
    contributions = contributed = None
    if case.masks is not None:
        contributions = contributions_of(
            case.explanation, case.bundle, case.manifest, case.rows, case.images, case.masks,
            progress=lambda done, total: report(many + count * done // max(total, 1), steps), seed=case.seed,
        )  # fmt: skip
    if contributions is not None:
        contributed = contributions_per_environment(_by_place(contributions.per_image, case), seed=case.seed)
        if whole is not None:
            sums = whole.recorded.contributions(whole.rows, whole.targets) if whole.has_sums else None
            sums = sums if found is None or sums is not None else found.sums
            contributions = with_all(contributions, sums, seed=case.seed)
            placed = contributions_per_environment(_by_place(contributions.per_image, case), seed=case.seed)
            contributed = beside_few(placed, contributed)
    report(many + 2 * count, steps)
    control = _control(case, images, copies, lambda done: report(many + 2 * count + done, steps))
    pooled = PREDICTED if case.manifest.class_names else None
    summary = partial(measures_per_environment, pooled=pooled, resamples=resamples, seed=case.seed)
    objects = None
    if case.objects:
        shares = object_shares(case.explanation, case.rows, case.objects)
        shares = shares.assign(output=pooled) if pooled else shares
        objects = object_shares_per_environment(shares, resamples=resamples, seed=case.seed)
    sizes = case.explanation.heatmap("abs")[:, 0].cpu()
    target = case.targets[0] if case.targets else None
    return LookTables(
        output=pooled or case.explanation.name_of(0, 0),
        rows=rows,
        trained_on=case.manifest.train_on,
        per_image=per_image,
        measures=summary(per_image, randomised=control),
        places=summary(
            _by_place(per_image, case), randomised=None if control is None else _by_place(control, case)
        ),
        fixed=fixed_places(sizes, case.rows, case.images, target=target, seed=case.seed),
        objects=objects,
        contributions=contributions,
        contributed=contributed,
        atlas=atlas,
    )


def _most(rows: pd.DataFrame) -> tuple[str, ...]:
    """At most eight environments, those with most images."""
    return tuple(sorted(rows["environment"].value_counts().index[:MOST_PLACES]))


def _control(case: Case, images: int, copies: int, done: Callable[[int], None]) -> pd.DataFrame | None:
    """The measures of randomised copies on a few images; None where there are to be none."""
    if copies < 1 or images < 1 or not case.bundle.has_gradients:
        return None
    rows = np.sort(spread_over_environments(case.rows["environment"].to_numpy(str), images, case.seed))
    pixels = case.images[torch.from_numpy(rows)]
    masks = None if case.masks is None else case.masks[rows]
    # As many references as the explanation was made with, so that both are equally smooth.
    used = case.explanation.settings.get("references")
    references = case.bundle.prepared_references(used if isinstance(used, int) else None)
    tables = []
    for number in range(copies):
        model = randomised_copy(case.bundle.model, case.seed + number)
        explainer = DeepShap(model, references, output_names=case.explanation.output_names)
        outputs = case.explanation.output_index[torch.from_numpy(rows)]
        explanation = explainer(case.bundle.prepare(pixels), outputs, on_gap="ignore")
        measured = measures_per_image(explanation, case.rows.iloc[rows], masks)
        tables.append(measured.assign(copy=number))
        done((number + 1) * len(rows))
    return pd.concat(tables, ignore_index=True)


def _by_place(per_image: pd.DataFrame, case: Case) -> pd.DataFrame:
    """The same rows with "home" and "elsewhere" for environments; at home held-out images only, if there are any."""
    at_home = is_home(per_image, case.manifest.train_on)
    was_trained_on = per_image["split"].to_numpy(str) == "train"
    kept = ~at_home | ~was_trained_on if (at_home & ~was_trained_on).any() else np.full(len(at_home), True)
    placed = per_image.assign(
        within=per_image["environment"], environment=np.where(at_home, HOME, ELSEWHERE), split="all"
    )
    return placed[kept]
