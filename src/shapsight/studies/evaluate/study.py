"""`shapsight evaluate`: the errors of a trained model, on its own dataset or on another one."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.scale import Scale
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle, Card, load_bundle
from shapsight.models.devices import chosen_device
from shapsight.report.page import KeyFigure, Page
from shapsight.studies.evaluate.settings import EvaluateSettings
from shapsight.studies.shared.analysis import Judged, measure, save_judged
from shapsight.studies.shared.data_options import DataOptions
from shapsight.studies.shared.error_sections import error_figures, error_section
from shapsight.studies.shared.narrator import Narrator, duration
from shapsight.studies.shared.pages import left_out_section, write_page
from shapsight.studies.shared.reading import arguments_of, read
from shapsight.studies.shared.run_folder import CARD, RunFolder, read_card
from shapsight.studies.shared.summary import measures
from shapsight.studies.tasks.classification_page import accuracy_section, judged_predictions, mistakes_section
from shapsight.studies.tasks.classification_words import accuracies


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
    with narrator.step(f"Decoding {len(manifest)} images") as report:
        images = load_images(manifest, list(manifest.table["path"]), bundle.card.input_size, progress=report)
    with narrator.step(f"Predicting {len(manifest)} images"):
        predictions = predict_table(bundle, manifest, images)
        errors = measure(predictions, manifest, seed=seed)
    judged = Judged(name=folder.name, manifest=manifest, predictions=predictions, errors=errors)
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
    return [*measures(judged), f"Report     {place.finish('done') / 'report.html'}"]


def manifest_for(
    folder: Path,
    data: str | os.PathLike[str] | None,
    card: Card,
    options: DataOptions,
    narrator: Narrator,
    seed: int,
) -> Manifest:
    """A run's own dataset, or another one read in the same way. Raises `DataError` if it holds other outputs."""
    manifest = Manifest.load(folder) if data is None else _read(folder, data, card, options, narrator, seed)
    if manifest.output_names != card.output_names:
        raise DataError(
            f"the model of {folder} predicts {', '.join(card.output_names)}, the data hold "
            f"{', '.join(manifest.output_names)}"
        )
    return manifest


def _read(
    folder: Path,
    data: str | os.PathLike[str],
    card: Card,
    options: DataOptions,
    narrator: Narrator,
    seed: int,
) -> Manifest:
    changes: dict[str, Any] = {"task": card.task, "for_training": False}
    if card.class_names:
        changes["class_names"] = card.class_names
    else:
        given = arguments_of(options)["scales"]
        own = {name: Scale(*scale) for name, scale in card.scales.items()}
        changes |= {"targets": card.output_names, "scales": own | given}
    return read(data, _as_before(folder, options), narrator, seed=seed, **changes)


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
    names = judged.manifest.class_names
    if names:
        figures = [
            KeyFigure(f"accuracy, {place}", said.split(" (")[0], said) for place, said in accuracies(judged)
        ]
        sections = [accuracy_section(judged.errors), mistakes_section(judged_predictions(judged), names)]
    else:
        figures, sections = error_figures(judged), [error_section([judged])]
    used = {name: str(value) for name, value in settings.items()}
    versions = ", ".join(f"{name} {version}" for name, version in bundle.card.versions.items())
    return Page(
        title=f"{judged.name} on {Path(settings['data']).name}: how well does it do?",
        answer=[line.split(maxsplit=1)[1] if names else line for line in measures(judged)],
        key_figures=figures,
        sections=[*sections, left_out_section(judged)],
        settings={
            "command": command,
            **used,
            "model": bundle.card.arch,
            "made with": versions,
            "took": duration(seconds),
        },
    )
