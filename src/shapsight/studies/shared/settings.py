"""What a model is trained and explained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from shapsight.studies.shared.asked import settings_of
from shapsight.studies.shared.option import (
    REMEDY_NAMES,
    DataOptions,
    Device,
    Option,
    RoiSpec,
    Scenes,
    Seed,
    TrainOn,
    Weights,
    roi_text,
)

AUTO = "auto"
LEFT_OPEN = {
    "epochs": 0,
    "batch_size": 0,
    "learning_rate": 0.0,
    "image_size": 0,
}  # what run.json says of None

# Settings of a training that one of the two commands has no option for.
NOT_OF_DEBUG = ("logger", "trainer", "watch_every")
NOT_OF_TRAIN = ("explain",)


@dataclass(frozen=True)
class LightningOptions:
    """What Lightning is given. All of it goes to its Trainer."""

    devices: Annotated[str | None, Option("Lightning's: how many or which devices.")] = None
    precision: Annotated[str | None, Option("Lightning's: 16-mixed, bf16-mixed, 32-true.")] = None
    strategy: Annotated[str | None, Option("Lightning's: ddp, fsdp, and others.")] = None
    num_nodes: Annotated[int | None, Option("Lightning's: machines.", at_least=1)] = None

    def as_arguments(self) -> dict[str, Any]:
        """Those that were given."""
        given: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not None}
        if (self.devices or "").lstrip("-").isdigit():
            given["devices"] = int(given["devices"])
        return given


@dataclass(frozen=True)
class TrainingSettings:
    """What a model is trained and explained with; what is None or "auto" is chosen by `completed`.

    `explain` is of `debug`; `trainer`, `logger` and `watch_every` are of `train`; the others are options of both.
    """

    train_on: TrainOn = "all"
    arch: Annotated[
        str, Option("auto; a torchvision network; small_cnn; timm:NAME; or your own, module:name.")
    ] = AUTO
    weights: Weights = AUTO
    epochs: Annotated[
        int | None, Option("Passes over the training images; by default 10, of many images 5.", at_least=1)
    ] = None
    batch_size: Annotated[
        int | None, Option("Images in a training step; by default 8, of many images 128.", at_least=1)
    ] = None
    learning_rate: Annotated[float | None, Option("Adam's step size; by default 3e-4.", at_least=1e-9)] = None
    schedule: Annotated[str, Option("auto, constant or one-cycle.")] = AUTO
    warm_up: Annotated[
        int, Option("First epochs that train the last layer only; for small sets.", at_least=0)
    ] = 0
    patience: Annotated[
        int | None,
        Option("Stop after so many epochs without a lower loss.", at_least=1, flags=("--early-stop",)),
    ] = None
    class_weights: Annotated[
        bool, Option("Let rare classes count more.", flags=("--class-weights/--no-class-weights",))
    ] = True
    color_jitter: Annotated[
        bool | None, Option("Vary the colours of training images.", flags=("--jitter/--no-jitter",))
    ] = None
    image_size: Annotated[
        int | None,
        Option(
            "Images are resized to this many pixels squared; by default 224, small ones as they are.",
            at_least=16,
        ),
    ] = None
    references: Annotated[int, Option("Training images that stand for 'feature absent'.", at_least=1)] = 25
    references_drawn: Annotated[
        bool, Option("Draw them; by default those that stand for all are chosen.")
    ] = False
    explain: Annotated[int, Option("Images to explain in each environment.", at_least=1)] = 8
    roi: RoiSpec = None
    remedies: Annotated[
        str | None,
        Option(
            f"A recipe in place of the jitter, by comma: {', '.join(REMEDY_NAMES[1:])}; "
            "shapsight cure finds out which.",
            by_comma=True,
        ),
    ] = None
    scenes: Scenes = None
    seed: Seed = 0
    device: Device = AUTO
    reading: DataOptions = field(default_factory=DataOptions)
    logger: Annotated[str | None, Option("csv or tensorboard, into RUN/logs.")] = None
    watch_every: Annotated[
        int | None,
        Option(
            "Log the scene's share and the errors every so many epochs; with --logger, --roi.", at_least=1
        ),
    ] = None
    trainer: LightningOptions = field(default_factory=LightningOptions)

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        left_open = {name: said for name, said in LEFT_OPEN.items() if getattr(self, name) is None}
        plain = replace(self, roi=roi_text(self.roi))
        return asdict(plain) | left_open | {"trainer": self.trainer.as_arguments()}


def training(**options: Any) -> TrainingSettings:
    """A plan of a training, for `shapsight.cure` and `shapsight.train(..., settings=plan)`.

        plan = shapsight.training(arch="resnet18", epochs=5)

    The options are those of `shapsight.train`. Raises `SettingError` for one that there is not.
    """
    return settings_of(TrainingSettings, options, of="training")
