"""What is diagnosed: a model, its errors everywhere, and the images that are looked at closely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.data.framing import Framing
from shapsight.data.manifest import Manifest
from shapsight.data.objects import object_masks
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.case import Case
from shapsight.studies.diagnose.whole import Whole
from shapsight.studies.shared.analysis import predicted
from shapsight.studies.shared.error_facts import ErrorFacts, error_facts, is_constant
from shapsight.studies.shared.material import Material, region_masks, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.recorded import recorded_in
from shapsight.studies.shared.references import with_references
from shapsight.studies.shared.sampling import choose_held_out, held_out_rows
from shapsight.studies.shared.settings import DiagnoseSettings
from shapsight.studies.shared.subject import Subject, prediction_warnings
from shapsight.studies.shared.words import count

ANNOTATIONS = (".json", ".csv")


@dataclass(frozen=True, eq=False)
class Examined:
    """A model judged on a dataset, and the rows of it that are looked at closely.

    Attributes
        subject: the model and the dataset.
        case: those rows, with an explanation of no output: not every part needs one.
        errors: of all images, in each environment and split.
        roi: where the masks are from.
        facts: the errors as numbers for the verdict.
        notes: what a reader should know.
    """

    subject: Subject
    case: Case
    errors: pd.DataFrame
    roi: str | None
    facts: ErrorFacts
    notes: tuple[str, ...]


def examine(subject: Subject, settings: DiagnoseSettings, narrator: Narrator) -> Examined:
    """Judge a model on a dataset, and choose the images to look at.

    Raises a `ShapsightError` for unknown targets, and a region of interest that cannot be read or has another size than
    its image.
    """
    manifest, framing = subject.manifest, subject.bundle.seen
    targets = _targets(subject.bundle, settings.outputs)
    recorded = None if settings.store is None else recorded_in(settings.store, subject, narrator)
    if recorded is not None:
        recorded.refuse_unexplained(targets)
        recorded.refuse_other_method()
        subject, manifest = recorded.subject, recorded.subject.manifest
        judged = recorded.judged(settings.seed)
    else:
        material = Material.decoded(manifest, framing, narrator)
        subject = with_references(subject, material.images, narrator, seed=settings.seed)
        judged = predicted(subject.name, subject.bundle, material, narrator, seed=settings.seed)
    bundle, predictions, errors = subject.bundle, judged.predictions, judged.errors
    rows, notes = choose_held_out(predictions, settings.images, seed=settings.seed)
    region = roi_of(settings.roi, None if recorded is None else recorded.roi, *subject.rois)
    masks = None if region is None else region_masks(region, rows, framing)
    roi = None if region is None else region.spec
    scales = prediction_warnings(predictions, manifest)
    whole = None
    if recorded is not None:
        held_out = pd.concat([some for _, some in held_out_rows(predictions)]).sort_index()
        whole = Whole(recorded, held_out, targets, region)
    more = [
        *_one_environment(manifest),
        *_constant(predictions, manifest),
        *_regions(masks, roi),
        *_read(whole, rows),
    ]
    for sentence in (*notes, *more):
        narrator.note(sentence)
    chosen = material.of(rows) if recorded is None else recorded.pictures(rows)
    case = Case(
        bundle,
        manifest,
        rows,
        chosen,
        masks,
        explanation=_of_nothing(bundle, chosen),
        targets=targets,
        objects=_objects(settings.objects, roi, rows, framing),
        seed=settings.seed,
        whole=whole,
    )
    facts = error_facts(errors, predictions, manifest)
    return Examined(subject, case, errors, roi, facts, (*subject.notes, *notes, *more, *scales))


def _read(whole: Whole | None, rows: pd.DataFrame) -> list[str]:
    """What is of all images of a store, and what of those that are looked at closely."""
    if whole is None:
        return []
    many, few = f"all {len(whole.rows)} held-out images in the store", count(len(rows), "image")
    if whole.recorded.is_light:
        sums = " and what scene and region contribute" if whole.has_sums else ""
        return [
            f"A light store has no values of pixels: errors{sums} are of {many}; {few} are explained for all else."
        ]
    sums = "" if whole.roi is None else ", what scene and region contribute"
    return [
        f"Errors, where attribution lies{sums} are of {many}; swaps, strategies, tests and single pictures of {few}."
    ]


def _of_nothing(bundle: Bundle, images: UInt8[Tensor, "images 3 size size"]) -> Explanation:
    """An explanation of no output."""
    nothing = torch.empty(len(images), 0)
    return Explanation(
        values=torch.empty(len(images), 0, *images.shape[1:]),
        base_values=nothing,
        predictions=nothing,
        completeness_gap=nothing,
        output_index=nothing.long(),
        images=images.float() / 255,
        output_names=bundle.card.output_names,
        method="none",
    )


def _objects(
    spec: str | None, roi: str | None, rows: pd.DataFrame, framing: Framing
) -> dict[str, Bool[ndarray, "rows size size"]]:
    """Masks of each kind of object; without a file of their own those of the region's, where it names several."""
    if spec is not None:
        return object_masks(spec, rows, framing)
    if roi is None or Path(roi).suffix.lower() not in ANNOTATIONS or not Path(roi).is_file():
        return {}
    found = object_masks(roi, rows, framing)
    return found if len(found) > 1 else {}


def _targets(bundle: Bundle, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The targets to explain; none for classes, of which each image's own is explained."""
    names = bundle.card.output_names
    if bundle.card.class_names:
        if wanted:
            raise DataError(
                "--outputs is for targets; of classes the one that an image is taken for is explained"
            )
        return ()
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise DataError(f"the model has no target {unknown[0]!r}: there are {', '.join(names)}")
    return wanted or names[:1]


def _one_environment(manifest: Manifest) -> list[str]:
    if len(manifest.environments) > 1:
        return []
    return [
        f"There is one environment only, {manifest.environments[0]}: how the model does in another one is not known."
    ]


def _constant(predictions: pd.DataFrame, manifest: Manifest) -> list[str]:
    """Said where the model says the same of every image."""
    if manifest.class_names:
        is_one_class = len(predictions) > 1 and predictions["predicted_label"].nunique() == 1
        return ["The model takes every image for the same class."] if is_one_class else []
    constant = [name for name in manifest.targets if is_constant(predictions, manifest, name)]
    return [f"The model says the same {name} of every image." for name in constant]


def _regions(masks: Bool[ndarray, "rows size size"] | None, roi: str | None) -> list[str]:
    if masks is None:
        return ["No region of interest was given (--roi): the parts that need one are left out."]
    flat = masks.reshape(len(masks), -1)
    empty, full = int((~flat.any(1)).sum()), int(flat.all(1).sum())
    if empty + full == len(masks):
        raise DataError(
            f"the region of interest {roi} is {'empty in' if empty else 'all of'} every image: nothing can be told "
            "from it. Check --roi, or leave it out with --roi none"
        )
    said = []
    if empty:
        said.append(f"The region of interest is empty in {count(empty, 'image')}.")
    if full:
        said.append(f"The region of interest is all of the picture in {count(full, 'image')}.")
    return said
