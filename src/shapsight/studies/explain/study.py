"""`shapsight explain`: explanations of some image files, as files, figures and a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from shapsight.attribution.explain import METHODS, EightBitModel, Method, explain
from shapsight.attribution.explanation import Detail, Explanation, detail
from shapsight.attribution.references import chosen_references
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.data.given_files import parsed_json, read_text
from shapsight.data.image_files import find_images, left_out_by_kind
from shapsight.data.images import cropped_square, decode_image
from shapsight.drawing.style import HEAT, see_through
from shapsight.errors import DataError, ExplainerError, ModelError
from shapsight.models.build import IMAGENET_CLASSES, build_classifier
from shapsight.models.bundle import Bundle, load_bundle, normalise
from shapsight.models.devices import chosen_device
from shapsight.models.references import ChosenReferences
from shapsight.studies.shared.narrator import Narrator, portion_of
from shapsight.studies.shared.run_folder import RunFolder, refuse_to_overwrite

TABLE = "explanations.csv"
SKIPPED = "skipped.csv"
COMPARING = ("deep", "gradient")  # the methods that need references
REFERENCES = 25  # of more in a folder, as many are chosen


@dataclass(frozen=True)
class ExplainSettings:
    """What `shapsight explain` was asked to do; see its help."""

    method: str = "partition"
    outputs: str = "top4"
    masker: str = "inpaint_telea"
    tree: str = "regions"
    contexts: str = "auto"
    max_evals: int = 500
    regions: str = "grid(4,4)"
    estimator: str = "exact"
    samples: int = 200
    references: Path | None = None
    references_drawn: bool = False
    arch: str | None = None
    weights: str = "imagenet"
    classes: Path | None = None
    as_probability: bool = False
    detail: str = "auto"
    cmap: str | None = None
    show_noise: bool = False
    image_size: int | None = None
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class Subject:
    """A model to be explained, with how it wants its images: squares of `size` pixels."""

    model: Bundle | EightBitModel
    size: int
    names: tuple[str, ...]
    is_bundle: bool

    def squares(self, pictures: Sequence[Any]) -> UInt8[Tensor, "images 3 size size"]:
        """Decoded pictures as the model was shown its own: a bundle's are stretched, a classifier's cropped."""
        if not self.is_bundle:
            return torch.stack([cropped_square(picture, self.size) for picture in pictures])
        resize = torch.nn.functional.interpolate
        tensors = [torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in pictures]
        return torch.cat(
            [
                resize(t, (self.size, self.size), mode="bilinear", antialias=True)
                if t.shape[2:] != (self.size, self.size)
                else t
                for t in tensors
            ]
        )


def explain_files(
    paths: Sequence[Path],
    out: Path,
    settings: ExplainSettings,
    *,
    narrator: Narrator,
    command: str = "explain",
    overwrite: bool = False,
) -> list[str]:
    """Explain image files and write explanations/, figures/ and a table into `out`; returns lines to show.

    Without `settings.arch` the first path is a run or bundle. Images that cannot be read are listed in skipped.csv.
    Raises `ShapsightError` for whatever a user can mend.
    """
    refuse_to_overwrite(out, overwrite)
    if settings.method not in METHODS:
        raise ExplainerError(f"--method {settings.method} is not one of {', '.join(METHODS)}")
    detail.check(settings.detail)
    see_through(settings.cmap, HEAT)
    subject, paths = _subject(paths, settings, narrator)
    files = _files(paths, narrator)
    outputs = _outputs(settings.outputs, subject.names)
    pictures, skipped = _decoded(files)
    if not pictures:
        raise DataError(f"no image can be read ({len(files)} given); the first: {skipped[0][1]}")
    images = subject.squares(list(pictures.values()))
    references = _references(subject, settings, narrator)
    run = RunFolder.start(out, command=command, settings=asdict(settings), overwrite=overwrite)
    try:
        for path, reason in skipped:
            narrator.note(f"{path} is left out: {reason}")
        rows = []
        names = _file_names(list(pictures))
        what = names[0] if len(names) == 1 else f"{len(names)} images"
        with narrator.step(f"Explaining {what}, {settings.method}") as report:
            for number, (path, name) in enumerate(zip(pictures, names, strict=True)):
                image, own = images[number : number + 1], portion_of(report, number, len(names))
                found = _explain(subject, image, outputs, settings, references, own)
                found.save(run.folder("explanations") / f"{name}.safetensors")
                figure = found.plot(
                    true_labels=[path.name],
                    unit=_unit(subject, settings),
                    detail=cast(Detail, settings.detail),
                    cmap=settings.cmap,
                    hide_noise=not settings.show_noise,
                )
                figure.savefig(run.folder("figures") / f"{name}.png", dpi=140)
                rows += _rows(path, name, found)
                report(number + 1, len(names))
        pd.DataFrame(rows).to_csv(run.path / TABLE, index=False)
        if skipped:
            _write_skipped(run.path / SKIPPED, skipped)
    except BaseException:
        run.discard()
        raise
    place = run.finish("done")
    return _lines(rows, place, skipped)


def _subject(
    paths: Sequence[Path], settings: ExplainSettings, narrator: Narrator
) -> tuple[Subject, Sequence[Path]]:
    device = chosen_device(settings.device)
    if settings.arch is None:
        if len(paths) < 2:
            raise ExplainerError(
                "say what to explain: shapsight explain RUN IMAGE..., or --arch NAME --weights FILE IMAGE..."
            )
        folder = paths[0] / "model" if (paths[0] / "model").is_dir() else paths[0]
        bundle = load_bundle(folder)
        bundle.model.to(device)
        return Subject(bundle, bundle.card.input_size, bundle.card.output_names, True), paths[1:]
    names = class_names(settings.classes)
    built = build_classifier(settings.arch, len(names) or IMAGENET_CLASSES, weights=settings.weights)
    for sentence in built.notes:
        narrator.note(sentence)
    network = nn.Sequential(built.model, nn.Softmax(1)) if settings.as_probability else built.model
    model = EightBitModel(network, built.mean, built.std).eval().to(device)
    return Subject(model, settings.image_size or built.size, names, False), paths


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


def _decoded(files: Sequence[Path]) -> tuple[dict[Path, Any], list[tuple[Path, str]]]:
    pictures, skipped = {}, []
    for path in files:
        try:
            pictures[path] = decode_image(path)
        except DataError as error:
            skipped.append((path, str(error)))
    return pictures, skipped


def _outputs(text: str, names: Sequence[str]) -> Outputs:
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


def _explain(
    subject: Subject,
    image: UInt8[Tensor, "1 3 size size"],
    outputs: Outputs,
    settings: ExplainSettings,
    references: ChosenReferences | None,
    report: Any,
) -> Explanation:
    options: dict[str, Any] = {"output_names": subject.names}
    if settings.method == "partition":
        contexts = int(settings.contexts) if settings.contexts in ("0", "1") else settings.contexts
        options |= {"max_evals": settings.max_evals, "tree": settings.tree, "contexts": contexts}
    if settings.method == "regions":
        options |= {"estimator": settings.estimator, "max_evals": settings.max_evals}
    if settings.method == "gradient":
        options |= {"samples": settings.samples}
    if settings.method != "deep":
        options |= {"seed": settings.seed}
    model, given = subject.model, image
    if settings.method in COMPARING and not isinstance(model, Bundle):
        given = normalise(image, model.mean, model.std)
        found = explain(
            model.model, given, _method(settings), outputs, references=references, progress=report, **options
        )
        return replace(found, images=image.float() / 255)
    return explain(
        model,
        given,
        _method(settings),
        outputs,
        references=references,
        masker=settings.masker,
        regions=settings.regions,
        progress=report,
        **options,
    )


def _method(settings: ExplainSettings) -> Method:
    return cast(Method, settings.method)


def _references(subject: Subject, settings: ExplainSettings, narrator: Narrator) -> ChosenReferences | None:
    """The images of --references, prepared, of many those that stand for all.

    None for a bundle's own, and for a method that compares with none.
    """
    if settings.method not in COMPARING:
        return None
    if settings.references is None:
        if subject.is_bundle:
            return None
        raise ExplainerError(
            f"--method {settings.method} compares with references: name a folder of images that stand for 'feature "
            "absent' with --references FOLDER, or use --method partition, which needs none"
        )
    pictures, skipped = _decoded(_files([settings.references], narrator))
    if not pictures:
        raise DataError(f"none of the images in {settings.references} can be read")
    for path, reason in skipped:
        narrator.note(f"{path} is left out of the references: {reason}")
    model, squares = subject.model, subject.squares(list(pictures.values()))
    if isinstance(model, Bundle):
        network, prepared = model.model, model.prepare(squares)
    else:
        network, prepared = model.model, normalise(squares, model.mean, model.std)
    if settings.references_drawn or len(squares) <= REFERENCES:
        return ChosenReferences.drawn(prepared)
    with narrator.step(f"Choosing {REFERENCES} of {len(squares)} references") as report:
        chosen = chosen_references(network, prepared, REFERENCES, seed=settings.seed, progress=report)
    narrator.note(
        f"{len(chosen)} of the {len(squares)} images in {settings.references} are compared with, chosen to stand for "
        "all; --references-drawn compares with all of them"
    )
    return chosen


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


def _unit(subject: Subject, settings: ExplainSettings) -> str:
    if subject.is_bundle:
        return "units of the output"
    return "probability" if settings.as_probability else "logit"


def _write_skipped(path: Path, skipped: Sequence[tuple[Path, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "reason"), *skipped])


def _lines(rows: Sequence[dict[str, Any]], place: Path, skipped: Sequence[Any]) -> list[str]:
    lines = []
    last = None
    for row in rows:
        if row["image"] != last:
            last = row["image"]
            lines.append(Path(last).name)
        lines.append(f"  {row['output']}: {row['prediction']:.4g} (base value {row['base_value']:.4g})")
    if skipped:
        lines.append(f"{len(skipped)} images were left out: {place / SKIPPED}")
    lines.append(f"Figures: {place / 'figures'}  Table: {place / TABLE}")
    return lines
