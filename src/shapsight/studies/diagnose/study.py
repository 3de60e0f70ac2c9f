"""`shapsight diagnose`: where a trained model looks, whether that is why it fails, and whether to believe it."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shapsight.data.written_files import write_text
from shapsight.errors import RunError
from shapsight.models.card import library_versions
from shapsight.models.devices import chosen_device
from shapsight.report.page import render_page
from shapsight.studies.diagnose.examined import examine
from shapsight.studies.diagnose.page import Diagnosed, diagnose_page, summarise_diagnosis
from shapsight.studies.diagnose.parts import run_parts, wanted_parts
from shapsight.studies.diagnose.settings import DiagnoseSettings
from shapsight.studies.diagnose.verdict.facts import DiagnosisFacts
from shapsight.studies.diagnose.verdict.judge import judge
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import save_table
from shapsight.studies.shared.run_folder import CARD, RunFolder, read_card
from shapsight.studies.shared.trained_run import open_run

__all__ = ["DiagnoseSettings", "diagnose"]
COMMAND = "diagnose"


def diagnose(
    run: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    settings: DiagnoseSettings | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    narrator: Narrator,
    command: str = "shapsight diagnose",
    overwrite: bool = False,
) -> list[str]:
    """Look at a trained model from all sides, and judge it; gives a summary.

        diagnose("runs/lockers", narrator=Narrator())
        diagnose("runs/lockers", "new_photos", DiagnoseSettings(images=300, only=("why",)), narrator=Narrator())

    Everything goes into `out`, by default `RUN/diagnosis`: explanations in pieces, a folder for each part, verdict.json
    and report.html. What is there already and still fits is not made again, so that a second call goes on where the
    first stopped. Raises a `ShapsightError` for what a user can mend, such as explanations of another model.
    """
    started = time.monotonic()
    settings = DiagnoseSettings() if settings is None else settings
    parts = wanted_parts(settings.only)
    trained = open_run(run)
    trained.bundle.model.to(chosen_device(settings.device))
    folder = Path(out) if out is not None else trained.path / "diagnosis"
    _check(folder)
    examined = examine(trained, data, settings, narrator)
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    card = {"command": command, "settings": asdict(settings), "status": "running"}
    place = RunFolder(folder, folder, {"job": COMMAND, **card, "versions": library_versions()})
    place.write_card()
    save_table(examined.errors, folder / "errors")
    save_table(examined.case.rows, folder / "images")
    found = run_parts(parts, examined, settings, folder, narrator)
    of_parts: dict[str, Any] = {name: part.facts for name, part in found.items()}
    facts = DiagnosisFacts(examined.facts, **of_parts)
    verdict = judge(facts)
    write_text(folder / "verdict.json", json.dumps(asdict(verdict), indent=2, ensure_ascii=False) + "\n")
    diagnosed = Diagnosed(examined, found, facts, verdict, settings)
    seconds = time.monotonic() - started
    render_page(diagnose_page(diagnosed, command=command, seconds=seconds), folder / "report.html")
    place.card["status"] = "done"
    place.write_card()
    return summarise_diagnosis(diagnosed, folder, seconds)


def _check(folder: Path) -> None:
    """Refuse a folder of something else, before any work is done."""
    if folder.is_file():
        raise RunError(f"{folder} is a file; --out needs a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / CARD).is_file() or read_card(folder).get("job") != COMMAND:
        raise RunError(f"{folder} is not empty and holds no diagnosis; choose another --out")
