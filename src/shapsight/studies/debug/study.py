"""`shapsight debug`: from a folder of images to a report of where a model fails and where it looks."""

from __future__ import annotations

import os
import time

from shapsight.models.devices import chosen_device
from shapsight.studies.debug.page import debug_page
from shapsight.studies.debug.words import summary
from shapsight.studies.shared.analysis import analyse, check, train
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import save_outcome
from shapsight.studies.shared.reading import read
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import TrainingSettings


def debug(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: TrainingSettings,
    *,
    narrator: Narrator,
    command: str = "shapsight debug",
    overwrite: bool = False,
) -> list[str]:
    """Train on some environments, test on all, explain, and write a report; gives a summary of some ten lines.

        debug("data", "runs/lockers", TrainingSettings(train_on="lockers", roi="below:112"), narrator=Narrator())

    Raises a `ShapsightError` for data, weights or settings that cannot be used, before anything is written.
    Raises `KeyboardInterrupt` after Ctrl-C, once what was reached is saved.
    """
    started = time.monotonic()
    chosen_device(settings.device)  # a wrong one is said before any work is done
    card = {"data": os.fspath(data), **settings.as_dict()}
    run = RunFolder.start(out, command=command, settings=card, overwrite=overwrite)
    try:
        roi = roi_of(settings.roi)  # a wrong one is said before any work is done
        manifest = read(data, settings.reading, narrator, train_on=settings.train_on, seed=settings.seed)
        roi = roi or roi_of(manifest.roi)
        chosen = completed(settings, manifest)
        manifest.save(run.path)
        material = Material.decoded(manifest, chosen.image_size, narrator, roi=roi)
        checks = check(material, run, narrator, seed=settings.seed)
        training = train(chosen, material, narrator, save_to=run.folder("model"))
        name = f"trained on {', '.join(manifest.train_on)}"
        outcome = analyse(name, chosen, training, material, narrator)
        save_outcome(outcome, run)
        page = debug_page(outcome, checks, command=command, seconds=time.monotonic() - started)
        write_page(page, run)
        return summary(outcome, run.finish("done"), time.monotonic() - started)
    except BaseException as error:
        run.keep_or_discard(error, narrator)
        raise
