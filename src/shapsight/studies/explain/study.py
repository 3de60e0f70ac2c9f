"""`shapsight explain`: explanations of some image files, as files, figures and a table."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from shapsight.attribution.explain import COMPARING, METHODS
from shapsight.attribution.explanation import Detail, Explanation, detail
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.attribution.targets.aimed import are_aimed, called
from shapsight.attribution.targets.spoken import spoken
from shapsight.data.image_files import find_images, left_out_by_kind
from shapsight.data.images import decode_image
from shapsight.data.stored import read_stored
from shapsight.drawing.style import HEAT, see_through
from shapsight.errors import DataError, ExplainerError, SettingError, naming
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences
from shapsight.studies.shared.asked import Asked, study
from shapsight.studies.shared.explained_model import ExplainedModel, model_of, placed
from shapsight.studies.shared.found import Found, Place
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.run_folder import RunFolder, refuse_to_overwrite
from shapsight.studies.shared.settings import ExplainSettings
from shapsight.studies.shared.subject import on_device
from shapsight.studies.shared.words import count

TABLE = "explanations.csv"
SKIPPED = "skipped.csv"
REFERENCES = 25  # of more in a folder, as many are chosen


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Explained(Found):
    """Explanations of some files: `.table` (a row for each image and output), `.figures`, `.folder` with all."""

    table: pd.DataFrame

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """`explanations`."""
        return {"explanations": self.table}


@study(ExplainSettings)
def explain_files(
    asked: Asked[ExplainSettings],
    paths: Sequence[Path],
    out: str | os.PathLike[str] | None = None,
    *,
    model: Any = None,
    overwrite: bool = False,
) -> Explained:
    """Explain image files and write explanations/, figures/ and a table into `out`.

    Without `model` (as `diagnose` takes it) and `arch` the first path is a run or bundle. Images that cannot be read
    are listed in skipped.csv. Raises `ShapsightError` for whatever a user can mend.
    """
    settings, narrator = asked.settings, asked.narrator
    if settings.whole.store is not None:
        raise SettingError(
            "explain_files explains some files; a store takes shapsight.explain_dataset(model, data, store=...)"
        )
    place = Place.of(out, name="explained")
    refuse_to_overwrite(place.path, overwrite)
    if settings.method not in METHODS:
        raise ExplainerError(f"--method {settings.method} is not one of {', '.join(METHODS)}")
    detail.check(settings.detail)
    see_through(settings.cmap, HEAT)
    explained, paths = model_of(model, paths, settings, narrator)
    files = _files(paths, narrator)
    outputs: Any = list(map(spoken, settings.target)) or outputs_of(settings.outputs, explained.names)
    pictures, skipped = _decoded(files, explained.bundle)
    if not pictures:
        raise DataError(
            f"no image can be read ({len(files)} given); the first: {next(iter(skipped.values()))}"
        )
    with on_device(explained.bundle, settings.device):
        references = references_of(explained, settings, narrator)
        run = RunFolder.start(place.path, command=asked.command, settings=asked.written, overwrite=overwrite)
        try:
            for path, reason in skipped.items():
                narrator.note(f"{path} is left out: {reason}")
            table = _explain(pictures, explained, outputs, references, settings, run, narrator)
            table.to_csv(run.path / TABLE, index=False)
            if skipped:
                reasons = pd.DataFrame(skipped.items(), columns=["path", "reason"])
                reasons.to_csv(run.path / SKIPPED, index=False)
        except BaseException:
            run.discard()
            raise
    lines = tuple(_lines(table, run.finish("done"), len(skipped)))
    headline = count(table["image"].nunique(), "image") + " explained"
    return Explained(place=place, table=table, lines=lines, headline=headline, sentences=lines)


def _explain(
    pictures: Mapping[Path, Any],
    model: ExplainedModel,
    outputs: Outputs,
    references: ChosenReferences | None,
    settings: ExplainSettings,
    run: RunFolder,
    narrator: Narrator,
) -> pd.DataFrame:
    """A row for each image and output; explanations and figures are written as they are made."""
    images, names, rows = model.bundle.pictures(list(pictures.values())), _file_names(list(pictures)), []
    what = names[0] if len(names) == 1 else f"{len(names)} images"
    with narrator.step(f"Explaining {what}, {settings.method}") as report:
        for number, (path, name) in enumerate(zip(pictures, names, strict=True)):
            own = portion_of(report, number, len(names))
            with naming(path.name):
                aimed = placed(outputs, pictures[path].shape[:2], model.bundle.seen)
                found = model.explain(images[number : number + 1], aimed, settings, references, own)
            if are_aimed(outputs):  # called as the user places them
                found = dataclasses.replace(found, output_names=called(outputs))
            found.save(run.folder("explanations") / f"{name}.safetensors")
            figure = found.plot(
                true_labels=[path.name],
                unit=model.unit,
                detail=cast(Detail, settings.detail),
                cmap=settings.cmap,
                hide_noise=not settings.show_noise,
            )
            figure.savefig(run.folder("figures") / f"{name}.png", dpi=140)
            if number == 0 and "tokens" in found.settings:
                narrator.note(f"Tokens: {found.settings['tokens']}.")
            rows += _rows(path, name, found)
            report(number + 1, len(names))
    return pd.DataFrame(rows)


def _files(paths: Sequence[Path], narrator: Narrator) -> list[Path]:
    """The images that paths name, those in folders by the rule that holds for datasets."""
    files: list[Path] = []
    left_out = Counter[str]()
    for path in paths:
        if path.is_dir():
            inside, others = find_images(path)
            if not inside:
                only = f" (only {left_out_by_kind(others)})" if others else ""
                raise DataError(f"{path} holds no images{only}")
            files += [path / name for name in inside]
            left_out += others
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"there is no {path}")
    if not files:
        raise DataError("name at least one image, or a folder of images")
    if left_out:
        narrator.note(f"Files that are no images were passed over: {left_out_by_kind(left_out)}.")
    return files


def _decoded(files: Sequence[Path], bundle: Bundle) -> tuple[dict[Path, Any], dict[Path, str]]:
    """The pictures, and why some cannot be read."""
    pictures, skipped = {}, {}
    for path in files:
        try:
            stored = bundle.seen.is_stored
            pictures[path] = read_stored(path, len(bundle.seen.size)) if stored else decode_image(path)
        except DataError as error:
            skipped[path] = str(error)
    return pictures, skipped


def outputs_of(text: str, names: Sequence[str]) -> Outputs:
    """Names and numbers by comma, `top4` or `all`; what is a name is never taken for anything else."""
    if text == "all" and text not in names:
        return None
    if text.startswith("top") and text[3:].isdigit() and text not in names:
        return TopK(int(text[3:]))
    parts = text.split(",")
    chosen: list[int | str] = []
    while parts:
        # A name may hold commas itself, such as ImageNet's "tench, Tinca tinca": the longest one counts.
        starts = [",".join(parts[:count]).strip() for count in range(len(parts), 0, -1)]
        name = next((start for start in starts if start in names), starts[-1])
        parts = parts[name.count(",") + 1 :]
        chosen.append(int(name) if name not in names and name.lstrip("-").isdecimal() else name)
    return chosen


def references_of(
    model: ExplainedModel, settings: ExplainSettings, narrator: Narrator
) -> ChosenReferences | None:
    """The images of --references, of many those that stand for all.

    None for a bundle's own, and for a method that compares with none.
    """
    if settings.method not in COMPARING or (settings.references is None and settings.arch is None):
        return None
    if settings.references is None:
        raise ExplainerError(
            f"--method {settings.method} compares with references: name a folder of images that stand for 'feature "
            "absent' with --references FOLDER, or use --method partition, which needs none"
        )
    pictures, skipped = _decoded(_files([settings.references], narrator), model.bundle)
    if not pictures:
        raise DataError(f"none of the images in {settings.references} can be read")
    for path, reason in skipped.items():
        narrator.note(f"{path} is left out of the references: {reason}")
    return model.chosen(model.bundle.pictures(list(pictures.values())), REFERENCES, settings, narrator)


def _file_names(paths: Sequence[Path]) -> list[str]:
    """A name for each image's files; those of the same name in several folders get a number."""
    seen: dict[str, int] = {}
    names = []
    for path in paths:
        seen[path.stem] = seen.get(path.stem, 0) + 1
        names.append(path.stem if seen[path.stem] == 1 else f"{path.stem}_{seen[path.stem]}")
    return names


def _rows(path: Path, name: str, found: Explanation) -> list[dict[str, Any]]:
    rows = []
    for column in range(found.values.shape[1]):
        row = {
            "image": str(path),
            "output": found.name_of(0, column),
            "output_index": int(found.output_index[0, column]),
            "prediction": float(found.predictions[0, column]),
            "base_value": float(found.base_values[0, column]),
            "completeness_gap": float(found.completeness_gap[0, column]),
            "method": found.method,
            "explanation": f"explanations/{name}.safetensors",
            "figure": f"figures/{name}.png",
        }
        if found.unresolved is not None:
            row["unresolved"] = float(found.unresolved[0, column].abs().sum())
        rows.append(row)
    return rows


def _lines(table: pd.DataFrame, place: Path, skipped: int) -> list[str]:
    lines = []
    for image, rows in table.groupby("image", sort=False):
        lines.append(Path(str(image)).name)
        for row in rows.to_dict("records"):
            lines.append(f"  {row['output']}: {row['prediction']:.4g} (base value {row['base_value']:.4g})")
    if skipped:
        lines.append(f"{skipped} images were left out: {place / SKIPPED}")
    lines.append(f"Figures: {place / 'figures'}  Table: {place / TABLE}")
    return lines
