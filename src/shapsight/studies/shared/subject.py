"""What a study is about: a model, a dataset, and what is known of both, whoever made them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from shapsight.data.imported import imported
from shapsight.data.manifest import SPLITS, Manifest
from shapsight.errors import DataError, ModelError, RunError, ShapsightError
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.models.devices import AUTO, chosen_device
from shapsight.models.modes import in_eval_mode
from shapsight.studies.shared.found import Run, open_run
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.option import DataOptions
from shapsight.studies.shared.reading import arguments_of, read, refuse_options
from shapsight.studies.shared.run_folder import CARD, read_card
from shapsight.studies.tasks.task import task_of

READ = "manifest.parquet"
FOLLOWS = 0.95  # the correlation from which predictions follow the targets, on whatever scale
LARGER = 10.0  # so many times as large as any target is no prediction of it


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and the dataset that it is asked about.

        subject = subject_of("runs/lockers", None, DataOptions(), Narrator())
        subject = subject_of(bundle, photos, DataOptions(), Narrator())

    Attributes
        name: what it is called.
        settings: what its run was made with; empty where it is no run's.
        folder: of its run, or of the bundle.
        rois: regions of interest to take where none is given, the first first.
        trained_on: the files that it was trained on, as far as that is known.
        notes: what a reader should know of it.
    """

    name: str
    bundle: Bundle
    manifest: Manifest
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    trained_on: frozenset[str] = frozenset()
    rois: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


def subject_of(model: Any, data: Any, options: DataOptions, narrator: Narrator, *, seed: int = 0) -> Subject:
    """The model and the dataset that a study was given.

    `model`: a bundle, a run or its folder, a folder of a bundle, or "module:name" of a bundle or a function that makes
    one. `data`: a manifest, or what `read_dataset` reads, or None for a run's own; a folder with a saved manifest, such
    as a run, is that dataset.

    Another dataset than a run's is read as its own was, with `options` before that, all of it unseen. Raises a
    `ShapsightError` where there is no such model, the data hold other outputs, or nothing that it could be judged by.
    """
    name, bundle, folder, own = opened(model)
    settings = dict(own.settings) if own is not None else settings_in(folder)
    manifest = manifest_of(own, bundle, folder, settings, data, options, narrator, seed)
    manifest = _fitting(name, manifest, bundle)
    trained = own.manifest if own is not None else manifest
    files = files_of(trained.split("train"), trained)
    rois = (settings.get("roi"), manifest.roi)
    rois = rois if data is None else rois[::-1]  # what a run was made with is of its own images
    subject = Subject(name, bundle, manifest, settings, folder, files, rois)
    if own is None:
        subject = _with_splits(subject)
    for sentence in subject.notes:
        narrator.note(sentence)
    return subject


def refuse_stored(bundle: Bundle, study: str) -> None:
    """Raise `ModelError` for a model of bands or volumes: scenes are changed in pictures of red, green and blue."""
    if bundle.seen.is_stored:
        raise ModelError(
            f"{study} changes scenes of pictures in red, green and blue, and {bundle.name} takes images as they are "
            "stored: shapsight.evaluate(bundle, data) and shapsight.explain(bundle, images) take such models"
        )


def opened(model: Any) -> tuple[str, Bundle, Path | None, Run | None]:
    """The name of a model, the model, where it lies, and its run; see `subject_of`."""
    if isinstance(model, Bundle):
        return model.name, model, None, None
    if isinstance(model, Run):
        return model.folder.name, model.bundle, model.folder, model
    if not isinstance(model, str | os.PathLike):
        raise ModelError(
            f"a study takes a Bundle, a run or the folder of one, not a {type(model).__name__}: make one of a model of "
            'your own with shapsight.Bundle.wrap(model, transform, outputs=["x", "y"])'
        )
    path = Path(model)
    if is_onnx(model):
        return path.name, Bundle.wrap(path), None, None
    if not path.exists() and is_import_path(model):
        return str(model), _own_bundle(str(model)), None, None
    if (path / CARD).is_file() and (path / READ).is_file():
        run = open_run(path)
        return path.name, run.bundle, path, run
    inside = path / "model" if (path / "model").is_dir() else path
    if not (inside / "card.json").is_file():
        raise RunError(
            f"{path} is no run of shapsight: it holds no {CARD} and no model. Make one with shapsight debug DATA "
            "--out RUN"
        )
    return path.name, load_bundle(inside), path, None


def is_onnx(model: Any) -> bool:
    """Whether a model is named by an ONNX file, which is fed as it says itself."""
    return isinstance(model, str | os.PathLike) and Path(model).suffix == ".onnx"


def is_import_path(text: Any) -> bool:
    """`module:name`."""
    module, _, name = str(text).partition(":")
    return name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def own_object(text: str) -> Any:
    """What `module:name` is; importing runs the module's code. Raises `ModelError` where there is no such thing."""
    module, _, name = text.partition(":")
    try:
        return getattr(imported(module), name)
    except Exception as error:  # whatever the module's own code raises
        raise ModelError(
            f"{text!r} cannot be imported: {type(error).__name__}: {error}. Expected module:name"
        ) from error


def _own_bundle(text: str) -> Bundle:
    found = own_object(text)
    try:
        bundle = found() if callable(found) and not isinstance(found, Bundle) else found
    except ShapsightError:
        raise
    except Exception as error:
        raise ModelError(f"{text}() fails: {type(error).__name__}: {error}") from error
    if not isinstance(bundle, Bundle):
        raise ModelError(
            f"{text} gives a {type(bundle).__name__}, not a Bundle: return shapsight.Bundle.wrap(model, transform, "
            "outputs=[...])"
        )
    return bundle


def settings_in(folder: Path | None) -> dict[str, Any]:
    """What the run in a folder was made with; nothing where there is no run."""
    return dict(read_card(folder)["settings"]) if folder is not None and (folder / CARD).is_file() else {}


def manifest_of(
    own: Run | None,
    bundle: Bundle,
    folder: Path | None,
    settings: Mapping[str, Any],
    data: Any,
    options: DataOptions,
    narrator: Narrator,
    seed: int,
) -> Manifest:
    """The dataset that was given, or a run's own."""
    if isinstance(data, Manifest):
        refuse_options(options, "the data were read already")
        return data
    if data is None:
        if own is None and folder is None:
            raise DataError("say which images: a model that is no run of shapsight has no dataset of its own")
        return own.manifest if own is not None else Manifest.load(folder or "")
    if isinstance(data, str | os.PathLike) and (Path(data) / READ).is_file():
        refuse_options(options, f"{data} holds a dataset that was read already")
        return Manifest.load(data)
    if bundle.card.task == "targets":  # which no column of data holds
        return read(data, options, narrator, seed=seed, targets=[], for_training=False)
    changes = task_of(bundle.card).reading(bundle.card, arguments_of(options)["scales"])
    changes |= {"task": bundle.card.task, "for_training": False}
    return read(data, _as_before(settings, options), narrator, seed=seed, **changes)


def _as_before(settings: Mapping[str, Any], options: DataOptions) -> DataOptions:
    """How the run's own dataset was read, but for what is given now."""
    before = settings.get("reading")
    if not isinstance(before, dict):
        return options
    before = before | {"scale": tuple(before.get("scale", ()))}
    given = {name: value for name, value in asdict(options).items() if value != getattr(DataOptions(), name)}
    known = {name: value for name, value in before.items() if hasattr(DataOptions(), name)}
    return replace(DataOptions(**known), **{"hold_out": None, **given})


def _fitting(name: str, manifest: Manifest, bundle: Bundle) -> Manifest:
    """The dataset with the outputs of the model, in its order. Raises `DataError` where it has others, or none."""
    card = bundle.card
    if not manifest.has_targets:
        raise DataError(
            f"the data in {manifest.root} have no targets, so there is nothing to judge {name} by: give read_dataset "
            "targets= or label=. shapsight.explain needs none"
        )
    known = manifest.output_names
    if card.class_names and manifest.class_names and set(known) <= set(card.class_names):
        return replace(manifest, class_names=card.class_names)
    if not card.class_names and not manifest.class_names and set(card.output_names) <= set(known):
        return replace(manifest, targets=card.output_names)
    raise DataError(
        f"the model of {name} predicts {_some(card.output_names)}, the data hold {_some(known)}: give "
        "Bundle.wrap(..., outputs=) the names of the data's columns or classes, or read the data with those names"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _with_splits(subject: Subject) -> Subject:
    """What the splits of the data say was trained on, of which the model itself says nothing."""
    manifest = subject.manifest
    sizes = {name: len(manifest.rows(name)) for name in SPLITS}
    rows = manifest.split("train")
    if not manifest.train_on and len(rows):
        manifest = replace(manifest, train_on=tuple(sorted(rows["environment"].unique())))
    splits = ", ".join(f"{size} {name}" for name, size in sizes.items() if size)
    said = f"What {subject.name} was trained on is taken from the splits of the data: {splits}."
    if not len(rows):
        said = f"The data do not say what {subject.name} was trained on: all {len(manifest)} images count as unseen."
    if len(rows) == len(manifest):
        said += " Nothing is held out, so the errors flatter the model."
    return replace(subject, manifest=manifest, notes=(*subject.notes, said))


def files_of(rows: Any, manifest: Manifest) -> frozenset[str]:
    """Where the images of some rows lie: runs of the same folder know an image by its path in it, others by this."""
    root = manifest.root.resolve()
    return frozenset(str(root / path) for path in rows["path"])


@contextmanager
def on_device(bundle: Bundle, name: str) -> Iterator[None]:
    """The model on a device and in eval mode, afterwards as it was; a user's own stays where it is unless one is named.

    Whatever a study does with the network itself must not move the statistics of its batch normalisation.
    """
    before = bundle.device
    wanted = before if name == AUTO and bundle.is_borrowed else chosen_device(name)
    with in_eval_mode(bundle.model):
        if wanted != before:
            bundle.model.to(wanted)
        try:
            yield
        finally:
            if wanted != before:
                bundle.model.to(before)


def prediction_warnings(predictions: Any, manifest: Manifest) -> tuple[str, ...]:
    """Answers that are no numbers, and targets on another scale than what is said of them; also as warnings.

    They are on another scale where either is true, of all images: no prediction lies in the range of the targets, or
    they reach ten times as far from 0; or predictions follow the targets (correlation of 0.95 and more) and are yet
    further from them than their mean is, which a model of the same scale never is on what it was trained on.
    """
    said = []
    for column in ["confidence"] if manifest.class_names else [f"predicted_{n}" for n in manifest.targets]:
        lost = int((~np.isfinite(predictions[column].to_numpy(float))).sum())
        if lost:
            said.append(
                f"The model answers {lost} of {len(predictions)} images with NaN or infinite numbers ({column}), so "
                "its errors there are not known."
            )
    for name in () if manifest.class_names else manifest.targets:
        is_known = np.isfinite(predictions[name].to_numpy(float))
        truth, found = (
            predictions.loc[is_known, column].to_numpy(float) for column in (name, f"predicted_{name}")
        )
        if len(truth) >= 3 and _on_other_scales(truth, found):
            said.append(
                f"{name} seems to be on another scale than the model's output: the data hold {_range(truth)}, the "
                f"model says {_range(found)}. Give Bundle.wrap(..., scales=) or read the data in the model's unit."
            )
    for sentence in said:
        warnings.warn(sentence, UserWarning, stacklevel=4)
    return tuple(said)


def _on_other_scales(truth: np.ndarray, found: np.ndarray) -> bool:
    low, high = truth.min(), truth.max()
    if high == low or not np.isfinite(found).all():
        return False
    if (found.min() > high or found.max() < low) or np.abs(found).max() > LARGER * np.abs(truth).max():
        return True
    if np.ptp(found) == 0:
        return False
    follows = float(np.corrcoef(truth, found)[0, 1])
    return follows >= FOLLOWS and float(np.mean((found - truth) ** 2)) > float(truth.var())


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"
