"""`shapsight demo`: the whole story on a rendered world that needs no data and no network."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.data.roi import read_roi
from shapsight.data.rooms import ROOMS, write_world
from shapsight.models.devices import chosen_device
from shapsight.models.train import TrainingResult
from shapsight.studies.debug.study import keep_or_discard
from shapsight.studies.demo.settings import DemoSettings
from shapsight.studies.shared.analysis import Interrupted, Outcome, analyse, on_held_out, save_outcome, train
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.pages import demo_page, write_page
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import TrainingSettings
from shapsight.studies.shared.summary import summarise_comparison

QUICK = TrainingSettings(arch="resnet18", weights="none", image_size=96, epochs=16, batch_size=16, explain=6)
FULL = replace(QUICK, image_size=224, epochs=30, explain=8)
IMAGES_PER_ROOM = 200


def demo(
    out: str | os.PathLike[str],
    settings: DemoSettings | None = None,
    *,
    narrator: Narrator,
    command: str = "shapsight demo",
    overwrite: bool = False,
) -> list[str]:
    """Train in one rendered room, test in all, explain; then train in all rooms and compare; gives a summary.

        demo("runs/demo", narrator=Narrator())

    Both models take the same number of training steps and are tested on the same images, which neither has seen.
    """
    started = time.monotonic()
    wanted = DemoSettings() if settings is None else settings
    chosen_device(wanted.device)  # a wrong one is said before any work is done
    how = replace(FULL if wanted.full else QUICK, train_on=ROOMS[0], seed=wanted.seed, device=wanted.device)
    assert how.image_size is not None
    run = RunFolder.start(out, command=command, settings=how.as_dict(), overwrite=overwrite)
    try:
        with narrator.step(f"Rendering {len(ROOMS)} rooms") as report:
            world = write_world(
                run.path / "world",
                images_per_room=IMAGES_PER_ROOM,
                size=how.image_size,
                seed=how.seed,
                progress=report,
            )
        outcomes = _both_models(replace(how, roi=os.fspath(world / "roi")), run, narrator)
        write_page(demo_page(*outcomes, command=command, seconds=time.monotonic() - started), run)
        # The world moves with the run: diagnose, cure and compare look for it in the run's final place.
        run.card["settings"]["roi"] = os.fspath(run.target / "world" / "roi")
        target = run.finish("done")
        replace(outcomes[0].manifest, root=target / "world" / "images").save(target)
        return summarise_comparison(*outcomes, target, seconds=time.monotonic() - started)
    except BaseException as error:
        keep_or_discard(run, error, narrator)
        raise


def _both_models(how: TrainingSettings, run: RunFolder, narrator: Narrator) -> tuple[Outcome, Outcome]:
    """The model of the first room and the model of all rooms, on the same images."""
    assert how.roi is not None
    world, roi = run.path / "world" / "images", read_roi(how.roi)
    one_room = read_dataset(world, train_on=[how.train_on], seed=how.seed)
    all_rooms = read_dataset(world, train_on="all", seed=how.seed)
    settings = completed(how, one_room)
    images = load_images(one_room, list(one_room.table["path"]), settings.image_size)
    held_out = all_rooms.table["split"] == "validation"

    first_training = _train(settings, one_room, images, run.path / "model", narrator)
    first = analyse(ROOMS[0], settings, first_training, one_room, images, narrator, roi=roi, among=held_out)
    save_outcome(first, run)

    share = len(one_room.split("train")) / len(all_rooms.split("train"))
    broader = replace(settings, train_on="all", epochs=max(2, round(settings.epochs * share)))
    second_training = _train(broader, all_rooms, images, run.path / "model_all_rooms", narrator)
    second = analyse(
        "all rooms", broader, second_training, all_rooms, images, narrator, roi=roi, explained=first.explained
    )
    save_outcome(second, run, "_all_rooms")
    return on_held_out(first, held_out), on_held_out(second, held_out)


def _train(
    settings: TrainingSettings,
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    folder: Path,
    narrator: Narrator,
) -> TrainingResult:
    try:
        training = train(settings, manifest, images, narrator)
    except Interrupted as interruption:
        interruption.training.bundle.save(folder)
        raise KeyboardInterrupt from interruption
    training.bundle.save(folder)
    return training
