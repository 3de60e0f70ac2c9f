"""Files that are not what their name says: each kind that the fuzzing bench found ends in an error that names it."""

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from shapsight import Explanation, load_bundle, read_dataset
from shapsight.attribution.explanation.region_values import RegionValues
from shapsight.data.images import decode_image, inspect_images, load_images
from shapsight.data.manifest import Manifest
from shapsight.data.objects import object_masks
from shapsight.data.roi import read_roi
from shapsight.errors import DataError, ExplainerError, ModelError, RunError, ShapsightError
from shapsight.models.build import build_model
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.models.plan import TrainingPlan
from shapsight.models.train import fit
from shapsight.studies.cure.trainer import trainer_of
from shapsight.studies.cure.trials import kept_trial, save_trial
from shapsight.studies.diagnose.explanations import StoredExplanations
from shapsight.studies.diagnose.findings import Findings, read_findings, write_findings
from shapsight.studies.diagnose.look.facts import LookFacts
from shapsight.studies.shared.explained_model import class_names
from shapsight.studies.shared.found import open_run
from shapsight.studies.shared.narrator import Narrator
from shapsight.studies.shared.run_folder import RunFolder
from shapsight.studies.shared.settings import CureSettings

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ROW = {"path": "room/a.png", "width": 16, "height": 16}
DEEP = "[" * 100_000 + "]" * 100_000


def picture(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def table(tmp_path):
    rows = [{"path": f"{n}.png", "steering": n / 10, "kind": "ab"[n % 2]} for n in range(6)]
    for number, row in enumerate(rows):
        picture(tmp_path / row["path"], number)
    return pd.DataFrame(rows)


@pytest.fixture
def bundle(tmp_path):
    built = build_model("small_cnn", 2, weights="none")
    card = Card("small_cnn", ("x", "y"), {}, 16, built.mean, built.std)
    references = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    return Bundle(built.model, card, references).save(tmp_path / "run" / "model")


def changed(path: Path, **fields) -> None:
    """A JSON object with other values."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: Path(path).symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_what_never_ends_is_not_opened(tmp_path, make):
    picture(tmp_path / "3_4_a.png")
    endless = tmp_path / "5_6_b.png"
    make(endless)
    with pytest.raises(DataError, match=r"5_6_b.png .*a pipe, a socket or a device"):
        decode_image(endless)
    assert "a device" in (inspect_images(tmp_path, [endless.name])[0].reason or "")
    assert list(read_dataset(tmp_path, for_training=False).skipped["path"]) == ["5_6_b.png"]
    other = endless.rename(tmp_path / "a.json")
    for read in (read_roi, class_names, Explanation.load):
        with pytest.raises(ShapsightError, match=r"a\.json"):
            read(other)


@pytest.mark.parametrize(
    "given", ["loop.png", "a\0b.png", "x" * 5000 + ".png"], ids=["link to itself", "null", "long"]
)
def test_a_path_under_which_nothing_can_be_is_left_out_with_its_reason(tmp_path, table, given):
    (tmp_path / "loop.png").symlink_to("loop.png")
    table.loc[0, "path"] = given
    table.to_json(tmp_path / "table.jsonl", orient="records", lines=True)
    manifest = read_dataset(tmp_path / "table.jsonl")
    assert len(manifest) == 5
    assert list(manifest.skipped["path"]) == [given]


def test_a_region_in_a_column_that_no_file_can_be_called_is_refused_with_its_image():
    for text in ("x" * 5000, "a\0b", "box:1,2,nan,4", "box:1,2,1e400,4"):
        with pytest.raises(DataError, match=r"room/a\.png"):
            read_roi("column:roi").mask({**ROW, "roi": text})


def test_a_parquet_table_of_categories_is_read_like_one_of_texts(tmp_path, table):
    table.to_parquet(tmp_path / "plain.parquet")
    table.astype({"path": "category", "kind": "category"}).to_parquet(tmp_path / "categories.parquet")
    options = {"label": "column:kind", "environment": "column:kind"}
    plain, other = (read_dataset(tmp_path / f"{name}.parquet", **options) for name in ("plain", "categories"))
    pd.testing.assert_frame_equal(plain.table, other.table)


def test_a_target_that_float32_cannot_hold_is_left_out(tmp_path, table):
    table.loc[2, "steering"] = 1e300
    table.to_csv(tmp_path / "table.csv", index=False)
    manifest = read_dataset(tmp_path / "table.csv", targets=["steering"])
    assert list(manifest.skipped["path"]) == ["2.png"]
    assert bool(manifest.target_values().isfinite().all())


def test_labels_of_any_kind_in_a_regression_can_be_saved_and_come_back(tmp_path, table):
    table.assign(label=[1, {"a": 1}, "x", None, 2, 3]).to_json(
        tmp_path / "t.jsonl", orient="records", lines=True
    )
    manifest = read_dataset(tmp_path / "t.jsonl", task="regression", targets=["steering"])
    assert len(Manifest.load(manifest.save(tmp_path / "run").parent)) == 6


def test_errors_of_a_dataset_name_it(tmp_path, table):
    table.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(DataError, match=r"table\.csv: there is no target column 'speed'"):
        read_dataset(tmp_path / "table.csv", targets=["speed"])


@pytest.mark.parametrize("line", ["1", "null", '"a"', DEEP, "{}" * 3, "\xff"])
def test_json_lines_of_something_else_are_refused(tmp_path, line):
    (tmp_path / "table.jsonl").write_text(line + "\n", encoding="latin-1")
    with pytest.raises(DataError, match=r"table\.jsonl"):
        read_dataset(tmp_path / "table.jsonl")


def test_a_parquet_text_that_is_none_is_refused(tmp_path, table):
    paths = pa.array([b"\xff\xfe.png"] * 6).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"path": paths, "steering": table["steering"]}), tmp_path / "table.parquet")
    with pytest.raises(DataError, match=r"table\.parquet"):
        read_dataset(tmp_path / "table.parquet")


def test_an_idx_file_that_ends_in_its_header_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0]))
    with pytest.raises(DataError, match="train-images-idx3-ubyte is cut off"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("how", ["folder", "loop", "pipe"])
def test_a_tub_whose_records_cannot_be_opened_is_refused(tmp_path, how):
    catalog = tmp_path / "catalog_0.catalog"
    {
        "folder": catalog.mkdir,
        "loop": lambda: catalog.symlink_to(catalog),
        "pipe": lambda: os.mkfifo(catalog),
    }[how]()
    with pytest.raises(DataError, match=r"catalog_0\.catalog cannot be opened"):
        read_dataset(tmp_path)


@pytest.fixture
def saved(tmp_path):
    import datasets

    datasets.disable_progress_bars()
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"image": [Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(4)], "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_hugging_face_folder_with_a_damaged_picture_leaves_it_out(saved):
    data = next(saved.glob("*.arrow"))
    content = data.read_bytes()
    at = content.index(b"\x89PNG")
    data.write_bytes(content[:at] + b"\0" * 60 + content[at + 60 :])
    manifest = read_dataset(saved)
    assert (len(manifest), len(manifest.skipped)) == (3, 1)


def test_a_hugging_face_folder_with_offsets_outside_its_memory_is_refused(saved):
    data = next(saved.glob("*.arrow"))
    content = bytearray(data.read_bytes())
    at = bytes(content).index(b"\x89PNG")  # the offsets of the pictures lie before them
    content[at - 64 : at] = b"\x7f" * 64
    data.write_bytes(bytes(content))
    with pytest.raises(DataError, match="saved"):
        read_dataset(saved)


SHAPE = {"label": "a", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
COCO_IMAGE = {"id": 1, "file_name": "room/a.png", "width": 16, "height": 16}


@pytest.mark.parametrize(
    "content",
    [
        {"shapes": [SHAPE], "imageWidth": {"a": 1}, "imageHeight": 16},
        {"shapes": [SHAPE], "imageWidth": float("inf"), "imageHeight": 16},
        {"shapes": [{**SHAPE, "points": [[1, 1], [9, float("nan")], [9, 9]]}]},
        {"shapes": [{**SHAPE, "points": [[1, 1], [10**400, 1], [9, 9]]}]},
        {"images": [COCO_IMAGE], "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, "a", 4]}]},
        {
            "images": [COCO_IMAGE],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, float("nan"), 4]}],
        },
        {"images": [COCO_IMAGE], "annotations": [7]},
        {"images": 3, "annotations": [], "categories": [[]]},
        {
            "images": [{**COCO_IMAGE, "width": float("inf")}],
            "annotations": [{"image_id": 1, "category_id": 1}],
        },
    ],
)
def test_annotations_with_values_of_a_wrong_kind_are_refused(tmp_path, content):
    path = tmp_path / "marks.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"marks\.json"):
        read_roi(path).mask(ROW)
    with pytest.raises(DataError, match=r"marks\.json"):
        assert object_masks(path, pd.DataFrame([ROW]), 8) == "refused"


def test_json_that_is_nested_too_deeply_is_refused_wherever_it_is_read(tmp_path, bundle):
    for name, read in {"marks.json": read_roi, "names.json": class_names}.items():
        (tmp_path / name).write_text(DEEP)
        with pytest.raises(ShapsightError, match=rf"{name}.*nested too deeply"):
            read(tmp_path / name)
    (bundle / "card.json").write_text(DEEP)
    with pytest.raises(ModelError, match=r"card\.json is damaged"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "fields",
    [
        {"mean": [0.5, 0.5]},
        {"std": "abc"},
        {"arch": ["small_cnn"]},
        {"input_size": "16"},
        {"input_size": 17},
        {"scales": {"x": [[], 1, ""]}},
        {"scales": {"x": [3, 1, ""]}},
        {"scales": []},
        {"training": 7},
        {"output_names": [1, 2]},
        {"more": 1},
    ],
)
def test_a_card_with_values_of_a_wrong_kind_is_refused_with_its_name(bundle, fields):
    changed(bundle / "card.json", **fields)
    with pytest.raises(ModelError, match=str(bundle)):
        load_bundle(bundle)


def test_a_card_that_is_no_text_is_refused(bundle):
    (bundle / "card.json").write_bytes(b"\x80\x04N.")
    with pytest.raises(ModelError, match=r"card\.json is damaged"):
        load_bundle(bundle)


def test_references_of_another_shape_are_refused_with_their_file(bundle):
    save_file(
        {"references": torch.zeros(2, 3, 16, 16, 1, dtype=torch.uint8)}, bundle / "references.safetensors"
    )
    with pytest.raises(ModelError, match=r"references\.safetensors: this bundle takes"):
        load_bundle(bundle)


@pytest.fixture
def explanation(tmp_path):
    values = torch.rand(2, 1, 3, 8, 8)
    numbers = torch.zeros(2, 1)
    found = Explanation(
        values, numbers, values.sum((2, 3, 4)), numbers, numbers.long(), torch.rand(2, 3, 8, 8)
    )
    return found.save(tmp_path / "half.safetensors", dtype="float16")


def test_an_explanation_with_another_card_or_scale_is_refused(explanation):
    tensors, good = load_file(explanation), {"output_names": [], "settings": {}, "method": ""}
    for card in (
        {**good, "settings": {"stored": "x"}},
        {**good, "output_names": "xy"},
        {**good, "output_names": [1]},
        {**good, "method": 3},
        [1],
    ):
        metadata = {"format": "shapsight.explanation/2", "card": json.dumps(card)}
        save_file(tensors, explanation, metadata=metadata)
        with pytest.raises(ExplainerError, match=r"half\.safetensors is damaged"):
            Explanation.load(explanation)
    metadata = {"format": "shapsight.explanation/2", "card": json.dumps(good)}
    for name in ("values.scale", "predictions"):
        save_file({**tensors, name: torch.ones(1, 7)}, explanation, metadata=metadata)
        with pytest.raises(ExplainerError, match=r"half\.safetensors"):
            Explanation.load(explanation)
    save_file({}, explanation, metadata={"format": "shapsight.RegionValues/1", "card": "{}"})
    with pytest.raises(ExplainerError, match=r"half\.safetensors"):
        RegionValues.load(explanation)


@pytest.fixture
def manifest(tmp_path, table):
    table.to_csv(tmp_path / "table.csv", index=False)
    return read_dataset(tmp_path / "table.csv", environment="column:kind").save(tmp_path / "run").parent


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": [1]},
        {"targets": "steering"},
        {"scales": "a"},
        {"scales": {"steering": 1}},
        {"scales": {"steering": {"low": {}, "high": 1, "unit": ""}}},
        {"scales": {"steering": {"low": 3, "high": 1, "unit": ""}}},
        {"notes": 1.5},
        {"root": None},
        {"format": None},
    ],
)
def test_a_manifest_with_another_card_is_refused(manifest, fields):
    table = pq.read_table(manifest / "manifest.parquet")
    card = json.loads(table.schema.metadata[b"shapsight"]) | fields
    metadata = {**table.schema.metadata, b"shapsight": json.dumps(card).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), manifest / "manifest.parquet")
    with pytest.raises(DataError, match=r"manifest\.parquet"):
        Manifest.load(manifest)


@pytest.mark.parametrize("name", ["path", "environment", "width", "steering"])
def test_a_manifest_with_a_column_of_another_kind_is_refused(manifest, name):
    table = pq.read_table(manifest / "manifest.parquet")
    lists = pa.array([[1, 2]] * len(table))
    changed_table = table.set_column(table.column_names.index(name), name, lists)
    pq.write_table(
        changed_table.replace_schema_metadata(table.schema.metadata), manifest / "manifest.parquet"
    )
    with pytest.raises(DataError, match=r"manifest\.parquet is damaged"):
        Manifest.load(manifest)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'a,b\n"1'])
def test_a_damaged_list_of_what_was_left_out_is_named(manifest, content):
    (manifest / "skipped.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"skipped\.csv is damaged"):
        Manifest.load(manifest)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '"a"',
        '{"settings": 3, "status": "done"}',
        '{"settings": {"seed": -1}, "status": ""}',
        "\xff",
        DEEP,
    ],
)
def test_a_damaged_card_of_a_run_is_named(bundle, manifest, text):
    (manifest / "run.json").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        open_run(manifest)
    part = manifest.rename(manifest.with_name(".other.part"))
    (part / "checkpoints").mkdir()
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        RunFolder.start(part.with_name("other"), command="train", settings={}, resume=True)


def test_a_model_whose_card_tells_nothing_of_its_training_cannot_be_cured(bundle, manifest):
    (manifest / "run.json").write_text('{"settings": {}, "status": "done"}')
    with pytest.raises(RunError, match=r"card\.json does not say with which epochs"):
        trainer_of(manifest, None, CureSettings(("flip",)), Narrator(quiet=True))


def test_a_damaged_result_counts_as_none_and_is_made_again(tmp_path):
    table = pd.DataFrame({"error": [0.5]})
    save_trial(table, tmp_path / "cell.parquet")
    whole = (tmp_path / "cell.parquet").read_bytes()
    for at in range(4, len(whole), 7):
        (tmp_path / "cell.parquet").write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
        assert (
            kept_trial(tmp_path / "cell.parquet") is None or len(kept_trial(tmp_path / "cell.parquet")) == 1
        )
    (tmp_path / "cell.parquet").unlink()
    (tmp_path / "cell.parquet").mkdir()
    assert kept_trial(tmp_path / "cell.parquet") is None
    write_findings(Findings("look", {"errors": table}, LookFacts()), tmp_path / "look", "key", 1.0)
    for fields in ({"tables": 3}, {"seconds": None}, {"facts": 1, "left_out": 2}):
        write_findings(Findings("look", {"errors": table}, LookFacts()), tmp_path / "look", "key", 1.0)
        changed(tmp_path / "look" / "facts.json", **fields)
        assert read_findings(tmp_path / "look", "key", LookFacts) is None
    for drawn in ("", "{", "[3]", '{"alt": "a"}', '[{"alt": "a"}]', '[{"images": 3}]'):
        write_findings(Findings("look", {"errors": table}, LookFacts()), tmp_path / "look", "key", 1.0)
        (tmp_path / "look" / "pictures.json").write_text(drawn)
        assert read_findings(tmp_path / "look", "key", LookFacts) is None
    write_findings(Findings("look", {"errors": table}, LookFacts()), tmp_path / "look", "key", 1.0)
    (tmp_path / "look" / "pictures.json").unlink()
    assert read_findings(tmp_path / "look", "key", LookFacts) is None


def bench(name: str, *arguments: str) -> str:
    """Run a benchmark as a person does; its table, or what it found."""
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return run.stdout


def test_two_hundred_damaged_files_end_in_a_result_or_a_clear_error():
    printed = bench("fuzz.py", "--inputs", "10")
    total = pd.read_csv(io.StringIO(printed), sep="|", skipinitialspace=True, skiprows=[1]).iloc[-1]
    assert total["inputs "] >= 200
    assert total["result "] > 40
    assert total["clear error "] > 40


def test_killed_commands_go_on_and_end_where_undisturbed_ones_do():
    printed = bench("kills.py", "--kills", "2", "--quick")
    for command in ("train", "diagnose", "cure", "explain"):
        assert f"| {command} | 2 |" in printed


def test_a_tubs_record_with_a_list_for_a_number_is_read_like_any_other(tmp_path):
    records = [
        {
            "_index": n if n else [n],
            "cam/image_array": f"{n}.png",
            "user/angle": n / 10,
            "user/throttle": n / 20,
        }
        for n in range(5)
    ]
    for number in range(5):
        picture(tmp_path / f"{number}.png")
    (tmp_path / "catalog_0.catalog").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "manifest.json").write_text('{"deleted_indexes": [3]}')
    manifest = read_dataset(tmp_path)
    assert sorted(manifest.table["path"]) == ["0.png", "1.png", "2.png", "4.png"]


class Trap:
    def __reduce__(self):
        return open, ("unpickled", "w")


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other"])
def test_a_training_refuses_to_go_on_from_a_damaged_checkpoint(tmp_path, table, damage, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.to_csv(tmp_path / "table.csv", index=False)
    manifest = read_dataset(tmp_path / "table.csv")
    images = load_images(manifest, list(manifest.table["path"]), 16)
    folder = tmp_path / "checkpoints"
    built = build_model("small_cnn", 1, weights="none")
    fit(built, manifest, images, TrainingPlan(epochs=1, references=2), checkpoints=folder, progress=False)
    checkpoint = folder / "last.ckpt"
    whole = checkpoint.read_bytes()
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    checkpoint.write_bytes(
        {
            "cut": whole[:-100],
            "empty": b"",
            "pickle": pickle.dumps(Trap(), protocol=2),
            "other": (tmp_path / "other.ckpt").read_bytes(),
        }[damage]
    )
    with pytest.raises(ModelError, match=r"last\.ckpt is damaged, .* delete it"):
        fit(built, manifest, images, TrainingPlan(epochs=2, references=2), checkpoints=folder, progress=False)
    assert not (tmp_path / "unpickled").exists()


def test_what_a_killed_diagnosis_left_half_written_is_cleared_and_damaged_tables_are_made_anew(
    tmp_path, bundle
):
    loaded = load_bundle(bundle)
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    kept = StoredExplanations(tmp_path / "kept", loaded, ("x",), references=2)
    whole = kept.explain(images, ["a", "b", "c"], chunk=1)
    (kept.folder / ".0004.safetensors.123.part").write_bytes(b"half")
    (kept.folder / "0002.csv").write_bytes(b"")
    again = kept.explain(images, ["a", "b", "c"], chunk=1)
    assert torch.equal(whole.values, again.values)
    assert not list(kept.folder.glob(".*.part"))
    (kept.folder / "card.json").write_text("")
    with pytest.raises(RunError, match=r"card\.json is damaged .* delete"):
        StoredExplanations(tmp_path / "kept", loaded, ("x",), references=2)


def test_a_manifest_whose_texts_are_none_is_refused(manifest):
    table = pq.read_table(manifest / "manifest.parquet")
    none = pa.array([b"\xff\xfe"] * len(table)).cast(pa.string(), safe=False)
    damaged = table.set_column(table.column_names.index("path"), "path", none)
    pq.write_table(damaged.replace_schema_metadata(table.schema.metadata), manifest / "manifest.parquet")
    with pytest.raises(DataError, match=r"manifest\.parquet is damaged"):
        Manifest.load(manifest)
