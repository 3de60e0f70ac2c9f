"""The parts of a diagnosis, one after the other: each kept at once, and not made again where nothing changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import shapsight
from shapsight.attribution.explanation import Explanation
from shapsight.errors import DataError, ShapsightError
from shapsight.models.bundle import weights_hash
from shapsight.studies.diagnose.case import Case, Findings, Report
from shapsight.studies.diagnose.explanations import KeptExplanations, fingerprint_of
from shapsight.studies.diagnose.kept_findings import Kept, keep, read_kept
from shapsight.studies.diagnose.look.study import look
from shapsight.studies.diagnose.part_tables import COLUMNS, Shown
from shapsight.studies.diagnose.settings import DiagnoseSettings
from shapsight.studies.diagnose.strategies.page import TABLES as STRATEGY_TABLES
from shapsight.studies.diagnose.strategies.study import strategies
from shapsight.studies.diagnose.subject import Subject
from shapsight.studies.diagnose.trust.study import trust
from shapsight.studies.diagnose.why.study import why
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.store import digest
from shapsight.studies.shared.words import count

EXPLANATIONS = "explanations"
HOW_TO_READ_WHY = (
    "The region of interest of each image is put on other scenes, and other regions into its scene, with feathered "
    "edges; hyphenated names are those of the Backgrounds Challenge (Xiao et al. 2021). mixed-same takes the scene of "
    "another image of the same environment (of classes: of the same label), mixed-rand of another one, control the "
    "most alike scene of the same environment, which tells what the cut costs. Errors are against the target of the "
    "image whose region is shown. In the pictures the ring is the target and the dot the prediction; bold is a "
    "prediction that turned. In the square of all regions on all scenes, even rows mean that the prediction follows "
    "the region, even columns that it follows the scene."
)


@dataclass(frozen=True)
class Part:
    """One of the questions, and what answers it.

    Attributes
        find: the public function of the part's folder, from a `Case` to `Findings`.
        tables: those that stand on the page; all are files.
        needs_explanations: whether it looks at DeepSHAP of the images.
        notes: how to read its numbers and pictures.
    """

    name: str
    question: str
    find: Callable[[Case, Report], Findings]
    tables: Sequence[Shown]
    needs_explanations: bool = True
    notes: tuple[str, ...] = ()


PARTS = {
    part.name: part
    for part in (
        Part("look", "Where does it look?", look, COLUMNS["look"]),
        Part(
            "why",
            "Is that why it fails?",
            why,
            COLUMNS["why"],
            needs_explanations=False,
            notes=(HOW_TO_READ_WHY,),
        ),
        Part("strategies", "One strategy or several?", strategies, STRATEGY_TABLES),
        Part("trust", "Can the explanation be trusted?", trust, ()),
    )
}


def wanted_parts(only: Sequence[str]) -> list[Part]:
    """The parts asked for, in their order. Raises `DataError` for one that there is not."""
    for name in only:
        if name not in PARTS:
            raise DataError(f"--only {name} is no part of a diagnosis: there are {', '.join(PARTS)}")
    return [part for part in PARTS.values() if not only or part.name in only]


def run_parts(
    parts: Sequence[Part], subject: Subject, settings: DiagnoseSettings, folder: Path, narrator: Narrator
) -> dict[str, Kept]:
    """The findings of each part, and of others that were found before and still fit.

    Explanations are made only if a part that is missing needs them. A part that cannot be done says why in what it
    leaves out, and the others go on.
    """
    keys = {name: _key(part, subject, settings) for name, part in PARTS.items()}
    found = {name: kept for name, key in keys.items() if (kept := read_kept(folder / name, key))}
    if found:
        narrator.say(f"Done already: {', '.join(found)}")
    missing = [part for part in parts if part.name not in found]
    explanation = None
    kept_explanations = KeptExplanations(
        folder / EXPLANATIONS, subject.bundle, subject.targets, references=settings.references
    )
    if any(part.needs_explanations for part in missing):
        references = kept_explanations.identity.references
        title = f"Explaining {count(len(subject.rows), 'image')} against {count(references, 'reference')}"
        with narrator.step(title) as report:
            explanation = kept_explanations.explain(subject.images, list(subject.rows["path"]), report)
    for part in missing:
        case = _case(subject, explanation, settings.seed)
        started = time.monotonic()
        with narrator.step(part.question) as report:
            findings = _done(part, case, report)
        for sentence in findings.left_out:
            narrator.note(sentence)
        found[part.name] = keep(findings, folder / part.name, keys[part.name], time.monotonic() - started)
    return {name: found[name] for name in PARTS if name in found}


def _done(part: Part, case: Case, report: Callable[[int, int], None]) -> Findings:
    try:
        return part.find(case, report)
    except ShapsightError as error:
        return Findings(part.name, {}, {}, (), {}, (f"This could not be done: {error}",))


def _case(subject: Subject, explanation: Explanation | None, seed: int) -> Case:
    return Case(
        bundle=subject.bundle,
        manifest=subject.manifest,
        rows=subject.rows,
        images=subject.images,
        masks=subject.masks,
        explanation=_of_nothing(subject) if explanation is None else explanation,
        targets=subject.targets,
        objects=subject.objects,
        seed=seed,
    )


def _of_nothing(subject: Subject) -> Explanation:
    """An explanation of no output, for parts that need none."""
    images = len(subject.rows)
    nothing = torch.empty(images, 0)
    return Explanation(
        values=torch.empty(images, 0, *subject.images.shape[1:]),
        base_values=nothing,
        predictions=nothing,
        completeness_gap=nothing,
        output_index=nothing.long(),
        images=subject.images.float() / 255,
        output_names=subject.bundle.card.output_names,
        method="none",
    )


def _key(part: Part, subject: Subject, settings: DiagnoseSettings) -> str:
    """A digest of all that a part's findings depend on."""
    regions = hashlib.sha256()
    for mask in (subject.masks, *subject.objects.values()):
        regions.update(b"none" if mask is None else mask.tobytes())
    columns = [name for name in subject.rows.columns if not str(name).startswith("predicted")]
    content = [
        part.name,
        shapsight.__version__,
        weights_hash(subject.bundle.model),
        fingerprint_of(subject.images),
        subject.rows[columns].to_csv(index=False),
        subject.targets,
        min(settings.references, len(subject.bundle.references)) if part.needs_explanations else None,
        settings.seed,
        subject.manifest.train_on,
        list(subject.objects),
        regions.hexdigest(),
    ]
    return digest(content)
