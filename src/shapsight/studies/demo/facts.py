"""What a demo comes to: a model that learned the room, what was tried against it, and the two verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.diagnose.study import Diagnosis
from shapsight.studies.shared.found import Run
from shapsight.studies.shared.outcome import Trained


@dataclass(frozen=True)
class Attempt:
    """One training: its recipe, the rooms it saw, and how wrong it is in each, on images it was not trained on.

    Attributes
        errors: mean squared error of the first target, by room.
        judged_in: rooms that none of the attempts saw; `error` is the mean over these.
    """

    recipe: str
    trained_on: tuple[str, ...]
    errors: dict[str, Estimate]
    judged_in: tuple[str, ...]

    @classmethod
    def of(cls, recipe: str, trained: Trained, judged_in: tuple[str, ...]) -> Attempt:
        """A recipe and the model that it gave."""
        measured = trained.measured("mse", trained.manifest.targets[0])
        return cls(
            recipe, trained.manifest.train_on, {at.environment: at.found for at in measured}, judged_in
        )

    @property
    def error(self) -> float:
        """What attempts are compared by."""
        return sum(self.errors[name].value for name in self.judged_in) / len(self.judged_in)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Demo(Run):
    """A run of `demo`: the first model's, with the whole story.

        story = shapsight.demo("runs/demo")
        story.before.verdict.level, story.best.recipe, story.after.verdict.level     # "shortcut", "swap-scene", "ok"

    Attributes
        attempts: the first training, which is the baseline, then each remedy; best: the remedy with the lowest error
            where none was trained.
        before, after: the diagnosis of the first model, and of the best remedy's, which is the run in `cured`.
    """

    attempts: tuple[Attempt, ...]
    best: Attempt
    before: Diagnosis
    after: Diagnosis
