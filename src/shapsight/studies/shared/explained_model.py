"""The model that `explain` asks: a run's, or a classifier of torchvision or timm; each with how it wants its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from shapsight.attribution.explain import Method, explain
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.references import choose_references
from shapsight.attribution.shared.outputs import Outputs
from shapsight.attribution.targets.aimed import are_aimed, carried
from shapsight.data.framing import Cropped, Framing
from shapsight.data.given_files import parsed_json, read_text
from shapsight.errors import ExplainerError, ModelError
from shapsight.models.build import IMAGENET_CLASSES, build_classifier
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.models.devices import chosen_device
from shapsight.models.references import ChosenReferences
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.settings import ExplainSettings
from shapsight.studies.shared.subject import is_onnx, opened

# Which settings a method takes; all but DeepSHAP take the seed, too.
OPTIONS = {
    "partition": ("max_evals", "tree", "contexts", "seed"),
    "regions": ("estimator", "max_evals", "seed"),
    "gradient": ("samples", "seed"),
    "deep": (),
}


@dataclass(frozen=True)
class ExplainedModel:
    """A model to be explained: its bundle, and the names and the unit of what comes out."""

    bundle: Bundle
    names: tuple[str, ...]
    unit: str

    def explain(
        self,
        image: Shaped[Tensor, "images channels *sides"],
        outputs: Outputs,
        settings: ExplainSettings,
        references: ChosenReferences | None,
        report: Any,
    ) -> Explanation:
        """Images, explained as the settings say."""
        options: dict[str, Any] = {name: getattr(settings, name) for name in OPTIONS[settings.method]}
        if options.get("contexts") in ("0", "1"):
            options["contexts"] = int(settings.contexts)
        options |= {"output_names": self.names, "references": references, "progress": report}
        options |= {"masker": settings.masker, "regions": settings.regions}
        return explain(self.bundle, image, cast(Method, settings.method), outputs, **options)

    def chosen(
        self,
        images: Shaped[Tensor, "images channels *sides"],
        count: int,
        settings: ExplainSettings,
        narrator: Narrator,
    ) -> ChosenReferences:
        """References: all of the images, or of more than `count` those that stand for all."""
        prepared = self.bundle.prepare(images)
        if settings.references_drawn or len(images) <= count:
            return ChosenReferences.drawn(prepared)
        with narrator.step(f"Choosing {count} of {len(images)} references") as report:
            chosen = choose_references(
                self.bundle.model, prepared, count, seed=settings.seed, progress=report
            )
        narrator.note(
            f"{len(chosen)} of the {len(images)} images in {settings.references} are compared with, chosen to stand "
            "for all; --references-drawn compares with all of them"
        )
        return chosen


def model_of(
    model: Any, paths: Sequence[Path], settings: ExplainSettings, narrator: Narrator
) -> tuple[ExplainedModel, Sequence[Path]]:
    """The model that was given, or that the settings or else the first path name, and the other paths."""
    chosen_device(settings.device)  # a wrong one is said before any work is done
    if model is None and settings.arch is None:
        if len(paths) < 2:
            raise ExplainerError(
                "say what to explain: shapsight explain RUN IMAGE..., or --arch NAME --weights FILE IMAGE..."
            )
        model, paths = paths[0], paths[1:]
    if model is not None:
        bundle = opened(model)[1]
        if is_onnx(model):
            for sentence in bundle.notes:
                narrator.note(sentence)
        return ExplainedModel(bundle, bundle.card.output_names, "units of the output"), paths
    assert settings.arch is not None
    names = class_names(settings.classes)
    built = build_classifier(settings.arch, len(names) or IMAGENET_CLASSES, weights=settings.weights)
    for sentence in built.notes:
        narrator.note(sentence)
    network = nn.Sequential(built.model, nn.Softmax(1)) if settings.as_probability else built.model
    size = settings.image_size or built.size
    card = Card(built.arch, names, {}, size, built.mean, built.std, task="classification", class_names=names)
    nothing = torch.empty(0, 3, size, size, dtype=torch.uint8)
    bundle = Bundle(network, card, nothing, framing=Cropped(size))
    return ExplainedModel(bundle, names, "probability" if settings.as_probability else "logit"), paths


def class_names(path: Path | None) -> tuple[str, ...]:
    """The names in a JSON list, or in a text with one a line. Raises `ModelError` for anything else."""
    if path is None:
        return ()
    try:
        text = read_text(path)
        names = parsed_json(text) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise ModelError(f"the class names {path} cannot be read: {error}") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"{path} must be a JSON list of class names in order, or a text file with one a line"
        )
    return tuple(names)


def placed(outputs: Any, size: tuple[int, int], seen: Framing) -> Any:
    """Targets in pixels of an image of this size, in those of what the model sees of it; other outputs as they are."""
    if not are_aimed(outputs) or seen.is_stored:
        return outputs
    height, width = seen.size[-2:]
    return carried(outputs, seen.frame(*size), size, (height, width))
