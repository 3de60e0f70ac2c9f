"""What is to be done to a data set: the same for every process that takes part, and it can be sent to each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Shaped
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.memory import is_out_of_memory
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.attribution.targets.aimed import are_aimed, called
from shapsight.data.framing import Framing
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.diagnosis.prediction_errors import error_per_image
from shapsight.errors import ExplainerError, UnsupportedOperation
from shapsight.models.references import ChosenReferences
from shapsight.store.card import Card
from shapsight.store.encoding import encoded
from shapsight.store.store import PART
from shapsight.studies.shared.explained_model import ExplainedModel, placed
from shapsight.studies.shared.material import region_masks
from shapsight.studies.shared.settings import ExplainSettings

PARTS = ("scene", "region")
# What images that are explained in one call share: the plan of the model's calls, and the replayed references.
# GradientSHAP draws by an image's number in its call, so one an image is what makes its values the same again.
SHARING = ("deep",)
JOINED = 4  # blocks that are explained in one call, at most: beyond it little is left to be shared
ROOM = 32 << 20  # bytes of values for which blocks are joined
# Pictures that are predicted in one call, always: what rounding does to one depends on their number. So few need less
# memory than explaining one.
PREDICTED = 4


@dataclass(frozen=True, eq=False)
class Block:
    """Explained images: a row for each, the arrays of all, and images that could not be explained, with the reason."""

    rows: Sequence[Mapping[str, Any]]
    arrays: Mapping[str, np.ndarray]
    failed: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Job:
    """The model, the data and the settings; `store` is where it goes, `paths` which images, in their order."""

    model: ExplainedModel
    manifest: Manifest
    paths: Sequence[str]
    outputs: Outputs
    references: ChosenReferences | None
    settings: ExplainSettings
    roi: Roi | None
    card: Card
    store: Path

    @property
    def framing(self) -> Framing:
        """How the model sees an image."""
        return self.model.bundle.seen

    def regions(self, rows: pd.DataFrame) -> Bool[ndarray, "images height width"] | None:
        """The region of interest of some rows; drawn beside the model, since masks may have to be fetched."""
        return None if self.roi is None or rows.empty else region_masks(self.roi, rows, self.framing)

    @property
    def together(self) -> int:
        """Images that are handed over at a time: a block, or several where the method shares work between images."""
        size = self.card.block
        if self.settings.method not in SHARING:
            return size
        values = 4 * size * self._columns * self.framing.channels * math.prod(self.framing.size)
        return size * min(JOINED, max(1, ROOM // values))

    def explained(
        self,
        rows: pd.DataFrame,
        pictures: Shaped[Tensor, "images channels *sides"],
        known: Sequence[Mapping[str, Any]],
        regions: Bool[ndarray, "images height width"] | None,
        most: int,
    ) -> Block:
        """Explain some images; `rows` are those of the manifest, `known` what else their rows say, `regions` as drawn.

        What an image gets depends on nothing beside it. No more than `most` are explained at a time, and fewer where
        memory runs out.
        """
        found: list[Explanation] = []
        notes: list[str] = []
        failed: dict[int, ExplainerError] = {}
        for piece in self._pieces(rows, most):
            each = self._each(pictures[piece], rows.iloc[piece.start], notes)
            for number, one in enumerate(each, piece.start):
                if isinstance(one, ExplainerError):
                    failed[number] = one
                else:
                    found.append(one)
        paths = list(rows["path"])
        reasons = {paths[n]: str(error) for n, error in failed.items()}
        if not found:
            return Block([], {}, reasons, tuple(notes))
        kept = [number for number in range(len(rows)) if number not in failed]
        arrays, said = encoded(found, pictures[kept], self.card)
        explanation = found[0]
        if len(found) > 1:  # targets may be about other pixels of each
            explanation = Explanation.concatenate([replace(one, outlines=None) for one in found])
        table = rows.iloc[kept]
        more = zip(
            table.to_dict("records"),
            said,
            self._judged(table, explanation, pictures[kept]),
            _parts(explanation, None if regions is None else regions[kept]),
            strict=True,
        )
        whole = [
            {**known[number], **row, **told, **judged, **parts, "finished": _now()}
            for number, (row, told, judged, parts) in zip(kept, more, strict=True)
        ]
        return Block(whole, arrays, reasons, tuple(notes))

    @property
    def _columns(self) -> int:
        """How many outputs are explained of each image."""
        if isinstance(self.outputs, TopK):
            return self.outputs.k
        return len(self.outputs) if isinstance(self.outputs, Sequence) else len(self.model.names)

    def _pieces(self, rows: pd.DataFrame, most: int) -> Iterator[slice]:
        """What is explained in one call: of targets that are about places, images of one size."""
        most = most if self.settings.method in SHARING else 1
        sizes = [*zip(rows["height"], rows["width"], strict=True)] if are_aimed(self.outputs) else [()]
        start = 0
        for stop in range(1, len(rows) + 1):
            is_other = stop < len(sizes) and sizes[stop] != sizes[start]
            if stop == len(rows) or stop - start == most or is_other:
                yield slice(start, stop)
                start = stop

    def _each(
        self, pictures: Tensor, first: pd.Series[Any], notes: list[str]
    ) -> list[Explanation | ExplainerError]:
        """Each image's explanation, or why it has none; all are as large as the `first`, where that matters."""
        try:
            outputs = placed(self.outputs, (int(first["height"]), int(first["width"])), self.framing)
            found = self.model.explain(pictures, outputs, self.settings, self.references, False)
            if are_aimed(self.outputs):  # called as the user places them
                found = replace(found, output_names=called(self.outputs))
            return [found[number] for number in range(len(found))]
        except UnsupportedOperation:
            raise
        except (ExplainerError, RuntimeError, MemoryError) as error:
            is_memory = is_out_of_memory(error) or "memory ran out" in str(error)
            if not is_memory and not isinstance(error, ExplainerError):
                raise
            if len(pictures) == 1:
                return [
                    error if isinstance(error, ExplainerError) else ExplainerError(f"memory ran out: {error}")
                ]
        middle = len(pictures) // 2
        if is_memory:
            notes.append(f"memory ran out with {len(pictures)} images at a time: went on with {middle}")
        halves = (pictures[:middle], pictures[middle:])
        return [one for half in halves for one in self._each(half, first, notes)]

    def _judged(self, rows: pd.DataFrame, explanation: Explanation, pictures: Tensor) -> list[dict[str, Any]]:
        """What the model says of each image, and how wrong it is where that is known."""
        told = self._predicted(rows, explanation, pictures)
        table, manifest, errors = rows.assign(**told), self.manifest, None
        names = [name for name in manifest.targets if f"predicted_{name}" in told]
        if names or ("label" in rows and "predicted_label" in told):
            errors = error_per_image(table, replace(manifest, targets=tuple(names)))
        columns = {**told, **({} if errors is None else {"error": errors.tolist()})}
        return [{name: values[n] for name, values in columns.items()} for n in range(len(rows))]

    def _predicted(
        self, rows: pd.DataFrame, explanation: Explanation, pictures: Tensor
    ) -> dict[str, list[Any]]:
        """As `predict_table` says it, so that a store can be evaluated without asking the model again."""
        bundle = self.model.bundle
        card = bundle.card
        if card.task == "targets":
            return {}
        if card.task != "classification":
            said = self._said(explanation, pictures)
            return {f"predicted_{name}": said[:, n].tolist() for n, name in enumerate(card.output_names)}
        outputs = self._asked(pictures)
        chosen = outputs.argmax(1).tolist()
        names = card.output_names
        told = {"predicted_label": [names[n] if n < len(names) else f"output {n}" for n in chosen]}
        if "label" not in rows or not card.class_names:
            return told
        probabilities = bundle.probabilities(outputs)
        of_label = [
            float(one[card.class_names.index(label)]) if label in card.class_names else 0.0
            for one, label in zip(probabilities, rows["label"], strict=True)
        ]
        return told | {"confidence": probabilities.amax(1).tolist(), "probability": of_label}

    def _said(self, explanation: Explanation, pictures: Tensor) -> Tensor:
        """All outputs: as explained, or asked about where only some are."""
        columns = list(range(len(self.model.bundle.card.output_names)))
        is_whole = all(row == columns for row in explanation.output_index.tolist())
        if is_whole and not are_aimed(self.outputs):
            return explanation.predictions.detach().cpu().double()
        return self._asked(pictures)

    def _asked(self, pictures: Tensor) -> Tensor:
        """All outputs."""
        missing = -len(pictures) % PREDICTED
        whole = torch.cat([pictures, pictures[:1].expand(missing, *pictures.shape[1:])])
        return self.model.bundle.predict(whole, PREDICTED)[: len(pictures)].double()


def _parts(
    explanation: Explanation, regions: Bool[ndarray, "images height width"] | None
) -> list[dict[str, list[float]]]:
    """What scene and region of interest contribute to each output."""
    if regions is None:
        return [{} for _ in range(len(explanation))]
    inside = torch.from_numpy(regions)
    sums = explanation.parts(torch.stack([~inside, inside], 1)).values.detach().cpu().double()
    return [{f"{PART}{part}": one[:, n].tolist() for n, part in enumerate(PARTS)} for one in sums]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
