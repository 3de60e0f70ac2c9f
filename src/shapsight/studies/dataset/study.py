"""`shapsight explain --store`: a whole data set, into a store that can be stopped and goes on where it was."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from shapsight.attribution.explain import METHODS
from shapsight.attribution.targets.aimed import are_aimed, called, fixed_by
from shapsight.attribution.targets.spoken import spoken
from shapsight.data.framing import Framing
from shapsight.data.manifest import Manifest
from shapsight.data.roi import Roi
from shapsight.data.written_files import written
from shapsight.errors import DataError, ExplainerError, NoImagesError, SettingError
from shapsight.models.references import ChosenReferences
from shapsight.store.card import Card
from shapsight.store.encoding import check_kind
from shapsight.store.places import skipped_file
from shapsight.store.rows import read_rows
from shapsight.store.store import Store, open_store
from shapsight.store.writer import Writer
from shapsight.studies.dataset.job import Job
from shapsight.studies.dataset.with_ray import by_ray
from shapsight.studies.dataset.work import Done, Work
from shapsight.studies.dataset.workers import by_processes
from shapsight.studies.explain.study import outputs_of, references_of
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.explained_model import OPTIONS, ExplainedModel, model_of
from shapsight.studies.shared.found import Found, Place
from shapsight.studies.shared.material import roi_of
from shapsight.studies.shared.narrator import Narrator, duration
from shapsight.studies.shared.option import DataOptions, roi_text
from shapsight.studies.shared.reading import read
from shapsight.studies.shared.recorded import digest_of
from shapsight.studies.shared.settings import ExplainSettings
from shapsight.studies.shared.subject import files_of, manifest_of, on_device, opened, settings_in
from shapsight.studies.shared.words import count

PLACE_IN_MEMORY = re.compile(r" at 0x[0-9a-f]+")  # another one in each process


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ExplainedDataset(Found):
    """A data set's explanations: `.store` (see `open_store`), `.tables`, and `.skipped` with what could not be used."""

    store: Store
    skipped: pd.DataFrame

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`images` and `outputs` of the store, and `skipped`."""
        return {**self.store.tables, "skipped": self.skipped}


@study(ExplainSettings)
def explain_dataset(asked: Asked[ExplainSettings], model: Any, data: Any = None) -> ExplainedDataset:
    """Explain a whole data set into a Zarr store, which can be stopped at any time and goes on with the same call.

        found = ss.explain_dataset("runs/lockers", "photos", store="explanations.zarr", method="deep", outputs="x")
        found.store[10].plot()
        ss.open_store("explanations.zarr").select(environment="room_2")

    `model` is what `diagnose` takes, or None with `arch`; `data` a manifest, or what `read_dataset` reads, or None for
    a run's own, of which only held-out images are explained without `every`. Each image is explained once, whatever
    else stops, is killed or works on the same store; one whose picture changed is explained anew. An image that cannot
    be used is listed in `.skipped`, and tried again by the next call.

    Raises `StoreError` for a store that was begun with other settings, naming each that differs, and for a full disk;
    and `ShapsightError` for whatever else a user can mend.
    """
    settings, narrator = asked.settings, asked.narrator
    devices = settings.device.split(",")
    job = _job(replace(settings, device=devices[0]), model, data, narrator)
    writer = Writer.begin(job.store, job.card, job.paths)
    blocks = _share(sorted({writer.block_of(path) for path in job.paths}), settings.whole.shard)
    mine = _images_in(blocks, job, writer)
    title = f"Explaining {count(mine, 'image')} into {job.store.name}, {settings.method}"
    done: dict[int, Done] = {}
    with narrator.step(title, counted="images") as report:
        before = _finished(job, blocks, writer)
        report(before, mine)
        for each in _worked(job, blocks, devices):
            if isinstance(each, str):
                narrator.note(each)
                continue
            done[each.block] = each.after(done.get(each.block))
            report(min(before + sum(one.explained for one in done.values()), mine), mine)
    skipped = _skipped(job, list(done.values()))
    for sentence in dict.fromkeys(note for each in done.values() for note in each.notes):
        narrator.note(sentence)
    store = open_store(job.store)
    lines = tuple(_lines(list(done.values()), store, skipped, asked.seconds))
    place = Place(job.store)
    return ExplainedDataset(
        place=place, store=store, skipped=skipped, lines=lines, headline=lines[0], sentences=lines
    )


def explain_paths(
    paths: Sequence[Path], *, model: Any, settings: ExplainSettings, **told: Any
) -> ExplainedDataset:
    """`explain_dataset` of what stands on the command line: a run unless there is another model, then the data."""
    given: list[Any] = list(paths)
    if model is None and settings.arch is None:
        model = given.pop(0)
    if len(given) > 1:
        raise SettingError(
            f"--store takes one data set, not {len(given)}: name the folder or table that holds all of it"
        )
    found: ExplainedDataset = explain_dataset(model, *given, settings=settings, **told)
    return found


def refuse_without_store(settings: ExplainSettings) -> None:
    """Raise `SettingError` for options of a store where none is named."""
    usual = type(settings.whole)()
    given = [name for name, value in vars(settings.whole).items() if value != getattr(usual, name)]
    if given and settings.whole.store is None:
        flags = ", ".join("--all" if name == "every" else f"--{name}" for name in given)
        raise SettingError(f"{flags} is of whole data sets: add --store explanations.zarr, or leave it out")


def _worked(job: Job, blocks: Sequence[int], devices: Sequence[str]) -> Iterator[Done | str]:
    """The work on some blocks, by this process or by several; as many as there are devices at least."""
    whole = job.settings.whole
    workers = whole.workers or 1
    if whole.ray is not None:
        yield from by_ray(job, blocks, whole.ray, whole.workers)
    elif max(workers, len(devices)) > 1:
        yield from by_processes(job, blocks, devices, max(workers, len(devices)))
    else:
        with on_device(job.model.bundle, devices[0]):
            yield from Work(job).on(blocks)


def _job(settings: ExplainSettings, model: Any, data: Any, narrator: Narrator) -> Job:
    whole = settings.whole
    if whole.store is None:
        raise SettingError("explain_dataset needs store=, such as store='explanations.zarr'")
    if settings.method not in METHODS:
        raise ExplainerError(f"--method {settings.method} is not one of {', '.join(METHODS)}")
    kind = "light" if whole.light else "full"
    check_kind(kind, whole.dtype)
    explained, manifest, rois, known = _subject(model, data, settings, narrator)
    roi = roi_of(whole.roi, *rois)
    outputs: Any = list(map(spoken, settings.target)) or outputs_of(settings.outputs, explained.names)
    if explained.bundle.card.task == "targets" and not are_aimed(outputs):
        raise SettingError(
            f"{explained.bundle.name} answers with more than a row an image: say what of it is explained with "
            "--target, such as mask(road, road.png)"
        )
    _refuse_unfitting(explained.bundle.seen, manifest, roi)
    with on_device(explained.bundle, settings.device):
        references = references_of(explained, settings, narrator)
        card = _card(explained, references, outputs, settings, kind, roi, str(manifest.root.resolve()))
    paths = _chosen(manifest, known, settings, narrator)
    return Job(explained, manifest, paths, outputs, references, settings, roi, card, whole.store)


def _subject(
    model: Any, data: Any, settings: ExplainSettings, narrator: Narrator
) -> tuple[ExplainedModel, Manifest, tuple[Any, ...], frozenset[str]]:
    """The model, the data, regions of interest where none is given, and the files that it was trained on."""
    own, folder = None, None
    if settings.arch is not None:
        explained, _ = model_of(None, (), settings, narrator)
    else:
        _, bundle, folder, own = opened(model)
        explained = ExplainedModel(bundle, bundle.card.output_names, "units of the output")
    before = dict(own.settings) if own is not None else settings_in(folder)
    try:
        manifest = manifest_of(
            own, explained.bundle, folder, before, data, DataOptions(), narrator, settings.seed
        )
    except DataError as error:
        has_none = isinstance(error, NoImagesError)  # or cannot be read: asking again would say the same
        if has_none or data is None or isinstance(data, Manifest):
            raise
        # Explaining needs no targets.
        manifest = read(data, DataOptions(), narrator, targets=[], for_training=False)
        why = str(error).partition(". Expected")[0]
        narrator.note(f"Explained without errors, since no targets can be read: {why}")
    trained = own.manifest if own is not None else None
    known = frozenset() if trained is None else files_of(trained.split("train"), trained)
    rois = (before.get("roi"), manifest.roi)
    return explained, manifest, rois if data is None else rois[::-1], known


def _refuse_unfitting(seen: Framing, manifest: Manifest, roi: Roi | None) -> None:
    """Raise `DataError` for other bands than the model takes, and a region of what is stored that cannot be placed."""
    if not seen.is_stored:
        return
    bands, has_own = manifest.table.get("bands"), seen.is_own_code
    if bands is not None and not has_own and (bands != seen.channels).any():
        raise DataError(
            f"the images in {manifest.root} hold {bands.mode()[0]} bands, and the model takes {seen.channels}: give "
            "Bundle.wrap a transform that picks or makes these, or name other data"
        )
    if roi is not None and (
        len(seen.size) > 2 or roi.mask(manifest.table.to_dict("records")[0], seen).shape != seen.size
    ):
        raise DataError(
            f"a region of interest ({roi}) is of the pixels of a file, and the model takes "
            f"{' × '.join(map(str, seen.size))}: explain without --roi, and sum over regions afterwards with "
            "shapsight.open_store(...)[i].parts(masks)"
        )


def _chosen(
    manifest: Manifest, trained: frozenset[str], settings: ExplainSettings, narrator: Narrator
) -> list[str]:
    """Which images: all but those that the model was trained on, or all; the first ones up to the limit."""
    paths = list(manifest.table["path"])
    if trained and not settings.whole.every:
        root = manifest.root.resolve()
        held_out = [path for path in paths if str(root / path) not in trained]
        if left := len(paths) - len(held_out):
            narrator.note(
                f"{count(left, 'image')} that the model was trained on are left out; --all takes them, too"
            )
        paths = held_out
    if not paths:
        raise DataError(
            f"there is no image to explain in {manifest.root}; with --all those of the training count, too"
        )
    return paths[: settings.whole.limit]


def _card(
    model: ExplainedModel,
    references: ChosenReferences | None,
    outputs: Any,
    settings: ExplainSettings,
    kind: str,
    roi: Any,
    root: str,
) -> Card:
    """All that values depend on beside the image."""
    bundle = model.bundle
    used = {name: getattr(settings, name) for name in OPTIONS[settings.method]}
    if settings.method in ("partition", "regions"):
        used["masker"] = settings.masker
    if settings.method == "regions":
        used["regions"] = settings.regions
    if settings.method in ("deep", "gradient"):
        used["references"] = digest_of(references or bundle.prepared_references())
    used |= {
        "outputs": settings.outputs,
        "model": bundle.fingerprint,
        "roi": roi_text(roi),
        "input": asdict(bundle.card).get("input_size"),
        "seen": PLACE_IN_MEMORY.sub("", str(bundle.seen)),
    }
    names = model.names
    if settings.target:
        names = called(outputs)
        used |= {"outputs": None, "target": list(settings.target), "target_content": fixed_by(outputs)}
    if settings.arch is not None:
        used["as_probability"] = settings.as_probability
    return Card(settings.method, names, used, kind, settings.whole.dtype, bundle.name, root)


def _share(blocks: Sequence[int], shard: str | None) -> list[int]:
    """The blocks of one job of several: every eighth from the third on for 3/8."""
    if shard is None:
        return list(blocks)
    number, _, jobs = shard.partition("/")
    if not (number.isdecimal() and jobs.isdecimal() and 1 <= int(number) <= int(jobs)):
        raise SettingError(f"--shard {shard} is not NUMBER/JOBS: the third of eight is 3/8")
    return list(blocks[int(number) - 1 :: int(jobs)])


def _finished(job: Job, blocks: Sequence[int], writer: Writer) -> int:
    """How many of the images that are wanted are finished."""
    mine, wanted = set(blocks), set(job.paths)
    return sum(path in wanted and writer.block_of(path) in mine for path in read_rows(job.store)["path"])


def _images_in(blocks: Sequence[int], job: Job, writer: Writer) -> int:
    mine = set(blocks)
    return sum(writer.block_of(path) in mine for path in job.paths)


def _skipped(job: Job, done: Sequence[Done]) -> pd.DataFrame:
    """What could not be used, also in the store's skipped.csv."""
    failed = {path: reason for each in done for path, reason in each.failed.items()}
    found = pd.DataFrame(failed.items(), columns=["path", "reason"])
    found = pd.concat([job.manifest.skipped, found], ignore_index=True)
    with written(skipped_file(job.store)) as part:
        found.to_csv(part, index=False)
    return found


def _lines(done: Sequence[Done], store: Store, skipped: pd.DataFrame, seconds: float) -> Iterator[str]:
    explained = sum(each.explained for each in done)
    known = sum(each.known for each in done)
    changed = [path for each in done for path in each.changed]
    speed = f", {explained / seconds:.3g} images/s with reading and starting" if explained and seconds else ""
    yield f"{count(explained, 'image')} explained in {duration(seconds)}{speed}; {len(store)} are in {store.path}"
    if known:
        yield f"{known} were finished before"
    if changed:
        yield f"{count(len(changed), 'image')} had changed and were explained anew: {', '.join(changed[:4])}"
    if len(skipped):
        yield f"{count(len(skipped), 'image')} could not be used: {skipped_file(store.path)}"
    if store.card.dtype == "float16" and len(store):
        error = store.images["stored_error"].max()
        yield f"values are off by up to {error:.1e} of the largest of their image (float16)"
    yield f"open it with shapsight.open_store({os.fspath(store.path)!r})"
