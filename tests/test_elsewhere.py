"""Images that lie elsewhere: object stores, tars, Parquet. The same rules hold, and nothing is dropped in silence."""

import io
import json
import os
import pickle
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from moto.server import ThreadedMotoServer
from PIL import Image

import shapsight as ss
from discs import write_discs
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.roi import read_roi
from shapsight.data.sources import remote
from shapsight.errors import DataError, MissingDependency
from tiny_networks import of_layers

SIZE = 32


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The photographs in a bucket of S3."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket="photos")
    for file in sorted(photos.rglob("*")):
        if file.is_file():
            client.upload_file(str(file), "photos", f"drives/{file.relative_to(photos).as_posix()}")
    client.close()
    return "s3://photos/drives"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 pictures in two rooms, of which one is cut off, one has no target in its name, and a text beside them."""
    folder = tmp_path / "drives"
    for number, room in enumerate(("green", "red")):
        write_discs(folder / room, 12, seed=number)
    broken = sorted((folder / "red").glob("*.png"))[3]
    broken.write_bytes(broken.read_bytes()[:60])
    (folder / "red" / "note.txt").write_text("by hand")
    sorted((folder / "green").glob("*.png"))[0].rename(folder / "green" / "nowhere.png")
    return folder


def packed(tar: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(tar, "w") as into:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            into.addfile(member, io.BytesIO(content))
    return tar


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def assert_alike(one: Manifest, other: Manifest) -> None:
    """The same table, skipped images, notes and pixels."""
    pd.testing.assert_frame_equal(one.table, other.table)
    assert sorted(one.skipped["path"]) == sorted(other.skipped["path"])
    assert sorted(one.skipped["reason"]) == sorted(other.skipped["reason"])
    pixels = [
        load_images(pickle.loads(pickle.dumps(each)), list(one.table["path"]), SIZE) for each in (one, other)
    ]
    assert torch.equal(*pixels)


def test_a_folder_on_an_object_store_is_read_as_one_on_disk(photos, bucket):
    options = {"train_on": "red", "environment": lambda path: path.split("/")[0], "roi": "below:16"}
    here, there = ss.read_dataset(photos, **options), ss.read_dataset(bucket, **options)
    assert len(there.skipped) == 2
    assert_alike(here, there)
    assert here.notes[0] == there.notes[0]
    assert any(".txt" in note for note in there.notes)


def test_what_is_explained_from_an_object_store_is_that_of_the_disk_and_is_not_fetched_again(
    photos, bucket, tmp_path, monkeypatch
):
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:2]]
    bundle = ss.Bundle.wrap(of_layers(), outputs=["x", "y"], size=SIZE, references=references)
    how = {"method": "deep", "outputs": "all", "dtype": "float32", "device": "cpu", "progress": False}
    here = ss.explain_dataset(bundle, photos, store=tmp_path / "here.zarr", **how).store
    found = ss.explain_dataset(bundle, bucket, store=tmp_path / "there.zarr", **how)
    assert list(here.images["path"]) == list(found.store.images["path"])
    assert torch.equal(here[:].values, found.store[:].values)
    assert len(found.skipped) == 2
    manifest = ss.read_dataset(bucket, for_training=False)
    fetched = []
    real = remote.Stretches.__call__
    monkeypatch.setattr(remote.Stretches, "__call__", lambda self, n: fetched.append(n) or real(self, n))
    again = ss.explain_dataset(bundle, manifest, store=tmp_path / "there.zarr", **how)
    assert "22 were finished before" in again.lines
    assert fetched == []


def test_masks_on_an_object_store_are_those_of_the_disk(photos, bucket, server, tmp_path, monkeypatch):
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:2]]
    bundle = ss.Bundle.wrap(of_layers(), outputs=["x", "y"], size=SIZE, references=references)
    how = {"method": "deep", "outputs": "all", "dtype": "float32", "device": "cpu", "progress": False}
    client = boto3.client("s3", endpoint_url=server)
    generator = np.random.default_rng(0)
    masks = tmp_path / "masks"
    for number, file in enumerate(sorted(photos.glob("*/*.png"))):
        (masks / file.parent.name).mkdir(parents=True, exist_ok=True)
        place = masks / file.parent.name / file.name
        if number % 2:
            Image.fromarray(generator.integers(0, 2, (SIZE, SIZE)).astype(np.uint8) * 255).save(place)
        else:
            place = place.with_suffix(".json")
            place.write_text(json.dumps([[[0, 0], [9, 0], [9, 20], [0, 20]]]))
        client.upload_file(str(place), "photos", f"masks/{place.relative_to(masks).as_posix()}")
    here = ss.explain_dataset(bundle, photos, store=tmp_path / "here.zarr", roi=str(masks), **how).store
    store = tmp_path / "there.zarr"
    there = ss.explain_dataset(bundle, bucket, store=store, roi="s3://photos/masks", **how).store
    for part in ("part_scene", "part_region"):
        np.testing.assert_array_equal(np.stack(here.images[part]), np.stack(there.images[part]))
    assert there.card.settings["roi"] == "s3://photos/masks"
    drawn = pickle.loads(pickle.dumps(read_roi("s3://photos/masks")))  # as workers get it
    row = {"path": "red/gone.png", "width": SIZE, "height": SIZE}
    with pytest.raises(
        DataError, match=r"no mask for red/gone\.png: looked for s3://photos/masks/red/gone\.png"
    ):
        drawn.mask(row)
    small = {"path": sorted(masks.glob("*/*.png"))[0].relative_to(masks).as_posix(), "width": 8, "height": 8}
    with pytest.raises(DataError, match=r"the mask s3://photos/masks/.*png is 32 × 32 pixels"):
        drawn.mask(small)
    with pytest.raises(DataError, match="nothing at s3://photos/nowhere"):
        read_roi("s3://photos/nowhere")
    client.close()


def test_a_table_on_an_object_store_names_masks_beside_it(photos, bucket, server):
    client = boto3.client("s3", endpoint_url=server)
    names = [
        f"red/{file.name}" for file in sorted((photos / "red").glob("*.png")) if file.stat().st_size > 60
    ]
    (photos / "masks").mkdir()
    for number in range(len(names)):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[number:] = 255
        Image.fromarray(mask).save(photos / "masks" / f"{number}.png")
        client.upload_file(str(photos / "masks" / f"{number}.png"), "photos", f"drives/masks/{number}.png")
    roi = [f"masks/{number}.png" for number in range(len(names))]
    pd.DataFrame({"path": names, "angle": np.linspace(-1, 1, len(names)), "roi": roi}).to_csv(
        photos / "masked.csv", index=False
    )
    client.upload_file(str(photos / "masked.csv"), "photos", "drives/masked.csv")
    client.close()
    for source in (photos / "masked.csv", f"{bucket}/masked.csv"):
        manifest = ss.read_dataset(source, roi="column:roi")
        masks = [read_roi(manifest.roi).mask(row) for row in manifest.table.to_dict("records")]
        assert [int(mask.sum()) for mask in masks] == [SIZE * (SIZE - n) for n in range(len(names))]


def test_a_bucket_that_cannot_be_read_is_asked_once(photos, bucket, tmp_path, monkeypatch):
    references = [str(file) for file in sorted((photos / "red").glob("*.png"))[:2]]
    bundle = ss.Bundle.wrap(of_layers(), outputs=["x", "y"], size=SIZE, references=references)
    asked = []
    real = remote.Remote.at
    monkeypatch.setattr(remote.Remote, "at", lambda url: asked.append(url) or real(url))
    how = {"store": tmp_path / "e.zarr", "method": "deep", "device": "cpu", "progress": False}
    for url in ("s3://no-such-bucket/photos", "s3://photos/none", "s3://photos/none.csv"):
        asked.clear()
        with pytest.raises(DataError):
            ss.explain_dataset(bundle, url, **how)
        assert asked == [url]


def test_a_table_on_an_object_store_names_images_beside_it(photos, bucket, server):
    client = boto3.client("s3", endpoint_url=server)
    names = sorted(file.relative_to(photos).as_posix() for file in photos.rglob("*.png"))
    table = pd.DataFrame({"path": [*names, "red/gone.png"], "angle": np.linspace(-1, 1, len(names) + 1)})
    table.to_csv(photos / "drives.csv", index=False)
    client.upload_file(str(photos / "drives.csv"), "photos", "drives/drives.csv")
    client.close()
    assert_alike(ss.read_dataset(photos / "drives.csv"), ss.read_dataset(f"{bucket}/drives.csv"))


def test_a_packed_folder_is_read_as_the_folder_and_its_shards_as_one(photos, tmp_path):
    files = contents(photos)
    names = list(files)
    packed(tmp_path / "all.tar", files)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        packed(tmp_path / "shards" / f"s-{number:03}.tar", {name: files[name] for name in names[number::2]})
    here = ss.read_dataset(photos)
    assert_alike(here, ss.read_dataset(tmp_path / "all.tar"))
    assert_alike(here, ss.read_dataset(f"{tmp_path}/shards/s-{{000..001}}.tar"))
    assert_alike(here, ss.read_dataset(tmp_path / "shards"))
    with pytest.raises(DataError, match=r"nothing at .*s-002\.tar"):
        ss.read_dataset(f"{tmp_path}/shards/s-{{000..002}}.tar")


def test_what_lies_beside_an_image_in_a_shard_is_its_row(photos, tmp_path):
    files = {}
    for number, file in enumerate(sorted((photos / "green").glob("*.png"))):
        files[f"{number:06}.png"] = file.read_bytes()
        files[f"{number:06}.json"] = json.dumps(
            {"angle": number / 8, "environment": "a" if number < 4 else "b"}
        ).encode()
    files["lost.json"] = b"{}"
    files["torn.json"] = b'{"angle": '
    found = ss.read_dataset(packed(tmp_path / "shard-000.tar", files))
    assert found.targets == ("angle",)
    assert list(found.table["angle"]) == [number / 8 for number in range(12)]
    assert list(found.table["environment"]) == ["a"] * 4 + ["b"] * 8
    no_image = "the sample holds no image"
    assert set(found.skipped["path"]) == {"lost", "torn"} and set(found.skipped["reason"]) == {no_image}
    assert any("JSON that cannot be read" in note for note in found.notes)
    classes = {name.replace(".json", ".cls"): b"%d" % (n % 3) for n, name in enumerate(files)}
    labelled = {
        **{n: c for n, c in files.items() if n.endswith(".png")},
        **{n: c for n, c in classes.items() if "cls" in n},
    }
    del labelled["lost.cls"], labelled["torn.cls"]
    found = ss.read_dataset(packed(tmp_path / "classes.tar", labelled), class_names=["egret", "bus", "cat"])
    assert found.class_names == ("egret", "bus", "cat")
    assert set(found.table["label"]) == {"egret", "bus", "cat"}


def test_a_tar_that_is_cut_off_gives_what_is_whole_and_says_so(photos, tmp_path):
    files = {name: content for name, content in contents(photos).items() if name.startswith("green/")}
    whole = packed(tmp_path / "all.tar", files).read_bytes()
    (tmp_path / "all.tar").write_bytes(whole[: len(whole) // 2])
    found = ss.read_dataset(tmp_path / "all.tar")
    assert 0 < len(found) < 11
    assert any("cut off" in reason for reason in found.skipped["reason"])


def test_a_compressed_tar_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "all.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"plain \.tar"):
        ss.read_dataset(tmp_path / "all.tar.gz")


@pytest.fixture
def rows(photos: Path) -> list[dict[str, object]]:
    files = [file for file in sorted(photos.rglob("*.png")) if file.stat().st_size > 60]
    return [
        {
            "image": {"bytes": file.read_bytes(), "path": file.name},
            "label": number % 2,
            "room": file.parent.name,
        }
        for number, file in enumerate(files)
    ]


def test_parquet_of_hugging_face_is_read_as_the_dataset_that_wrote_it(rows, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["bus", "egret"]),
            "room": datasets.Value("string"),
        }
    )
    (tmp_path / "data").mkdir()
    parts = {}
    for split, some in {"train": rows[:16], "test": rows[16:]}.items():
        parts[split] = datasets.Dataset.from_list(some, features=features)
        parts[split].to_parquet(tmp_path / "data" / f"{split}-00000-of-00001.parquet", batch_size=5)
    options = {"environment": "column:room", "for_training": False}
    expected = ss.read_dataset(datasets.DatasetDict(parts), **options)
    found = ss.read_dataset(tmp_path / "data", **options)
    assert found.class_names == expected.class_names == ("bus", "egret")

    def known(manifest: Manifest) -> pd.DataFrame:
        table = manifest.table.drop(columns="path").assign(
            pixels=load_images(pickle.loads(pickle.dumps(manifest)), list(manifest.table["path"]), SIZE)
            .flatten(1).double().numpy() @ np.arange(3.0 * SIZE * SIZE)
        )  # fmt: skip
        return table.sort_values("pixels", ignore_index=True)

    pd.testing.assert_frame_equal(known(found), known(expected))
    assert set(found.table["split"]) == {"train", "test"}


def test_a_column_of_bytes_is_images_and_a_row_without_them_is_skipped(rows, tmp_path):
    table = pa.table(
        {
            "jpg": [None if number == 2 else row["image"]["bytes"] for number, row in enumerate(rows)],
            "angle": np.linspace(-1, 1, len(rows)),
        }
    )
    pq.write_table(table, tmp_path / "drives.parquet", row_group_size=4)
    found = ss.read_dataset(tmp_path / "drives.parquet")
    assert found.targets == ("angle",)
    assert len(found) == len(rows) - 1
    assert list(found.skipped["reason"]) == ["the row holds no bytes of an image"]
    pixels = load_images(found, list(found.table["path"]), SIZE)
    expected = np.asarray(Image.open(io.BytesIO(rows[7]["image"]["bytes"])).convert("RGB"))
    assert np.array_equal(pixels[6].permute(1, 2, 0).numpy(), expected)


def test_a_saved_manifest_holds_images_that_lie_elsewhere(bucket, tmp_path):
    there = ss.read_dataset(bucket)
    there.save(tmp_path / "saved")
    back = Manifest.load(tmp_path / "saved")
    names = list(there.table["path"])
    assert torch.equal(load_images(back, names, SIZE), load_images(there, names, SIZE))


def test_trouble_with_an_object_store_says_what_to_do(bucket, monkeypatch):
    with pytest.raises(DataError, match="nothing at s3://photos/none"):
        ss.read_dataset("s3://photos/none")
    with pytest.raises(DataError, match="s3://no-such-bucket"):
        ss.read_dataset("s3://no-such-bucket/photos")
    with pytest.raises(MissingDependency, match="gs://a/b needs gcsfs: pip install gcsfs"):
        ss.read_dataset("gs://a/b")


def test_missing_credentials_are_named(monkeypatch, tmp_path):
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DataError, match="give credentials"):
        ss.read_dataset("s3://private/photos")


def test_urls_are_known_where_pathlib_took_a_slash_of_them():
    assert remote.as_url("s3:/bucket/folder") == remote.as_url("s3://bucket/folder") == "s3://bucket/folder"
    assert remote.as_url("file:///a/b") == "file:///a/b"
    for path in ("idx:/usr/share/mnist", "C:/photos", "photos/a", "/photos"):
        assert remote.as_url(path) is None
