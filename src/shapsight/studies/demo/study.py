"""`shapsight demo`: the whole story on a rendered world that needs no data and no network."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from shapsight.data.readers import read_dataset
from shapsight.data.rooms import ROOMS, write_world
from shapsight.models.devices import chosen_device
from shapsight.report.page import Answer, Page
from shapsight.studies.shared.analysis import analyse, on_held_out, train
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.examples import images_of
from shapsight.studies.shared.first_screen import cards, error_evidence, error_verdict, glance
from shapsight.studies.shared.found import Run, open_run
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator, duration
from shapsight.studies.shared.outcome import Outcome, save_outcome
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import (
    contribution_sections,
    contribution_words,
    scene_lead,
    settings_table,
    training_section,
    write_page,
)
from shapsight.studies.shared.settings import DemoSettings, TrainingSettings
from shapsight.studies.shared.words import count, gap_sentence, labelled, shell
from shapsight.studies.tasks import regression

QUICK = TrainingSettings(arch="resnet18", weights="none", image_size=96, epochs=16, batch_size=16, explain=6)
FULL = replace(QUICK, image_size=224, epochs=30, explain=8)
IMAGES_PER_ROOM = 200


@study(DemoSettings)
def demo(
    asked: Asked[DemoSettings],
    out: str | os.PathLike[str] = "runs/demo",
    *,
    overwrite: bool = False,
) -> Run:
    """The whole story on a rendered world: trained in one room, failing in the next, cured by more rooms.

        run = shapsight.demo("runs/demo")
        run.bundle, run.errors, run.report()

    Both models take the same number of training steps and are tested on the same images, which neither has seen; the
    run that is given back is that of the first, the other's files end on `_all_rooms`.
    """
    wanted, narrator = asked.settings, asked.narrator
    chosen_device(wanted.device)  # a wrong one is said before any work is done
    how = replace(FULL if wanted.full else QUICK, train_on=ROOMS[0], seed=wanted.seed, device=wanted.device)
    run = RunFolder.start(out, command=asked.command, settings=how.as_dict(), overwrite=overwrite)
    try:
        with narrator.step(f"Rendering {len(ROOMS)} rooms") as report:
            world, size = run.path / "world", how.image_size
            assert size is not None
            write_world(world, images_per_room=IMAGES_PER_ROOM, size=size, seed=how.seed, progress=report)
        outcomes = _both_models(replace(how, roi=os.fspath(world / "roi")), run, narrator)
        page = demo_page(*outcomes, run.target, command=asked.command, seconds=asked.seconds)
        write_page(page, run)
        # The world moves with the run: diagnose, cure and compare look for it in the run's final place.
        run.card["settings"]["roi"] = os.fspath(run.target / "world" / "roi")
        target = run.finish("done")
        replace(outcomes[0].manifest, root=target / "world" / "images").save(target)
    except BaseException as error:
        run.keep_or_discard(error, narrator)
        raise
    lines = summary(*outcomes, target, asked.seconds)
    return open_run(target, lines=tuple(lines), answer=(page.answer.verdict, page.answer.evidence))


def _both_models(how: TrainingSettings, run: RunFolder, narrator: Narrator) -> tuple[Outcome, Outcome]:
    """The model of the first room and the model of all rooms, on the same images."""
    world = run.path / "world" / "images"
    one_room = read_dataset(world, train_on=[how.train_on], seed=how.seed)
    all_rooms = read_dataset(world, train_on="all", seed=how.seed)
    settings = completed(how, one_room)
    held_out = all_rooms.table["split"] == "validation"
    material = Material.decoded(one_room, settings.image_size, narrator, roi=roi_of(settings.roi))

    first_training = train(settings, material, narrator, save_to=run.folder("model"))
    first = analyse(ROOMS[0], settings, first_training, material, narrator, among=held_out)
    save_outcome(first, run)

    share = len(one_room.split("train")) / len(all_rooms.split("train"))
    broader = replace(settings, train_on="all", epochs=max(2, round(settings.epochs * share)))
    material = replace(material, manifest=all_rooms)
    second_training = train(broader, material, narrator, save_to=run.folder("model_all_rooms"))
    second = analyse("all rooms", broader, second_training, material, narrator, explained=first.explained)
    save_outcome(second, run, "_all_rooms")
    return on_held_out(first, held_out), on_held_out(second, held_out)


def demo_page(before: Outcome, after: Outcome, run: Path, *, command: str, seconds: float) -> Page:
    """The report of two models, side by side."""
    facts, images = before.facts, images_of({before.name: before})
    return Page(
        title="The same track in three rooms: what a model learned, and what more rooms change",
        answer=Answer(
            error_verdict(facts),
            scene_lead(before) if before.contributions is not None else error_evidence(facts),
            cards(before.explained, before.manifest, facts, images.__getitem__),
            glance(before.errors, before.manifest, facts),
            next=shell("shapsight", "diagnose", run),
            next_is="Ask whether that is why",
        ),
        sections=[
            regression.comparison_section(before, after),
            *contribution_sections([before, after]),
            *regression.error_sections([before, after]),
            training_section([before, after]),
        ],
        settings=settings_table(before, command, seconds),
    )


def summary(before: Outcome, after: Outcome, run: Path, seconds: float) -> list[str]:
    """What two models' run came to, side by side."""
    rooms = count(len(before.manifest.environments), "room")
    world = f"{count(len(before.manifest), 'image')} of {rooms}, rendered, the same track in each"
    models = f"{before.training.bundle.card.arch} trained on {before.name}; the same trained on {after.name}"
    return [
        *labelled({"World": world, "Models": models}),
        *regression.measured_lines([before, after]),
        *labelled(
            {
                "Before": [regression.answer(before), *contribution_words(before)],
                "After": [regression.answer(after), *contribution_words(after)],
                "Explained": gap_sentence(after.explanation),
                "Report": f"{run / 'report.html'}   ({duration(seconds)})",
            }
        ),
    ]
