"""`shapsight demo`: the whole story on a rendered world that needs no data and no network."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from shapsight.data.readers import read_dataset
from shapsight.data.remedies.recipes import BASELINE, read_recipe
from shapsight.data.rooms import ROOMS, write_world
from shapsight.data.rooms.worlds import TAPE
from shapsight.errors import SettingError
from shapsight.models.devices import chosen_device
from shapsight.models.train import lightning_loop
from shapsight.report.page import Page
from shapsight.studies.cure.study import train_once
from shapsight.studies.demo.facts import Attempt, Demo
from shapsight.studies.demo.page import demo_page, summary
from shapsight.studies.diagnose.study import diagnose
from shapsight.studies.shared.analysis import analyse, on_held_out
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import open_run
from shapsight.studies.shared.left_open import CompletedSettings, completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Outcome, Trained, save_outcome
from shapsight.studies.shared.references import with_chosen_references
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import DemoSettings, DiagnoseSettings, TrainingSettings


@dataclass(frozen=True)
class Form:
    """How much of the story is computed: pictures, trainings, remedies, and what is diagnosed.

    `note` is what readers have to know of it.
    """

    training: TrainingSettings
    images_per_room: int
    recipes: tuple[str, ...]
    asked: DiagnoseSettings
    note: str = ""


BOTH = "more-environments+swap-scene"
USUAL = Form(
    TrainingSettings(
        train_on=ROOMS[0],
        arch="resnet18",
        weights="none",
        image_size=128,
        epochs=8,
        batch_size=8,
        learning_rate=1e-3,
        schedule="one-cycle",
        color_jitter=False,
        explain=2,
    ),
    images_per_room=300,
    recipes=("swap-scene", "more-environments", BOTH),
    asked=DiagnoseSettings(images=48, references=16, only=("look", "why")),
)
FULL = replace(USUAL, training=replace(USUAL.training, image_size=224, epochs=20, explain=8))
# The smallest that was found to tell the story; `docs/demo.md` has what other sizes come to.
QUICK = Form(
    replace(USUAL.training, arch="small_cnn", image_size=96, epochs=12, batch_size=16, learning_rate=3e-3),
    images_per_room=200,
    recipes=(BOTH,),
    asked=replace(USUAL.asked, references=8),
    note="This is the quick form of the demo: small pictures, a small network, one remedy, and verdicts that luck may "
    "turn. shapsight demo without --quick takes some minutes and tells it with a ResNet-18 and three remedies.",
)
# The last room is the one that no remedy sees.
WIDER, UNSEEN = ROOMS[:-1], ROOMS[-1:]
CURED = "cured"


@dataclass(frozen=True, eq=False)
class Experiment:
    """What the trainings of the story have in common."""

    form: Form
    settings: CompletedSettings
    material: Material
    narrator: Narrator

    def trained(self, recipe: str) -> Trained:
        """A model trained with a recipe in its rooms, measured in all."""
        rooms = WIDER if read_recipe(recipe).has("more-environments") else ROOMS[:1]
        return train_once(recipe, rooms, self.settings, self.material, self.narrator)

    def explained(self, model: Trained, like: Outcome | None = None) -> Outcome:
        """With references, and some images explained: those of another outcome, where one is given."""
        manifest = replace(model.manifest, root=self.material.manifest.root)
        settings = replace(model.settings, roi=self.settings.roi)
        material = replace(self.material, manifest=manifest)
        bundle, _ = with_chosen_references(
            model.training.bundle, manifest, material.images, settings.references, seed=settings.seed
        )
        training = replace(model.training, bundle=bundle)
        rows = None if like is None else like.explained
        return analyse(model.name, settings, training, material, self.narrator, explained=rows)

    def moved(self, world: Path) -> Experiment:
        """The same where the world lies in another place."""
        roi = os.fspath(world / "roi")
        manifest = replace(self.material.manifest, root=world / "images")
        material = replace(self.material, manifest=manifest, roi=roi_of(roi))
        return replace(self, settings=replace(self.settings, roi=roi), material=material)


@study(DemoSettings)
def demo(
    asked: Asked[DemoSettings],
    out: str | os.PathLike[str] = "runs/demo",
    *,
    overwrite: bool = False,
) -> Demo:
    """The whole story on a rendered world: a model that works in its room, fails in others, why, and the cure.

        story = shapsight.demo("runs/demo")
        story.before.verdict.level, story.best.recipe, story.after.verdict.level     # "shortcut", "swap-scene", "ok"
        story.bundle, story.errors, story.report()
        shapsight.demo("runs/quick", quick=True)     # in a minute, of small pictures: one remedy, wider intervals

    A network is trained in one room, measured in three and diagnosed; remedies are trained with the same budget, once
    each, and the one with the lowest error in the room that none of them saw is diagnosed like the first. The run is
    the first model's, with its diagnosis inside; the other's is `cured` in it: `diagnose`, `compare` and `cure` take
    both.
    """
    wanted, narrator = asked.settings, asked.narrator
    # What is wrong or missing is said before any work is done.
    chosen_device(wanted.device)
    lightning_loop()
    form = _form(wanted)
    how = form.training
    run = RunFolder.start(out, command=asked.command, settings=how.as_dict(), overwrite=overwrite)
    try:
        experiment = _prepared(form, run, narrator)
        model = experiment.trained(BASELINE)
        model.training.bundle.save(run.folder("model"))
        # All else goes on in the run's own place, with its world.
        run.finish("running")
        story, page = _told(experiment.moved(run.path / "world"), model, run, asked)
        write_page(page, run)
        run.finish("done")
    except BaseException as error:
        run.keep_or_discard(error, narrator)
        raise
    answer = (page.answer.verdict, page.answer.evidence)
    return replace(story, lines=tuple(summary(story, answer, form.note, asked.seconds)), sentences=answer)


def _form(wanted: DemoSettings) -> Form:
    """The form that was asked for, on its device and with its seed."""
    if wanted.quick and wanted.full:
        raise SettingError("the demo is told in its quick form or in its full form: ask for one of them")
    form = QUICK if wanted.quick else FULL if wanted.full else USUAL
    training = replace(form.training, seed=wanted.seed, device=wanted.device)
    diagnosed = replace(form.asked, seed=wanted.seed, device=wanted.device)
    return replace(form, training=training, asked=diagnosed)


def _prepared(form: Form, run: RunFolder, narrator: Narrator) -> Experiment:
    """The rendered world, decoded."""
    how = form.training
    world, size = run.path / "world", how.image_size
    assert size is not None
    with narrator.step(f"Rendering {len(ROOMS)} rooms") as report:
        write_world(
            world,
            images_per_room=form.images_per_room,
            size=size,
            seed=how.seed,
            world=TAPE,
            progress=report,
        )
    manifest = read_dataset(world / "images", train_on=[how.train_on], seed=how.seed)
    settings = completed(how, manifest)
    roi = roi_of(os.fspath(world / "roi"))
    material = Material.decoded(manifest, settings.image_size, narrator, roi=roi)
    # The world moves with the run: diagnose, cure and compare look for it in the run's final place.
    run.card["settings"]["roi"] = os.fspath(run.target / "world" / "roi")
    return Experiment(form, settings, material, narrator)


def _told(
    experiment: Experiment, model: Trained, run: RunFolder, asked: Asked[DemoSettings]
) -> tuple[Demo, Page]:
    """The story of a model, and its page: diagnosed, remedies tried, the best one diagnosed."""
    command, form = asked.command, experiment.form
    diagnosing = partial(diagnose, settings=form.asked, progress=experiment.narrator, command=command)
    first = experiment.explained(model)
    _save(first, run)
    before = diagnosing(run.path)
    models = {BASELINE: first, **{recipe: experiment.trained(recipe) for recipe in form.recipes}}
    attempts = tuple(Attempt.of(recipe, each, UNSEEN) for recipe, each in models.items())
    best = min(attempts[1:], key=lambda attempt: attempt.error)
    last = experiment.explained(models[best.recipe], like=first)
    settings = last.settings.as_dict()
    cured = RunFolder.at(run.folder(CURED), command=command, settings=settings, status="done")
    _save(last, cured)
    after = diagnosing(cured.path)
    story = Demo(**vars(open_run(run.path)), attempts=attempts, best=best, before=before, after=after)
    held_out = (first.predictions["split"] != "train") & (last.predictions["split"] != "train")
    same = [on_held_out(each, held_out) for each in (first, last)]
    return story, demo_page(story, same[0], same[1], note=form.note, command=command, seconds=asked.seconds)


def _save(outcome: Outcome, run: RunFolder) -> None:
    """The files of a run."""
    save_outcome(outcome, run)
    outcome.manifest.save(run.path)
