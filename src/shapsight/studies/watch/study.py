"""`ShapCallback`: when a model is looked at while it is trained, that it is left as it was, and where numbers go."""

from __future__ import annotations

import dataclasses
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor, nn

from shapsight.data.framing import Framing, Stretched
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.data.remedies.picture import described
from shapsight.data.roi import Roi
from shapsight.errors import DataError, MissingDependency, ModelError, ShapsightError
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.models.modes import in_eval_mode
from shapsight.models.own_transform import OwnTransform
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.watch.watch import Watch, Watched

if TYPE_CHECKING:
    from shapsight.models.loop import Regression

try:
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import Callback
    from lightning.pytorch.utilities import rank_zero_info
    from lightning.pytorch.utilities.seed import isolate_rng
except ModuleNotFoundError as error:
    raise MissingDependency(
        "ShapCallback is a callback of Lightning, which is not installed: pip install 'shapsight[train]'"
    ) from error

Transform = Callable[[Image.Image], Any]
BundleOf = Callable[[Any], Bundle]
PROBED = 2  # images that a model is asked about before it is trained


class WatchCallback(Callback):
    """Looks at a model every so many epochs and after the last, and logs what a `Watch` finds.

    `bundle_of` gives the bundle of a LightningModule. The module is left exactly as it was, and so are all random
    numbers: a training that is watched ends with the same weights as one that is not.
    """

    def __init__(self, watch: Watch, bundle_of: BundleOf, every: int = 2) -> None:
        if every < 1:
            raise DataError(f"every={every}: a training is watched every 1 epoch or more")
        self.watch = watch
        self.bundle_of = bundle_of
        self.every = every
        self._seen = -1  # the last epoch that was looked at
        self._said: set[str] = set()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raise `ModelError` before any work is done where the module cannot be asked."""
        self._seen = -1
        for note in self.watch.notes:
            self._say(note)
        if not trainer.loggers:
            self._say("ShapCallback has nowhere to log to: give the Trainer a logger.")
        with as_it_was(pl_module):
            _check_answers(type(pl_module).__name__, self.bundle_of(pl_module), self.watch.images[:PROBED])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look, where it is time; what is found can be monitored by other callbacks."""
        is_last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if not is_last and (trainer.current_epoch + 1) % self.every:
            return
        self._seen = trainer.current_epoch
        found = self._look(trainer, pl_module) if trainer.is_global_zero else None
        if found is not None:
            pl_module.log_dict(found.scalars, on_step=False, on_epoch=True, rank_zero_only=True)
            self._log_figures(trainer, found)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what another callback, or a number of steps, made the last epoch."""
        last = trainer.current_epoch - 1
        if last < 0 or self._seen >= last or not trainer.is_global_zero:
            return
        found = self._look(trainer, pl_module)
        if found is not None:
            for logger in trainer.loggers:
                logger.log_metrics({**found.scalars, "epoch": last}, step=_step(trainer))
            self._log_figures(trainer, found)

    def _look(self, trainer: pl.Trainer, module: pl.LightningModule) -> Watched | None:
        """What the model is like now; None where it cannot answer, which is said and does not stop the training."""
        if not trainer.loggers:
            return None
        try:
            with as_it_was(module):
                found = self.watch.look(
                    self.bundle_of(module), with_figures=any(map(_draws, trainer.loggers))
                )
        except Exception as error:  # whatever it is, hours of training are worth more than a look
            kind = "" if isinstance(error, ShapsightError) else f"{type(error).__name__}: "
            self._say(f"Epoch {trainer.current_epoch} was not looked at: {kind}{error}", is_warning=True)
            return None
        for note in found.notes:
            self._say(note, is_warning=True)
        return found

    def _log_figures(self, trainer: pl.Trainer, found: Watched) -> None:
        for logger in trainer.loggers:
            draw = _draws(logger)
            if draw is None and self.watch.heatmaps:
                kind = type(logger).__name__
                self._say(f"{kind} keeps no pictures: heatmaps are for TensorBoard and W&B.")
            if draw is None:
                continue
            for environment, figure in found.figures.items():
                draw(f"heatmaps/{environment}", figure, _step(trainer))

    def _say(self, sentence: str, *, is_warning: bool = False) -> None:
        """Once."""
        if sentence not in self._said:
            self._said.add(sentence)
            if is_warning:
                warnings.warn(sentence, UserWarning, stacklevel=2)
            else:
                rank_zero_info(sentence)


class ShapCallback(WatchCallback):
    """A Lightning callback: while *your* model is trained it logs how much of it the scene decides.

        photos = shapsight.read_dataset("photos", for_training=False)
        watch = shapsight.ShapCallback(photos, every=2, roi="below:112", transform=my_transform)
        lightning.Trainer(max_epochs=10, logger=CSVLogger("logs"), callbacks=[watch]).fit(my_module, my_loader)

    Every so many epochs, and after the last, it logs to whatever loggers the Trainer has:

    - `mse/x/room_1` (squared target units) or `accuracy/room_1` (0 to 1): the error in each environment;
    - `scene_share/x/room_1`, 0 to 1: of what moves the output, how much comes from outside the region of interest: the
      mean absolute Shapley value of the scene over those of scene and region, exact, hidden behind the references;
    - `heatmaps/room_1`: DeepSHAP of a few images, to loggers that keep pictures (TensorBoard, W&B).

    It logs through the module, so `ModelCheckpoint(monitor="scene_share/x/room_1")` works. The module is left exactly
    as it was: training flags, gradients, buffers; random numbers go on as if nobody had looked.

    Args
        photos: a manifest, or what `read_dataset` reads. Of a manifest with splits the images to train on are left out,
            but for environments that have no others; say what your training does not see.
        every: epochs from one look to the next, 1 or more.
        roi: the region of interest, as `read_roi` takes it, by default the photos' own; without one, or with "none",
            only errors and heatmaps are logged.
        transform: how your module takes a PIL image, as `Bundle.wrap` takes it, without augmentation. None: float32 in
            [0, 1] at the stored size.
        images: explained in each environment, 2 or more, the same ones each time.
        heatmaps: how many of these are drawn, 0 for none.
        references: images that stand for "feature absent": a number, drawn from the training split where there is one,
            or uint8 images (K, 3, height, width) as the module sees them.
        outputs: targets of a regression that are explained; by default all. Of classes the predicted one is.
        output_names: of your module's outputs, in their order; by default the targets or classes of the photos.
        seed: of the choice of images and references.

    `module(images)` must give a tensor (images, outputs): logits, or targets in the units of the photos'. In
    distributed training the first process looks alone, so the whole model must be there (DDP; not FSDP).

    Raises `DataError` or `ModelError` for what does not fit, before the first step. What cannot be measured later,
    such as a model that says NaN, is a warning and stops no training. Source of the values: Shapley 1953.
    """

    def __init__(
        self,
        photos: Manifest | str | os.PathLike[str],
        every: int = 2,
        *,
        roi: str | os.PathLike[str] | Roi | Callable[[Any], Any] | None = None,
        transform: Transform | None = None,
        images: int = 8,
        heatmaps: int = 2,
        references: int | UInt8[Tensor, "references 3 side side"] = 25,
        outputs: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        manifest, columns = _named(photos, output_names)
        framing, colours = _framing(manifest, transform)

        def load(rows: np.ndarray) -> UInt8[Tensor, "rows 3 height width"]:
            return load_images(manifest, list(manifest.table["path"].iloc[rows]), framing)

        watch = Watch.of(
            manifest,
            load,
            framing,
            roi=roi_of(roi, manifest.roi),
            images=images,
            heatmaps=heatmaps,
            references=references,
            outputs=outputs,
            seed=seed,
        )

        def bundle_of(module: pl.LightningModule) -> Bundle:
            model = module if columns is None else _Columns(module, columns)
            card = _card(type(module).__name__, watch.manifest, framing.size[0], **colours)
            return Bundle(model, card, watch.references, framing=framing, is_borrowed=True)

        super().__init__(watch, bundle_of, every)


def watch_training(material: Material, every: int, *, arch: str, references: int, seed: int) -> WatchCallback:
    """For the networks that `fit` trains: the same, of images that are in memory already."""
    side = material.images.shape[-1]
    watch = Watch.of(
        material.manifest,
        lambda rows: material.images[torch.from_numpy(rows)],
        material.framing,
        roi=material.roi,
        references=references,
        seed=seed,
    )

    def bundle_of(module: Regression) -> Bundle:
        card = _card(arch, material.manifest, side, mean=module.mean, std=module.std)
        return Bundle(module.model, card, watch.references)

    return WatchCallback(watch, bundle_of, every)


def _card(arch: str, manifest: Manifest, side: int, **colours: Any) -> Card:
    return Card(
        arch=arch,
        output_names=manifest.output_names,
        output_scales={name: str(scale) for name, scale in manifest.scales.items()},
        input_size=side,
        task=manifest.task,
        class_names=manifest.class_names,
        **colours,
    )


def _check_answers(name: str, bundle: Bundle, images: UInt8[Tensor, "images 3 side side"]) -> None:
    """Raise `ModelError` where a module does not take the photos, or does not give an output for each name."""
    names = bundle.card.output_names
    try:
        with torch.no_grad(), in_eval_mode(bundle.model):
            found = bundle.model(bundle.prepare(images.to(bundle.device)))
    except ShapsightError:
        raise
    except Exception as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"{name} does not take the photos as `transform` gives them: {said}") from error
    if not isinstance(found, Tensor) or found.shape != (len(images), len(names)):
        given = described(found) if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ModelError(
            f"{name} gives {given} for {len(images)} images, where there are {len(names)} outputs: "
            f"{', '.join(names[:8])}. Its forward must give a tensor (images, outputs); output_names=[...] names them"
        )


def _step(trainer: pl.Trainer) -> int:
    """As Lightning counts what is logged at the end of an epoch."""
    return max(0, trainer.global_step - 1)


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Put back every training flag and all random numbers; explainers themselves leave gradients and buffers alone."""
    flags = {each: each.training for each in module.modules()}
    with isolate_rng():
        try:
            yield
        finally:
            for each, flag in flags.items():
                each.training = flag


class _Columns(nn.Module):
    """Some outputs of a module, in another order."""

    def __init__(self, module: nn.Module, columns: Sequence[int]) -> None:
        super().__init__()
        self.module = module
        self.columns = list(columns)

    def forward(self, images: Tensor) -> Float[Tensor, "images outputs"]:
        outputs: Tensor = self.module(images)
        return outputs[:, self.columns]


def _named(
    photos: Manifest | str | os.PathLike[str], output_names: Sequence[str] | None
) -> tuple[Manifest, list[int] | None]:
    """The photos, with the module's classes in its order; and which outputs their targets are, None for all."""
    manifest = photos if isinstance(photos, Manifest) else read_dataset(photos, for_training=False)
    if output_names is None or tuple(output_names) == manifest.output_names:
        return manifest, None
    names = tuple(output_names)
    missing = [name for name in manifest.output_names if name not in names]
    if missing:
        kind = "class" if manifest.class_names else "target"
        raise DataError(
            f"the photos have the {kind} {missing[0]!r}, which is none of output_names: {', '.join(names[:8])}"
        )
    if manifest.class_names:
        return dataclasses.replace(manifest, class_names=names), None
    return manifest, [names.index(name) for name in manifest.targets]


def _framing(manifest: Manifest, transform: Transform | None) -> tuple[Framing, dict[str, Any]]:
    """How photos are fed, and what that does to colours. Raises `DataError` where they need a transform."""
    sizes = sorted(set(zip(manifest.table["height"], manifest.table["width"], strict=True)))
    size = (int(sizes[0][0]), int(sizes[0][1])) if len(sizes) == 1 else None
    if transform is not None:
        own = OwnTransform.of(transform, size)
        return own, own.colours.of_card
    if size is None or size[0] != size[1]:
        raise DataError(
            f"the photos are not all squares of one size (there are {len(sizes)}, such as {sizes[0][0]} × "
            f"{sizes[0][1]}): give transform=, which makes of a PIL image what your module takes"
        )
    return Stretched(size[0]), {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def _draws(logger: Any) -> Callable[[str, Any, int], None] | None:
    """How a logger takes a figure: a name, the figure and the step; None where it keeps no pictures."""
    if hasattr(logger, "log_image"):  # Lightning's for W&B

        def as_image(name: str, figure: Any, step: int) -> None:
            file = io.BytesIO()
            figure.savefig(file, format="png")
            logger.log_image(name, [Image.open(file)], step=step)

        return as_image
    add_figure = getattr(logger.experiment, "add_figure", None)  # TensorBoard's
    if add_figure is None:
        return None
    return lambda name, figure, step: add_figure(name, figure, step, close=False)
