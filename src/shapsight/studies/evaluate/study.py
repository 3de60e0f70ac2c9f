"""`shapsight evaluate`: the errors of a trained model, on its own dataset or on another one."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shapsight.data.manifest import Manifest
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.models.card import Card
from shapsight.models.devices import chosen_device
from shapsight.report.page import Page
from shapsight.studies.evaluate.settings import EvaluateSettings
from shapsight.studies.shared.analysis import predicted
from shapsight.studies.shared.data_options import DataOptions
from shapsight.studies.shared.material import Material
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Judged, save_judged
from shapsight.studies.shared.reading import arguments_of, read
from shapsight.studies.shared.run_folder import CARD, RunFolder, read_card
from shapsight.studies.shared.sections import left_out_section, made_with, write_page
from shapsight.studies.shared.words import labelled
from shapsight.studies.tasks.task import task_of


def evaluate_run(
    run: str | os.PathLike[str],
    data: str | os.PathLike[str] | None = None,
    settings: EvaluateSettings | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    narrator: Narrator,
    command: str = "shapsight evaluate",
) -> list[str]:
    """Measure a run's model; gives lines to show, and writes tables and report.html to `out`.

        evaluate_run("runs/lockers", narrator=Narrator())                   # its own dataset, split by split
        evaluate_run("runs/lockers", "new_photos", narrator=Narrator())     # another one, all of it unseen

    `out` is by default the folder `evaluation` in the run. Another dataset is read as the run's own was, with
    `settings.reading` before that. Raises a `ShapsightError` for what a user can mend.
    """
    started = time.monotonic()
    settings = EvaluateSettings() if settings is None else settings
    folder, seed = Path(run), settings.seed
    bundle = load_bundle(folder / "model" if (folder / "model").is_dir() else folder)
    bundle.model.to(chosen_device(settings.device))
    manifest = manifest_for(folder, data, bundle.card, settings.reading, narrator, seed)
    material = Material.decoded(manifest, bundle.seen, narrator)
    judged = predicted(folder.name, bundle, material, narrator, seed=seed)
    target = folder / "evaluation" if out is None else Path(out)
    card = {"run": os.fspath(run), "data": os.fspath(data or manifest.root), "seed": seed}
    place = RunFolder.start(target, command=command, settings=card, overwrite=out is None)
    try:
        save_judged(judged, place)
        manifest.save(place.path)
        write_page(_page(judged, bundle, card, command, time.monotonic() - started), place)
    except BaseException:
        place.discard()
        raise
    report = place.finish("done") / "report.html"
    return [*task_of(manifest).measured_lines([judged]), *labelled({"Report": str(report)})]


def manifest_for(
    folder: Path,
    data: str | os.PathLike[str] | None,
    card: Card,
    options: DataOptions,
    narrator: Narrator,
    seed: int,
) -> Manifest:
    """A run's own dataset, or another one read in the same way. Raises `DataError` if it holds other outputs."""
    if data is None:
        manifest = Manifest.load(folder)
    else:
        changes = task_of(card).reading(card, arguments_of(options)["scales"])
        changes |= {"task": card.task, "for_training": False}
        manifest = read(data, _as_before(folder, options), narrator, seed=seed, **changes)
    if not manifest.has_targets:
        raise DataError(f"the images of {manifest.root} have no targets: errors cannot be measured on them")
    if manifest.output_names != card.output_names:
        raise DataError(
            f"the model of {folder} predicts {', '.join(card.output_names)}, the data hold "
            f"{', '.join(manifest.output_names)}"
        )
    return manifest


def _as_before(folder: Path, options: DataOptions) -> DataOptions:
    """How the run's own dataset was read, but for what is given now."""
    before = read_card(folder)["settings"].get("reading") if (folder / CARD).is_file() else None
    if not isinstance(before, dict):
        return options
    before["scale"] = tuple(before.get("scale", ()))
    given = {name: value for name, value in asdict(options).items() if value != getattr(DataOptions(), name)}
    known = {name: value for name, value in before.items() if hasattr(DataOptions(), name)}
    return replace(DataOptions(**known), hold_out=None, **given)


def _page(judged: Judged, bundle: Bundle, settings: dict[str, Any], command: str, seconds: float) -> Page:
    task = task_of(judged.manifest)
    return Page(
        title=f"{judged.name} on {Path(settings['data']).name}: how well does it do?",
        answer=[line.removeprefix("Accuracy").strip() for line in task.measured_lines([judged])],
        key_figures=task.key_figures(judged),
        sections=[*task.error_sections([judged]), left_out_section(judged)],
        settings=made_with({**settings, "model": bundle.card.arch}, command, seconds, bundle.card.versions),
    )
