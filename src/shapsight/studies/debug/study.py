"""`shapsight debug`: from a folder of images to a report of where a model fails and where it looks."""

from __future__ import annotations

import os
from typing import Any

from shapsight.models.devices import chosen_device
from shapsight.studies.debug.page import debug_page
from shapsight.studies.debug.words import answer, summary
from shapsight.studies.shared.analysis import analyse, check, train
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import Place
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.outcome import save_outcome
from shapsight.studies.shared.reading import dataset_of, source_of
from shapsight.studies.shared.run import Run, open_run
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import NOT_OF_DEBUG, TrainingSettings


@study(TrainingSettings, without=NOT_OF_DEBUG)
def debug(
    asked: Asked[TrainingSettings],
    data: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Run:
    """Train on some environments, test on all, explain, and write a report.

        run = shapsight.debug("data", "runs/lockers", train_on=["lockers"], roi="below:112")
        run.bundle, run.errors, run.report("lockers.html")

    `data` is a manifest of `read_dataset` or whatever that reads; without `out` everything goes into a temporary folder
    that goes with what is returned. Raises a `ShapsightError` for data, weights or settings that cannot be used, before
    anything is written, and `KeyboardInterrupt` after Ctrl-C, once what was reached is saved.
    """
    settings, narrator = asked.settings, asked.narrator
    chosen_device(settings.device)  # a wrong one is said before any work is done
    place, card = Place.of(out), {"data": source_of(data), **settings.as_dict()}
    folder = RunFolder.start(place.path, command=asked.command, settings=card, overwrite=overwrite)
    try:
        roi = roi_of(settings.roi)  # a wrong one is said before any work is done
        manifest = dataset_of(data, settings, narrator)
        chosen = completed(settings, manifest)
        manifest.save(folder.path)
        roi = roi_of(roi, manifest.roi)
        material = Material.decoded(manifest, chosen.image_size, narrator, roi=roi)
        checks = check(material, folder, narrator, seed=settings.seed)
        training = train(chosen, material, narrator, save_to=folder.folder("model"))
        name = f"trained on {', '.join(manifest.train_on)}"
        outcome = analyse(name, chosen, training, material, narrator)
        save_outcome(outcome, folder)
        write_page(debug_page(outcome, checks, command=asked.command, seconds=asked.seconds), folder)
        lines = summary(outcome, folder.finish("done"), asked.seconds)
    except BaseException as error:
        folder.keep_or_discard(error, narrator)
        raise
    return open_run(place, lines=tuple(lines), answer=tuple(answer(outcome)))
