"""`shapsight compare`: two models on the same images that neither was trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.diagnosis.paired import paired_change
from shapsight.errors import DataError
from shapsight.models.bundle import Bundle
from shapsight.models.devices import chosen_device
from shapsight.models.train import TrainingResult
from shapsight.studies.compare.page import Comparison, compare_page, sentences, summary
from shapsight.studies.shared.analysis import analyse, on_held_out
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.found import Place, Run
from shapsight.studies.shared.material import Material, roi_of
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.option import DataOptions
from shapsight.studies.shared.outcome import Outcome, save_outcome, save_table
from shapsight.studies.shared.references import with_references
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.sections import write_page
from shapsight.studies.shared.settings import CompareSettings, TrainingSettings
from shapsight.studies.shared.subject import Subject, on_device, prediction_warnings, subject_of


@study(CompareSettings)
def compare(
    asked: Asked[CompareSettings],
    first: Any,
    second: Any,
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
) -> Comparison:
    """Judge and explain two models on the same images that neither was trained on, side by side.

        found = shapsight.compare(before, after, photos)            # bundles
        found = shapsight.compare("runs/lockers", "runs/all")       # runs, on the images of the first
        found.table; found.report("compared.html")

    `first` and `second` are bundles, runs or their folders, or "module:name" of functions that make a bundle; `data` a
    manifest of `read_dataset` or what that reads, by default the first run's. Without `out` everything goes into a
    temporary folder that goes with what is returned. Raises a `ShapsightError` where no such image is left, or the
    models predict different things or see images of different sizes.
    """
    settings, narrator = asked.settings, asked.narrator
    if len(settings.names) not in (0, 2):
        raise DataError(f"names={','.join(settings.names)!r}: two models need two names")
    chosen_device(settings.device)  # a wrong one is said before any work is done
    one, two = _subjects(first, second, data, settings, narrator)
    held_out, notes = held_out_of_both(one, two)
    roi = roi_of(settings.roi, *one.rois, *two.rois)
    card = {
        "first": str(one.folder or one.name),
        "second": str(two.folder or two.name),
        "roi": roi and roi.spec,
        "seed": settings.seed,
    }
    place = Place.of(out, name="compared")
    folder = RunFolder.start(place.path, command=asked.command, settings=card, overwrite=overwrite)
    try:
        with on_device(one.bundle, settings.device), on_device(two.bundle, settings.device):
            both = _outcomes((one, two), settings, roi, held_out, narrator)
        change = paired_change(
            both[0].predictions, both[1].predictions, one.manifest.targets, seed=settings.seed
        )
        save_outcome(both[0], folder, "_first")
        save_outcome(both[1], folder, "_second")
        save_table(change, folder.path / "change")
        scales = (prediction_warnings(each.predictions, one.manifest) for each in both)
        all_notes = dict.fromkeys((*one.notes, *two.notes, *notes, *chain(*scales)))
        found = Comparison(
            place=place,
            first=both[0],
            second=both[1],
            table=change,
            notes=tuple(all_notes),
            folder_of_second=two.folder,
        )
        write_page(compare_page(found, card, command=asked.command, seconds=asked.seconds), folder)
    except BaseException:
        folder.discard()
        raise
    return replace(
        found,
        lines=tuple(summary(found, folder.finish("done"), asked.seconds)),
        headline=f"{both[0].name} and {both[1].name} on the same images",
        sentences=tuple(sentences(found)),
    )


def held_out_of_both(first: Subject, second: Subject) -> tuple[pd.Series[bool], list[str]]:
    """Which rows of the first one's table neither model was trained on, and what a reader should know of that.

    An image that the second one's dataset does not hold counts as not trained on. Raises `DataError` where no image is
    left.
    """
    manifest = first.manifest
    table, trained = manifest.table, first.trained_on | second.trained_on
    root = manifest.root.resolve()
    held_out = pd.Series([str(root / path) not in trained for path in table["path"]], index=table.index)
    if not held_out.any():
        raise DataError(
            f"every image of {first.folder or manifest.root} was trained on by one of the two models: nothing is left "
            "to compare them on"
        )
    missing = sorted(set(table["environment"]) - set(table.loc[held_out, "environment"]))
    notes = [f"No image of {', '.join(missing)} was held out of both models."] if missing else []
    return held_out, notes


def _subjects(
    first: Any, second: Any, data: Any, settings: CompareSettings, narrator: Narrator
) -> tuple[Subject, Subject]:
    """Both models with their datasets, that of the second being the first's where it has none of its own."""
    nothing = DataOptions()
    one = subject_of(first, data, nothing, narrator, seed=settings.seed)
    has_own = isinstance(second, Run) or (isinstance(second, str | os.PathLike) and Path(second).exists())
    same = None if data is None and has_own else one.manifest
    two = subject_of(second, same, nothing, narrator, seed=settings.seed)
    _check(one, two)
    return one, two


def _check(first: Subject, second: Subject) -> None:
    one, two = first.bundle, second.bundle
    if one.card.output_names != two.card.output_names:
        raise DataError(
            f"{first.name} predicts {', '.join(one.card.output_names)}, {second.name} predicts "
            f"{', '.join(two.card.output_names)}: they cannot be compared"
        )
    if one.seen.size != two.seen.size:
        sizes = [" × ".join(map(str, bundle.seen.size)) for bundle in (one, two)]
        raise DataError(
            f"{first.name} sees images of {sizes[0]} pixels, {second.name} of {sizes[1]}: their explanations cannot be "
            "laid side by side. Train both with the same --image-size"
        )
    for height, width in _sizes(first.manifest):
        if one.seen.frame(height, width) != two.seen.frame(height, width):
            raise DataError(
                f"{first.name} and {second.name} see other parts of an image of {height} × {width} pixels, so their "
                "explanations cannot be laid side by side: give both bundles transforms that crop alike"
            )


def _sizes(manifest: Manifest) -> list[tuple[int, int]]:
    """The sizes of the images, each once."""
    known = manifest.table[["height", "width"]].drop_duplicates()
    return [(int(height), int(width)) for height, width in known.itertuples(index=False)]


def _outcomes(
    subjects: tuple[Subject, Subject],
    settings: CompareSettings,
    roi: Roi | None,
    held_out: pd.Series[bool],
    narrator: Narrator,
) -> tuple[Outcome, Outcome]:
    """Both models judged on the first one's images; those to explain are chosen from the first one's predictions."""
    names = settings.names or _names(subjects)
    how = TrainingSettings(explain=settings.explain, seed=settings.seed)
    manifest, seen = subjects[0].manifest, subjects[0].bundle.seen
    # Only explained images need a region: those of all are not drawn.
    material = replace(Material.decoded(manifest, seen, narrator), roi=roi)
    first = _analysed(names[0], subjects[0], how, material, narrator, among=held_out)
    if subjects[1].bundle.seen != seen:
        material = replace(Material.decoded(manifest, subjects[1].bundle.seen, narrator), roi=roi)
    second = _analysed(names[1], subjects[1], how, material, narrator, explained=first.explained)
    return on_held_out(first, held_out), on_held_out(second, held_out)


def _analysed(
    name: str, subject: Subject, how: TrainingSettings, material: Material, narrator: Narrator, **more: Any
) -> Outcome:
    subject = with_references(
        replace(subject, manifest=material.manifest), material.images, narrator, seed=how.seed
    )
    return analyse(name, how, _result(subject.bundle), material, narrator, **more)


def _names(subjects: Sequence[Subject]) -> tuple[str, ...]:
    names = [Path(each.folder).resolve().name if each.folder else each.name for each in subjects]
    return tuple(names) if names[0] != names[1] else ("first", "second")


def _result(bundle: Bundle) -> TrainingResult:
    """A bundle that was made before, in the form of a training's result."""
    history = pd.DataFrame(columns=["epoch", "train_loss", "validation_loss"])
    return TrainingResult(bundle, history, int(bundle.card.training.get("best_epoch", 0)))
