"""What is asked of a model again and again while it is trained, always of the same images, and what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.deep import DeepShap
from shapsight.attribution.explanation.heatmaps import image_plot
from shapsight.data.framing import Framing
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.diagnosis.contributions import SCENE
from shapsight.diagnosis.groups import EVERY
from shapsight.diagnosis.prediction_errors import predict_table
from shapsight.errors import DataError, ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.train import draw_references
from shapsight.studies.shared.contributions import Contributions
from shapsight.studies.shared.exact_contributions import contributions_of
from shapsight.studies.shared.material import region_masks
from shapsight.studies.shared.outcome import Judged
from shapsight.studies.shared.sampling import choose_held_out
from shapsight.studies.tasks.task import task_of

HELD_OUT = "held out"


@dataclass(frozen=True, eq=False)
class Watch:
    """The images that a model is asked about while it is trained, and what is asked.

        watch = Watch.of(manifest, lambda rows: images[rows], 96, roi=read_roi("below:112"))
        watch.look(bundle).scalars      # {"mse/x/room_1": 0.02, "scene_share/x/room_1": 0.44, ...}

    Attributes
        manifest: the held-out images: those that were not trained on, of an environment without such all of it.
        images: one for each of its rows.
        rows: those of its table that are explained; masks: the region of interest in each.
        references: hidden pixels are taken from these.
        outputs: targets that are told of; of a classification the predicted class is.
        heatmaps: how many images of each environment are drawn.
        notes: sentences that a user should read.
    """

    manifest: Manifest
    images: UInt8[Tensor, "images 3 size size"]
    rows: pd.DataFrame
    masks: Bool[ndarray, "rows size size"] | None
    references: UInt8[Tensor, "references 3 size size"]
    outputs: tuple[str, ...]
    heatmaps: int
    seed: int = 0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        load: Callable[[ndarray], UInt8[Tensor, "rows 3 height width"]],
        framing: Framing | int,
        *,
        roi: Roi | None,
        images: int = 8,
        heatmaps: int = 2,
        references: int | UInt8[Tensor, "references 3 size size"] = 25,
        outputs: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Watch:
        """Choose the images; `load` gives what the model sees of some rows of the manifest's table.

        Raises `DataError` for an output that is no target, and for a region of interest that an image has not.
        """
        wanted = manifest.targets if outputs is None else tuple(outputs)
        unknown = [name for name in wanted if name not in manifest.targets]
        if unknown:
            there = ", ".join(manifest.targets) or "they have classes"
            raise DataError(f"outputs: {unknown[0]!r} is no target of these photos: {there}")
        held_out = _held_out(manifest)
        asked = replace(manifest, table=manifest.table.iloc[held_out].reset_index(drop=True), decoded=None)
        places = [group for _, group in asked.table.groupby("environment", sort=True)]
        chosen = [choose_held_out(group, images, seed=seed) for group in places]
        rows = pd.concat([some for some, _ in chosen])
        notes = tuple(note for _, some in chosen for note in some)
        if isinstance(references, int):
            pool = manifest
            if not len(manifest.rows("train")):
                pool = replace(manifest, table=manifest.table.assign(split="train"))
            references = load(draw_references(pool, references, seed))
        masks = None if roi is None else region_masks(roi, rows, framing)
        if masks is None:
            notes += (
                "Without a region of interest (roi=) the scene's share is not known: only errors are logged.",
            )
        return cls(asked, load(held_out), rows, masks, references, wanted, heatmaps, seed, notes)

    def look(self, bundle: Bundle, *, with_figures: bool = True) -> Watched:
        """Ask the model. Raises a `ShapsightError` where it cannot answer, such as NaN."""
        task = task_of(self.manifest)
        predictions = predict_table(bundle, self.manifest, self.images).assign(split=HELD_OUT)
        errors = task.measure(predictions, self.manifest, seed=self.seed)
        judged = Judged(name="now", manifest=self.manifest, predictions=predictions, errors=errors)
        rows = predictions.loc[self.rows.index]
        found = Watched(judged)
        if self.masks is not None:
            contributions = contributions_of(
                None, bundle, self.manifest, rows, self._images_of(rows), self.masks, seed=self.seed
            )
            if contributions is not None and self.outputs:
                contributions = contributions.of(self.outputs)
            found = replace(found, contributions=contributions)
        return self._with_figures(found, bundle, rows) if with_figures and self.heatmaps else found

    def _with_figures(self, found: Watched, bundle: Bundle, rows: pd.DataFrame) -> Watched:
        turn = rows.groupby("environment").cumcount().to_numpy()
        at = np.flatnonzero(turn < self.heatmaps)
        shown = rows.iloc[at]
        device = next(bundle.model.parameters()).device
        pixels = self._images_of(shown)
        explainer = DeepShap(
            bundle.model, bundle.prepared_references(), output_names=bundle.card.output_names
        )
        outputs = list(self.outputs) or task_of(self.manifest).FIRST_OUTPUT
        try:
            explanation = explainer(
                bundle.prepare(pixels.to(device)), outputs, progress=False, show=pixels.float() / 255
            )
        except ExplainerError as error:
            return replace(found, notes=(f"No heatmaps: {error}",))
        figures: dict[str, Figure] = {}
        for environment in dict.fromkeys(shown["environment"]):
            here = np.flatnonzero(shown["environment"] == environment)
            roi = None if self.masks is None else self.masks[at[here]]
            names = [str(path).rsplit("/", 1)[-1] for path in shown["path"].iloc[here]]
            chosen = explanation.select(images=here.tolist())
            figures[str(environment)] = image_plot(chosen, roi=roi, true_labels=names)
        return replace(found, figures=figures)

    def _images_of(self, rows: pd.DataFrame) -> UInt8[Tensor, "rows 3 size size"]:
        return self.images[torch.from_numpy(rows.index.to_numpy(np.int64, copy=True))]


def _held_out(manifest: Manifest) -> ndarray:
    """Rows that were not trained on; of an environment where all were, all."""
    is_trained = (manifest.table["split"] == "train").to_numpy(bool)
    environment = manifest.table["environment"]
    has_others = environment.isin(set(environment[~is_trained])).to_numpy(bool)
    return np.flatnonzero(~(is_trained & has_others))


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
