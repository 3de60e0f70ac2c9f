"""What was seen of a model at one moment of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from matplotlib.figure import Figure

from shapsight.diagnosis.contributions import SCENE
from shapsight.diagnosis.groups import EVERY
from shapsight.studies.shared.contributions import Contributions
from shapsight.studies.shared.outcome import Judged
from shapsight.studies.tasks.task import task_of


@dataclass(frozen=True, eq=False)
class Watched:
    """Errors of held-out images, what the scene contributes to some of them, and pictures.

    Attributes
        judged: the predictions, and the errors in each environment.
        contributions: of scene and region; None where no region of interest is known.
        figures: explained images of each environment, by its name.
        notes: sentences that a user should read.
    """

    judged: Judged
    contributions: Contributions | None = None
    figures: dict[str, Figure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def scalars(self) -> dict[str, float]:
        """For a logger: `mse/x/room_1` or `accuracy/room_1`, and `scene_share/x/room_1`."""
        found = task_of(self.judged.manifest).curves(self.judged)
        if self.contributions is None:
            return found
        measures = self.contributions.measures
        is_share = (measures["measure"] == "share") & (measures["part"] == SCENE)
        rows = measures[is_share & (measures["environment"] != EVERY)]
        shares = zip(rows["output"], rows["environment"], rows["value"], strict=True)
        return found | {f"scene_share/{output}/{place}": float(share) for output, place, share in shares}
