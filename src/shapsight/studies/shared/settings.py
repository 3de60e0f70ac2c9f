"""What can be asked of each study: a field is an option of the command line and a keyword in Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
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
# What run.json says of None.
LEFT_OPEN = {"epochs": 0, "batch_size": 0, "learning_rate": 0.0, "image_size": 0}

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


@dataclass(frozen=True)
class CheckSettings:
    """What `shapsight check` is asked to do."""

    train_on: TrainOn = "all"
    seed: Seed = 0
    reading: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class EvaluateSettings:
    """What `shapsight evaluate` is asked to do; `reading` is how another dataset than the run's is read."""

    store: Annotated[
        Path | None,
        Option(
            "Read what the model says from this store that explain --store made, instead of asking the model."
        ),
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class StoreSettings:
    """A whole data set, into a store. It can be stopped at any time and goes on with the same command."""

    store: Annotated[
        Path | None,
        Option(
            "Explain a whole data set into this Zarr store, such as explanations.zarr: after the run comes a folder "
            "or table as for train, or nothing for the run's own. Finished images are not explained again."
        ),
    ] = None
    every: Annotated[
        bool,
        Option(
            "Of a run's own data set the images it was trained on, too; without it the held-out ones.",
            flags=("--all",),
        ),
    ] = False
    light: Annotated[bool, Option("Store maps of 28 × 28 and sums only, some 5 kB an image.")] = False
    dtype: Annotated[str, Option("Values in the store: float16, which says its error, or float32.")] = (
        "float16"
    )
    roi: RoiSpec = None
    limit: Annotated[int | None, Option("Stop after so many images of the data set.", at_least=1)] = None
    shard: Annotated[
        str | None, Option("One job of several that share a store: 3/8 is the third eighth of the work.")
    ] = None
    workers: Annotated[
        int | None,
        Option(
            "Processes, by default one; they take turns over the devices of --device, by comma. With --ray its "
            "workers, by default as many as it has GPUs or CPUs.",
            at_least=1,
        ),
    ] = None
    ray: Annotated[
        str | None,
        Option(
            "Do the work by a Ray cluster: auto for the one of this machine, HOST:PORT, or local for one of its own."
        ),
    ] = None


@dataclass(frozen=True)
class ExplainSettings:
    """What `shapsight explain` is asked to do."""

    method: Annotated[str, Option("deep, gradient, partition or regions.")] = "partition"
    outputs: Annotated[str, Option("topK, all, or names or numbers by comma.", by_comma=True)] = "top4"
    target: Annotated[
        tuple[str, ...],
        Option(
            "In place of outputs, can be repeated: box(LABEL,LEFT,TOP,RIGHT,BOTTOM), mask(LABEL,FILE), "
            "pixel(LABEL,ROW,COLUMN), region(FILE), contrast(A,B), entropy(), text(WORDS,module:processor).",
            is_repeatable=True,
        ),
    ] = ()
    masker: Annotated[
        str,
        Option(
            "partition, regions: what stands where pixels are hidden: blur(W,H), inpaint_telea, inpaint_ns, "
            "inpaint_diffuse, mean, constant(V), and of vision transformers tokens, tokens(zero)."
        ),
    ] = "inpaint_telea"
    max_evals: Annotated[int, Option("partition, regions: masked images that the model sees.")] = 500
    tree: Annotated[
        str, Option("partition: regions follows colours, axis halves rectangles, as shap does.")
    ] = "regions"
    contexts: Annotated[str, Option("partition: auto gets farthest, both gives shap's numbers; 0, 1.")] = (
        "auto"
    )
    regions: Annotated[
        str, Option("regions: grid(ROWS,COLUMNS) or slic(COUNT); with masker tokens, patches.")
    ] = "grid(4,4)"
    estimator: Annotated[str, Option("regions: exact (16 at most), kernel or permutation.")] = "exact"
    samples: Annotated[int, Option("gradient: points on the way for each image.", at_least=1)] = 200
    references: Annotated[
        Path | None,
        Option(
            "deep, gradient: images that stand for 'feature absent'; of more than 25, 25 are chosen. A run has "
            "its own."
        ),
    ] = None
    references_drawn: Annotated[bool, Option("deep, gradient: compare with all of --references.")] = False
    arch: Annotated[
        str | None, Option("A classifier of torchvision or timm (timm:NAME), instead of a run.")
    ] = None
    weights: Weights = "imagenet"
    classes: Annotated[Path | None, Option("With --arch: class names in order, JSON list or one a line.")] = (
        None
    )
    as_probability: Annotated[
        bool,
        Option("With --arch: explain softmax probabilities, not logits.", flags=("--probability",)),
    ] = False
    detail: Annotated[
        str,
        Option(
            "Figures: sums over regions of the image (regions) or under a Gaussian (smooth), or pixels. "
            "auto: pixels in images of up to 32 a side and of --method partition and regions, else regions."
        ),
    ] = "auto"
    cmap: Annotated[str | None, Option("Figures: a colour map of matplotlib, such as coolwarm.")] = None
    show_noise: Annotated[
        bool, Option("Figures, partition: draw what cannot be told from the coins' noise.")
    ] = False
    image_size: Annotated[
        int | None, Option("With --arch: pixels squared; by default the network's own.", at_least=16)
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    whole: StoreSettings = field(default_factory=StoreSettings)


@dataclass(frozen=True)
class DiagnoseSettings:
    """What `shapsight diagnose` is asked to do; `reading` is how another dataset than the run's is read."""

    images: Annotated[int, Option("Held-out images to look at, as many of each environment.", at_least=2)] = (
        100
    )
    references: Annotated[int, Option("Of the bundle's, how many DeepSHAP compares with.", at_least=1)] = 50
    outputs: Annotated[tuple[str, ...], Option("Targets to explain, by comma; by default the first.")] = ()
    only: Annotated[
        tuple[str, ...], Option("Parts to do, by comma: look, why, strategies, trust; by default all.")
    ] = ()
    roi: RoiSpec = None
    store: Annotated[
        Path | None,
        Option(
            "Read predictions and explanations of all images from this store that explain --store made; what a store "
            "cannot tell is made of the --images that are looked at."
        ),
    ] = None
    objects: Annotated[
        str | None, Option("A COCO file with several categories; by default the ROI's if it is one.")
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class CureSettings:
    """What `shapsight cure` is asked to do; the baseline is always among the recipes.

    `reading` is how another dataset than a run's is read.
    """

    recipes: Annotated[
        tuple[str, ...],
        Option(
            "Recipes by comma, remedies of one joined by a plus; all for each remedy alone. Remedies: "
            f"{', '.join(REMEDY_NAMES)}.",
            flags=("--try",),
        ),
    ] = ("flip", "erase-scene", "swap-scene", "right-reasons")
    seeds: Annotated[int, Option("Trainings of each recipe and turn; three or more.", at_least=1)] = 3
    epochs: Annotated[int | None, Option("By default the run's.", at_least=1)] = None
    batch_size: Annotated[int | None, Option("By default the run's.", at_least=1)] = None
    image_size: Annotated[int | None, Option("Pixels squared; by default the run's.", at_least=16)] = None
    weights: Annotated[str | None, Option("imagenet, none, or a file; by default the run's.")] = None
    roi: RoiSpec = None
    scenes: Scenes = None
    mirrored: Annotated[
        tuple[str, ...], Option("flip: targets beside x whose sign a mirror image changes, by comma.")
    ] = ()
    strength: Annotated[
        float, Option("right-reasons: weight of the penalty; 1 suits targets in -1 to +1.", at_least=0)
    ] = 1.0
    references: Annotated[int, Option("Training images for DeepSHAP to compare with.", at_least=1)] = 16
    explain: Annotated[int, Option("Images explained in each unseen environment.", at_least=0)] = 4
    device: Device = "auto"
    reading: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class CompareSettings:
    """What `shapsight compare` is asked to do; `roi` is by default that of the first run that has one."""

    roi: RoiSpec = None
    explain: Annotated[int, Option("Images explained in each environment.", at_least=1)] = 6
    names: Annotated[
        tuple[str, ...], Option("What the two are called, by comma; by default as their folders.")
    ] = ()
    seed: Seed = 0
    device: Device = "auto"


@dataclass(frozen=True)
class DemoSettings:
    """What `shapsight demo` is asked to do."""

    quick: Annotated[
        bool, Option("The quick form, a minute: 96 pixels, a small network, one remedy; less certain.")
    ] = False
    full: Annotated[bool, Option("224 pixels and 20 epochs: about as long as a lunch.")] = False
    seed: Seed = 0
    device: Device = "auto"
