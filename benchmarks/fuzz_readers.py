"""Small valid files of every kind that shapsight reads, and what reads them; used by fuzz.py."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import datasets
import numpy as np
import pandas as pd
import torch
from fuzz_mutations import mutated_text
from PIL import Image
from safetensors.torch import save_file

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.data.images import decode_image, inspect_images, load_images
from shapsight.data.manifest import Manifest
from shapsight.data.objects import object_masks
from shapsight.data.readers import read_dataset
from shapsight.data.roi import read_roi
from shapsight.errors import DataError, naming
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.models.card import Card
from shapsight.models.weights import read_state
from shapsight.studies.cure.trainer import trainer_of
from shapsight.studies.cure.trials import kept_trial, save_trial
from shapsight.studies.diagnose.findings import Findings, read_findings, write_findings
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.shared.explained_model import class_names
from shapsight.studies.shared.found import open_run
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import CureSettings

datasets.disable_progress_bars()
SIZE = 16
COUNT = 8  # images of a dataset
Changed = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One input: a folder of files of which some were changed, and where results may be written."""

    folder: Path
    out: Path
    changed: Changed
    rng: Random

    @property
    def first(self) -> Path:
        """The file that was changed, or the only one."""
        return self.folder / next(iter(self.changed), ".")


class Plain(Random):
    """Chooses the first of everything: an input that is read in the plainest way."""

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Reader:
    """What makes valid files in a folder, and what reads the folder after something in it was changed."""

    make: Callable[[Path], None]
    read: Callable[[Case], Any]
    which: str = "*"  # files that are changed


def _pixels(number: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def _save_images(folder: Path, count: int = COUNT) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number + 2}_{number + 5}_{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(_pixels(number)).save(folder / name)
    return names


# Images


def _make_images(folder: Path) -> None:
    rgb = Image.fromarray(_pixels(0))
    for suffix in ("bmp", "png", "jpg", "webp", "tif", "gif", "ppm", "avif", "jp2"):
        rgb.save(folder / f"rgb.{suffix}")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(folder / "turned.jpg", exif=exif)
    rgb.save(folder / "lzw.tif", compression="tiff_lzw")
    rgb.save(folder / "lines.jpg", progressive=True)
    grey = _pixels(1)[..., 0].astype(np.uint16)
    Image.fromarray(grey * 17).save(folder / "grey12.png")
    Image.fromarray(grey * 257).save(folder / "grey16.tif")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "fractions.tif")
    Image.fromarray(grey * 257).save(folder / "grey16.pgm")
    rgb.convert("P").save(folder / "palette.png", transparency=0)
    rgb.convert("RGBA").save(folder / "opacity.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    others = [Image.fromarray(_pixels(number)) for number in range(2)]
    rgb.save(folder / "several.gif", save_all=True, append_images=others)
    rgb.save(folder / "several.tif", save_all=True, append_images=others)
    import cv2

    cv2.imwrite(str(folder / "colour16.png"), _pixels(2).astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "colour.tiff"), _pixels(2).astype(np.float32) / 255)


def _read_image(case: Case) -> object:
    inspect_images(case.folder, list(case.changed))
    pixels = decode_image(case.first)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    if case.rng.random() < 0.3:
        photographs(case.folder, 8)
    return load_images(case.folder, list(case.changed), 8)


# Datasets

OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {"task": "classification"},
    {"task": "regression"},
    {"for_training": False},
    {"validation_share": 0.5, "test_share": 0.2},
    {"group": "block:2"},
    {"environment": "folder:1"},
)
OF_TABLES: tuple[dict[str, Any], ...] = (
    {"targets": ["steering"]},
    {"targets": ["x", "y"]},
    {"targets": ["steering", "speed"], "scales": {"steering": "0:1:rad", "speed": "half"}},
    {"label": "column:label"},
    {"label": "column:label", "class_names": ("cat", "dog")},
    {"group": "column:drive"},
    {"environment": "column:drive"},
    {"split": "column:split"},
    {"allow_outside": True},
    {"path_column": "path"},
)


def _read_dataset(source: Path, case: Case, *options: dict[str, Any], **more: Any) -> object:
    """Read, save, load and decode it, as `shapsight train` does."""
    manifest = read_dataset(source, **case.rng.choice((*OPTIONS, *options)), **more)
    saved = Manifest.load(manifest.save(case.out / "run").parent)
    assert len(saved) == len(manifest) > 0
    assert saved.targets == manifest.targets and saved.class_names == manifest.class_names
    values = saved.label_numbers() if saved.class_names else saved.target_values()
    assert len(values) == len(manifest) and bool(values.isfinite().all())
    if "roi" in manifest.table:
        read_roi("column:roi").mask(manifest.table.iloc[0], 8)
    images = load_images(manifest, list(manifest.table["path"]), 8)
    assert len(images) == len(manifest)
    return images


def _table(folder: Path) -> pd.DataFrame:
    names = _save_images(folder / "images")
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "path": [f"images/{name}" for name in names],
            "steering": rng.normal(size=COUNT).round(3),
            "speed": rng.integers(0, 30, COUNT),
            "x": rng.integers(0, SIZE, COUNT),
            "y": rng.integers(0, SIZE, COUNT),
            "label": ["cat", "dog"] * (COUNT // 2),
            "drive": ["a", "b"] * (COUNT // 2),
            "split": ["train"] * 5 + ["val"] * 2 + ["test"],
            "roi": ["below:4", "box:1,1,8,8"] * (COUNT // 2),
        }
    )


def _make_csv(folder: Path) -> None:
    table = _table(folder)
    table.to_csv(folder / "table.csv", index=False)
    table.drop(columns=["roi", "split", "label"]).to_csv(folder / "plain.csv", index=False)
    table.drop(columns=["roi", "x", "y"]).to_csv(folder / "tabs.tsv", index=False, sep="\t")
    table[["path", "label"]].to_csv(folder / "labels.csv", index=False)


def _make_parquet(folder: Path) -> None:
    table = _table(folder)
    table.to_parquet(folder / "table.parquet", index=False)
    table.drop(columns=["roi", "split", "label"]).to_parquet(folder / "plain.parquet", index=False)


def _make_json_lines(folder: Path) -> None:
    table = _table(folder)
    table.to_json(folder / "table.jsonl", orient="records", lines=True)
    table[["path", "steering"]].to_json(folder / "plain.jsonl", orient="records", lines=True)


def _read_table(case: Case) -> object:
    tables = sorted(case.folder.glob("*.*"))
    changed = [case.folder / name for name in case.changed if "/" not in name]
    return _read_dataset((changed or tables)[0], case, *OF_TABLES)


def _make_names(folder: Path) -> None:
    for name in ("room_1", "room_2"):
        _save_images(folder / name, 5)


def _read_names(case: Case) -> object:
    return _read_dataset(case.folder, case, {"train_on": "room_1"}, {"hold_out": ["room_2"]})


PATTERNS = (
    "{x}_{y}_{id}",
    "{x}_{y}_{}",
    "{steering}_{speed}_{group}",
    "{environment}/{x}_{y}_{id}.png",
    "{label}_{x}_{}",
)


def _read_pattern(case: Case) -> object:
    pattern = case.rng.choice(PATTERNS)
    for _ in range(case.rng.choice((0, 1, 2, 3))):
        pattern = mutated_text(pattern, case.rng)
    return _read_dataset(case.folder, case, pattern=pattern)


def _make_classes(folder: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            _save_images(folder / split / label, 3)


def _read_folder(case: Case) -> object:
    return _read_dataset(
        case.folder, case, {"label": "folder:2"}, {"split": "folder:1"}, {"class_names": ("cat", "dog")}
    )


def _make_idx(folder: Path) -> None:
    for split, is_zipped in (("train", False), ("t10k", True)):
        images = np.stack([_pixels(number)[..., 0] for number in range(COUNT)])
        labels = np.arange(COUNT, dtype=np.uint8) % 2
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = header + array.tobytes()
            name = f"{split}-{kind}-ubyte{'.gz' if is_zipped else ''}"
            (folder / name).write_bytes(gzip.compress(content) if is_zipped else content)


def _read_idx(case: Case) -> object:
    return _read_dataset(case.folder, case, {"class_names": ("zero", "one")})


def _make_hugging_face(folder: Path) -> None:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "steering": datasets.Value("float32"),
        }
    )
    rows = {
        "image": [Image.fromarray(_pixels(number)) for number in range(COUNT)],
        "label": [0, 1] * (COUNT // 2),
        "steering": [number / COUNT for number in range(COUNT)],
    }
    part = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk(str(folder))


def _read_hugging_face(case: Case) -> object:
    return _read_dataset(case.folder, case, {"targets": ["steering"]}, {"label": "column:label"})


def _make_tub(folder: Path) -> None:
    _save_images(folder / "images")
    names = sorted(path.name for path in (folder / "images").iterdir())
    records = [
        {
            "_index": number,
            "cam/image_array": name,
            "user/angle": number / 10 - 0.3,
            "user/throttle": 0.1 * (number % 3),
        }
        for number, name in enumerate(names)
    ]
    (folder / "catalog_0.catalog").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "manifest.json").write_text('["a"]\n["str"]\n{}\n{}\n{"deleted_indexes": [3]}')


# Annotations

ROW = {"path": "room_1/2_5_0.png", "width": SIZE, "height": SIZE}
POLYGON = [[1, 1], [12, 2], [10, 14.5]]


def _label_me() -> dict[str, Any]:
    def shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
        return {"label": kind, "points": points, "shape_type": kind, **more}

    shapes = [
        shape("polygon", POLYGON),
        shape("rectangle", [[1, 1], [5, 5]]),
        shape("circle", [[8, 8], [10, 8]]),
        shape("point", [[3, 3]]),
        shape("mask", [[1, 1], [2, 2]], mask=_mask()),
    ]
    return {"version": "5", "imagePath": "a.png", "imageWidth": SIZE, "imageHeight": SIZE, "shapes": shapes}


def _mask() -> str:
    written = io.BytesIO()
    Image.new("1", (2, 2), 1).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def _coco() -> dict[str, Any]:
    def of(kind: int, **more: Any) -> dict[str, Any]:
        return {"id": kind, "image_id": 1, "category_id": kind, "bbox": [1, 1, 5, 5], **more}

    compressed = _compressed()
    return {
        "images": [
            {"id": 1, "file_name": ROW["path"], "width": SIZE, "height": SIZE},
            {"id": 2, "file_name": "room_1/b.png", "width": SIZE, "height": SIZE},
        ],
        "categories": [{"id": 1, "name": "track"}, {"id": 2, "name": "chair"}, {"id": 3, "name": "lamp"}],
        "annotations": [
            of(1, segmentation=[[1, 1, 12, 2, 10, 14]]),
            of(2, segmentation={"counts": [20, 30, SIZE * SIZE - 50], "size": [SIZE, SIZE]}),
            of(3, segmentation={"counts": compressed, "size": [SIZE, SIZE]}),
            of(2),
        ],
    }


def _compressed() -> str:
    from pycocotools import mask

    filled = np.zeros((SIZE, SIZE), np.uint8, order="F")
    filled[3:9, 4:8] = 1
    text: str = mask.encode(filled)["counts"].decode()
    return text


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def _read_annotations(case: Case) -> object:
    """As a region of interest and as kinds of objects."""
    rows = pd.DataFrame([ROW])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # points and lines have no area
        masks = object_masks(case.first, rows, 8)
        return read_roi(case.first).mask(ROW, 8), masks


def _make_polygons(folder: Path) -> None:
    _write(folder / "one.json", POLYGON)
    _write(folder / "several.json", [POLYGON, [[0, 0], [4, 0], [4, 4]]])
    boxes = pd.DataFrame(
        [[ROW["path"], 1, 1, 9, 9.5, "track"]], columns="path left top right bottom category".split()
    )
    boxes.to_csv(folder / "boxes.csv", index=False)


def _make_masks(folder: Path) -> None:
    (folder / "room_1").mkdir()
    white = Image.fromarray(np.triu(np.full((SIZE, SIZE), 255, np.uint8)))
    white.save(folder / "room_1" / "2_5_0.png")
    white.save(folder / "room_1" / "b.png")
    _write(folder / "room_1" / "c.json", _label_me())


def _read_masks(case: Case) -> object:
    changed = next(iter(case.changed))
    row = {**ROW, "path": str(Path(changed).with_suffix(".jpg"))}
    if case.rng.random() < 0.3:
        return read_roi("column:roi").mask({**row, "roi": str(case.first)}, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return read_roi(case.folder).mask(row, 8)


# Models and results


def _bundle() -> Bundle:
    built = build_model("small_cnn", 2, weights="none")
    card = Card(
        "small_cnn",
        ("x", "speed"),
        {"x": "half widths", "speed": "km/h"},
        SIZE,
        built.mean,
        built.std,
        scales={"speed": (0.0, 30.0, "km/h")},
        training={"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "schedule": "constant", "warm_up": 0},
        metrics={"epoch": 1.0, "train_loss": 0.5},
    )
    from shapsight.data.scale import Scale
    from shapsight.models.rescaled import in_units

    model = in_units(built.model, [Scale(), Scale(0, 30, "km/h")])
    return Bundle(model, card, torch.from_numpy(np.stack([_pixels(n).transpose(2, 0, 1) for n in range(3)])))


def _make_bundle(folder: Path) -> None:
    _bundle().save(folder)


def _use_bundle(folder: Path) -> object:
    bundle = load_bundle(folder)
    size = bundle.card.input_size
    predicted = bundle.predict(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    assert predicted.shape == (1, len(bundle.card.output_names))
    return bundle.card.to_json()


def _make_weights(folder: Path) -> None:
    state = build_model("small_cnn", 2, weights="none").model.state_dict()
    torch.save(state, folder / "weights.pth")
    torch.save({"state_dict": state, "epoch": 3}, folder / "checkpoint.ckpt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, folder / "weights.safetensors")


def _read_weights(case: Case) -> object:
    read_state(case.first)
    return build_model("small_cnn", 2, weights=str(case.first))


def _make_explanation(folder: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 2, 3, SIZE, SIZE, generator=generator)
    explanation = Explanation(
        values=values,
        base_values=torch.zeros(2, 2),
        predictions=values.sum((2, 3, 4)),
        completeness_gap=torch.zeros(2, 2),
        output_index=torch.tensor([[0, 1], [1, 0]]),
        images=torch.rand(2, 3, SIZE, SIZE, generator=generator),
        output_names=("x", "y"),
        std_errors=values.abs(),
        method="DeepSHAP",
        settings={"references": 3},
    )
    explanation.save(folder / "whole.safetensors")
    explanation.save(folder / "half.safetensors", dtype="float16")
    numbers = torch.zeros(2, 2, 3)
    RegionValues(
        values=numbers,
        base_values=torch.zeros(2, 2),
        predictions=torch.zeros(2, 2),
        std_errors=numbers,
        labels=torch.zeros(2, SIZE, SIZE, dtype=torch.long),
        images=explanation.images,
        output_index=explanation.output_index,
        output_names=("x", "y"),
        evaluations=8,
    ).save(folder / "regions.safetensors")


def _read_explanation(case: Case) -> object:
    if next(iter(case.changed)).startswith("regions"):
        return RegionValues.load(case.first)
    found = Explanation.load(case.first)
    return repr(found), found.heatmap(), found.names(), found.save(case.out / "again.safetensors")


def _make_manifest(folder: Path) -> None:
    _make_names(folder / "data")
    read_dataset(folder / "data").save(folder)
    shutil.rmtree(folder / "data")


def _read_manifest(case: Case) -> object:
    manifest = Manifest.load(case.folder)
    parts = [manifest.split(name) for name in ("train", "validation", "test", "unseen")]
    return parts, manifest.target_values(), manifest.environments, manifest.save(case.out / "again")


def _make_run(folder: Path) -> None:
    _make_manifest(folder)
    _bundle().save(folder / "model")
    settings = {"seed": 0, "roi": None, "weights": "auto", "reading": {"validation_share": 0.2}}
    run = RunFolder(folder, folder, {"command": "train", "settings": settings, "status": "done"})
    run.write_card()


def _read_run(case: Case) -> object:
    from shapsight.data.turns import take_turns

    how = CureSettings(("flip",))
    trainer = trainer_of(open_run(case.folder), None, how, Narrator(quiet=True))
    with naming(case.folder):
        turns = take_turns(trainer.manifest.environments, trainer.manifest.train_on)
    return trainer.roi, trainer.budget(how, turns)


def _make_findings(folder: Path) -> None:
    table = pd.DataFrame({"environment": ["a", "b"], "error": [0.1, 0.2]})
    findings = Findings("look", {"errors": table}, LookFacts("x"), ("It looks there.",))
    write_findings(findings, folder / "look", "key", 1.0)
    save_trial(table, folder / "cell.parquet")


def _read_findings(case: Case) -> object:
    """What cannot be read is made again, so nothing is refused."""
    return read_findings(case.folder / "look", "key", LookFacts), kept_trial(case.folder / "cell.parquet")


def _make_class_names(folder: Path) -> None:
    (folder / "names.txt").write_text("cat\ndog\n")
    _write(folder / "names.json", ["cat", "dog"])


def _read_class_names(case: Case) -> object:
    if not case.first.exists():
        raise DataError(f"{case.first} is gone")
    return class_names(case.first)


READERS: dict[str, Reader] = {
    "images": Reader(_make_images, _read_image),
    "csv": Reader(_make_csv, _read_table),
    "parquet": Reader(_make_parquet, _read_table),
    "json lines": Reader(_make_json_lines, _read_table),
    "names": Reader(_make_names, _read_names),
    "patterns": Reader(_make_names, _read_pattern),
    "classes": Reader(_make_classes, _read_folder),
    "idx": Reader(_make_idx, _read_idx),
    "hugging face": Reader(_make_hugging_face, _read_hugging_face),
    "tub": Reader(_make_tub, lambda case: _read_dataset(case.folder, case)),
    "coco": Reader(lambda folder: _write(folder / "coco.json", _coco()), _read_annotations),
    "labelme": Reader(lambda folder: _write(folder / "label.json", _label_me()), _read_annotations),
    "polygons": Reader(_make_polygons, _read_annotations),
    "masks": Reader(_make_masks, _read_masks),
    "cards": Reader(_make_bundle, lambda case: _use_bundle(case.folder), "card.json"),
    "bundles": Reader(_make_bundle, lambda case: _use_bundle(case.folder), "*.safetensors"),
    "weights": Reader(_make_weights, _read_weights),
    "explanations": Reader(_make_explanation, _read_explanation),
    "manifests": Reader(_make_manifest, _read_manifest),
    "runs": Reader(_make_run, _read_run),
    "findings": Reader(_make_findings, _read_findings),
    "class names": Reader(_make_class_names, _read_class_names),
}
