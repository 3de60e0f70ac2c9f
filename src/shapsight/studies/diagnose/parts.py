"""The parts of a diagnosis, one after the other: each kept at once, and not made again where nothing changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import shapsight
from shapsight.errors import DataError, ShapsightError
from shapsight.studies.diagnose.examined import Examined
from shapsight.studies.diagnose.explanations import StoredExplanations, fingerprint_of
from shapsight.studies.diagnose.findings import Findings, Part, read_findings, write_findings
from shapsight.studies.diagnose.look.study import LOOK
from shapsight.studies.diagnose.strategies.study import STRATEGIES
from shapsight.studies.diagnose.trust.study import TRUST
from shapsight.studies.diagnose.why.study import WHY
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.settings import DiagnoseSettings
from shapsight.studies.shared.store import digest
from shapsight.studies.shared.words import count

EXPLANATIONS = "explanations"
PARTS = {part.name: part for part in (LOOK, WHY, STRATEGIES, TRUST)}


def wanted_parts(only: Sequence[str]) -> list[Part]:
    """The parts asked for, in their order. Raises `DataError` for one that there is not."""
    for name in only:
        if name not in PARTS:
            raise DataError(f"--only {name} is no part of a diagnosis: there are {', '.join(PARTS)}")
    return [part for part in PARTS.values() if not only or part.name in only]


def run_parts(
    parts: Sequence[Part],
    examined: Examined,
    settings: DiagnoseSettings,
    folder: Path,
    narrator: Narrator,
    publish: Callable[[Mapping[str, Findings], Sequence[str]], object] = lambda found, to_come: None,
) -> dict[str, Findings]:
    """The findings of each part, and of others that were found before and still fit.

    `publish` is given what there is before each part that takes time, and the names of those that are still to come.

    Explanations are made only if a part that is missing needs them. A part that cannot be done says why in what it
    leaves out, and the others go on.
    """
    keys = {name: _key(part, examined, settings) for name, part in PARTS.items()}
    there = {name: read_findings(folder / name, keys[name], part.facts) for name, part in PARTS.items()}
    found = {name: read for name, read in there.items() if read is not None}
    if found:
        narrator.say(f"Done already: {', '.join(found)}")
    missing = [part for part in parts if part.name not in found]
    if missing:
        publish(_in_order(found), [part.name for part in missing])
    case = examined.case
    stored = StoredExplanations(
        folder / EXPLANATIONS, case.bundle, case.targets, references=settings.references
    )
    if (
        any(part.needs_explanations for part in missing)
        and case.whole is not None
        and not case.whole.recorded.is_light
    ):
        explanation = case.whole.recorded.explanation(case.rows, case.targets)
        case = replace(case, explanation=explanation)
    elif any(part.needs_explanations for part in missing):
        references = stored.identity.references
        how = f"against {count(references, 'reference')}" if case.bundle.has_gradients else "by PartitionSHAP"
        title = f"Explaining {count(len(case.rows), 'image')} {how}"
        with narrator.step(title) as report:
            explanation = stored.explain(case.images, list(case.rows["path"]), report)
        case = replace(case, explanation=explanation)
    for part in missing:
        started = time.monotonic()
        with narrator.step(part.question) as report:
            try:
                findings = part.find(case, report)
            except ShapsightError as error:
                left_out = (f"This could not be done: {error}",)
                findings = Findings(part.name, {}, part.facts(), left_out=left_out)
        for sentence in findings.left_out:
            narrator.note(sentence)
        took = time.monotonic() - started
        found[part.name] = write_findings(findings, folder / part.name, keys[part.name], took)
        if to_come := [each.name for each in missing if each.name not in found]:
            publish(_in_order(found), to_come)
    return _in_order(found)


def _in_order(found: Mapping[str, Findings]) -> dict[str, Findings]:
    return {name: found[name] for name in PARTS if name in found}


def _key(part: Part, examined: Examined, settings: DiagnoseSettings) -> str:
    """A digest of all that a part's findings depend on."""
    case = examined.case
    regions = hashlib.sha256()
    for mask in (case.masks, *case.objects.values()):
        regions.update(b"none" if mask is None else mask.tobytes())
    columns = [name for name in case.rows.columns if not str(name).startswith("predicted")]
    content = [
        part.name,
        shapsight.__version__,
        case.bundle.fingerprint,
        fingerprint_of(case.images),
        case.rows[columns].to_csv(index=False),
        case.targets,
        fingerprint_of(case.bundle.references[: settings.references]) if part.needs_explanations else None,
        list(part.facts().to_json()),
        settings.seed,
        case.manifest.train_on,
        list(case.objects),
        None if case.whole is None else case.whole.recorded.key,
        regions.hexdigest(),
    ]
    return digest(content)
