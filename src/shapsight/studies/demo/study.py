"""`shapsight demo`: the whole story on a rendered world that needs no data and no network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shapsight.data.readers import read_dataset
from shapsight.data.remedies.recipes import BASELINE, read_recipe
from shapsight.data.rooms import ROOMS, write_world
from shapsight.data.rooms.worlds import TAPE
from shapsight.data.turns import Turns
from shapsight.models.devices import chosen_device
from shapsight.studies.cure.trainer import Trainer
from shapsight.studies.cure.trials import Trial, TrialBudget, trained
from shapsight.studies.demo.facts import Attempt, Demo
from shapsight.studies.demo.page import demo_page, summary
from shapsight.studies.diagnose.study import diagnose
from shapsight.studies.shared.analysis import analyse, judge, on_held_out
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import open_run
from shapsight.studies.shared.left_open import completed
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.outcome import Outcome, Trained, save_outcome
from shapsight.studies.shared.references import with_chosen_references
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import CureSettings, DemoSettings, DiagnoseSettings, TrainingSettings

QUICK = TrainingSettings(
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
)
FULL = replace(QUICK, image_size=224, epochs=20, explain=8)
IMAGES_PER_ROOM = 300
RECIPES = ("swap-scene", "more-environments", "more-environments+swap-scene")
# One turn of a cure: the last room is the one that no remedy sees.
TURNS = Turns(plain=(ROOMS[:1],), wider=(ROOMS[:-1],))
UNSEEN = ROOMS[-1:]
ASKED = DiagnoseSettings(images=48, references=16, only=("look", "why"))
CURED = "cured"


@dataclass(frozen=True, eq=False)
class Class:
    """What every model of the story is taught with: the same images, and the same budget."""

    settings: TrainingSettings
    material: Material
    budget: TrialBudget
    narrator: Narrator

    def taught(self, recipe: str) -> Trained:
        """A model trained with a recipe in its turn, measured in every room."""
        rooms = (TURNS.wider if read_recipe(recipe).has("more-environments") else TURNS.plain)[0]
        trial = Trial(recipe, rooms, self.settings.seed)
        material = trial.turn(self.material, self.budget)
        title = f"Training {self.budget.arch} in {' and '.join(rooms)}: {recipe}"
        with self.narrator.step(title) as report:
            training = trained(trial, self.budget, material, report)
        is_baseline = recipe == BASELINE
        how = replace(self.settings, train_on=",".join(rooms), remedies=None if is_baseline else recipe)
        name = " and ".join(rooms) + ("" if is_baseline else f" with {recipe}")
        return judge(name, how, training, material, self.narrator)

    def looked_at(self, model: Trained, like: Outcome | None = None) -> Outcome:
        """With references, and some images explained: those of another outcome, where one is given."""
        seed, root = self.settings.seed, self.material.manifest.root
        manifest, settings = (
            replace(model.manifest, root=root),
            replace(model.settings, roi=self.settings.roi),
        )
        material = replace(self.material, manifest=manifest)
        bundle, _ = with_chosen_references(
            model.training.bundle, manifest, material.images, settings.references, seed=seed
        )
        training = replace(model.training, bundle=bundle)
        explained = None if like is None else like.explained
        return analyse(model.name, settings, training, material, self.narrator, explained=explained)

    def moved(self, world: Path) -> Class:
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

    A network is trained in one room, measured in three and diagnosed; remedies are trained with the same budget, once
    each, and the one with the lowest error in the room that none of them saw is diagnosed like the first. The run is
    the first model's, with its diagnosis inside; the other's is `cured` in it: `diagnose`, `compare` and `cure` take
    both.
    """
    wanted, narrator = asked.settings, asked.narrator
    chosen_device(wanted.device)  # a wrong one is said before any work is done
    how = replace(FULL if wanted.full else QUICK, seed=wanted.seed, device=wanted.device)
    run = RunFolder.start(out, command=asked.command, settings=how.as_dict(), overwrite=overwrite)
    try:
        pupils = _class(how, run, narrator)
        model = pupils.taught(BASELINE)
        model.training.bundle.save(run.folder("model"))
        # All else goes on in the run's own place, with its world.
        target = run.finish("running")
        pupils = pupils.moved(target / "world")
        first = pupils.looked_at(model)
        _save(first, run)
        diagnosing = replace(ASKED, seed=how.seed, device=how.device)
        before = diagnose(target, settings=diagnosing, progress=narrator, command=asked.command)
        tried = {recipe: pupils.taught(recipe) for recipe in RECIPES}
        attempts = [Attempt.of(name, model, UNSEEN) for name, model in {BASELINE: first, **tried}.items()]
        best = min(attempts[1:], key=lambda attempt: attempt.error)
        last = pupils.looked_at(tried[best.recipe], like=first)
        settings = last.settings.as_dict()
        cured = RunFolder.at(run.folder(CURED), command=asked.command, settings=settings, status="done")
        _save(last, cured)
        after = diagnose(cured.path, settings=diagnosing, progress=narrator, command=asked.command)
        found = open_run(target)
        story = Demo(**vars(found), attempts=tuple(attempts), best=best, before=before, after=after)
        page = demo_page(story, *_on_the_same(first, last), command=asked.command, seconds=asked.seconds)
        write_page(page, run)
        run.finish("done")
    except BaseException as error:
        run.keep_or_discard(error, narrator)
        raise
    answer = (page.answer.verdict, page.answer.evidence)
    return replace(story, lines=tuple(summary(story, answer, asked.seconds)), sentences=answer)


def _class(how: TrainingSettings, run: RunFolder, narrator: Narrator) -> Class:
    """The rendered world, decoded, and what each training may cost."""
    with narrator.step(f"Rendering {len(ROOMS)} rooms") as report:
        world, size = run.path / "world", how.image_size
        assert size is not None
        write_world(
            world, images_per_room=IMAGES_PER_ROOM, size=size, seed=how.seed, world=TAPE, progress=report
        )
    manifest = read_dataset(world / "images", train_on=[how.train_on], seed=how.seed)
    settings = completed(how, manifest)
    roi = roi_of(os.fspath(world / "roi"))
    material = Material.decoded(manifest, settings.image_size, narrator, roi=roi)
    budget = Trainer(manifest, settings, roi).budget(CureSettings(device=how.device), TURNS)
    run.card["settings"]["roi"] = os.fspath(run.target / "world" / "roi")
    return Class(settings, material, budget, narrator)


def _save(outcome: Outcome, run: RunFolder) -> None:
    """The files of a run."""
    save_outcome(outcome, run)
    outcome.manifest.save(run.path)


def _on_the_same(first: Outcome, last: Outcome) -> Sequence[Outcome]:
    """Two models judged on the images that neither was trained on."""
    held_out = (first.predictions["split"] != "train") & (last.predictions["split"] != "train")
    return [on_held_out(each, held_out) for each in (first, last)]
