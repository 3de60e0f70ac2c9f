"""`shapsight diagnose`: where a trained model looks, whether that is why it fails, and whether to believe it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from shapsight.data.written_files import write_text
from shapsight.models.devices import chosen_device
from shapsight.report.rendered import render_page
from shapsight.studies.diagnose.diagnosis import Diagnosis
from shapsight.studies.diagnose.examined import Examined, examine
from shapsight.studies.diagnose.findings import Findings
from shapsight.studies.diagnose.page import diagnose_page, summarise_diagnosis
from shapsight.studies.diagnose.parts import run_parts, wanted_parts
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import judge
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import Place
from shapsight.studies.shared.outcome import save_table
from shapsight.studies.shared.run_folder import CARD, RunFolder, read_card, refuse_other
from shapsight.studies.shared.settings import DiagnoseSettings
from shapsight.studies.shared.subject import on_device, refuse_stored, subject_of

__all__ = ["Diagnosis", "diagnose"]

COMMAND = "diagnose"


@study(DiagnoseSettings)
def diagnose(
    asked: Asked[DiagnoseSettings],
    model: Any,
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Diagnosis:
    """Look at a trained model from all sides, and judge it.

        found = shapsight.diagnose(bundle, photos, roi="below:112")                    # a model of your own
        found = shapsight.diagnose("runs/lockers")                                     # a run on its own dataset
        found = shapsight.diagnose("runs/lockers", "new_photos", images=300, only=["why"])
        found.verdict.level; found.facts; found.report("why.html")

    `model` is a `Bundle`, a run or its folder, or "module:name" of a function that makes a bundle; `data` a manifest of
    `read_dataset` or whatever that reads. The region of interest is `roi`, else that of the data, else the run's.

    Everything goes into `out`, by default RUN/diagnosis, and of a bundle a temporary folder that goes with what is
    returned: explanations in pieces, a folder for each part, verdict.json and report.html. What is there already and
    still fits is not made again, so that a second call goes on where the first stopped. Raises a `ShapsightError` for
    what a user can mend, such as explanations of another model.
    """
    settings, narrator = asked.settings, asked.narrator
    parts = wanted_parts(settings.only)
    chosen_device(settings.device)  # a wrong one is said before any work is done
    subject = subject_of(model, data, settings.reading, narrator, seed=settings.seed)
    refuse_stored(subject.bundle, COMMAND)
    place = Place.of(out, subject.folder, "diagnosis")
    folder = place.path
    is_one = (folder / CARD).is_file() and read_card(folder).get("job") == COMMAND
    refuse_other(folder, "holds no diagnosis", is_one=is_one)  # before any work is done
    with on_device(subject.bundle, settings.device):
        examined = examine(subject, settings, narrator)
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        card = {"command": asked.command, "settings": asked.written, "status": "running"}
        record = RunFolder.at(folder, job=COMMAND, **card)
        save_table(examined.errors, folder / "errors")
        save_table(examined.case.rows, folder / "images")

        def publish(found: Mapping[str, Findings], to_come: Sequence[str] = ()) -> Diagnosis:
            """The page of what is known so far: a person can read it while the other parts are made."""
            known = _judged(place, examined, found, settings)
            page = diagnose_page(known, to_come, command=asked.command, seconds=asked.seconds)
            render_page(page, folder / "report.html")
            return known

        diagnosed = publish(run_parts(parts, examined, settings, folder, narrator, publish))
    verdict = diagnosed.verdict
    write_text(folder / "verdict.json", json.dumps(asdict(verdict), indent=2, ensure_ascii=False) + "\n")
    record.card["status"] = "done"
    record.write_card()
    return replace(
        diagnosed,
        lines=tuple(summarise_diagnosis(diagnosed, folder, asked.seconds)),
        headline=f"{verdict.level}: {verdict.headline}",
        sentences=tuple(verdict.sentences),
    )


def _judged(
    place: Place, examined: Examined, found: Mapping[str, Findings], settings: DiagnoseSettings
) -> Diagnosis:
    of_parts: dict[str, Any] = {name: part.facts for name, part in found.items()}
    facts = DiagnosisFacts(examined.facts, **of_parts)
    return Diagnosis(
        place=place, examined=examined, parts=found, facts=facts, verdict=judge(facts), settings=settings
    )
