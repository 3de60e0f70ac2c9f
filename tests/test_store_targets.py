"""Whole data sets of targets, bands and volumes in a store: what `explain` gives of each image, to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import shapsight as ss
from shapsight.cli import app
from shapsight.errors import DataError, SettingError, StoreError
from shapsight.models.bundle import Bundle
from shapsight.store.verify import verify
from shapsight.studies.explain.study import explain_files

SIZE = 24
HOW = {"method": "deep", "dtype": "float32", "device": "cpu", "progress": False}


class Segmenter(nn.Module):
    """A score of two labels for each pixel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))

    def forward(self, images):
        return {"out": self.layers(images)}


class Classifier(nn.Module):
    def __init__(self, channels: int = 3, *, is_volume: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution, pool = (
            (nn.Conv3d, nn.AdaptiveAvgPool3d) if is_volume else (nn.Conv2d, nn.AdaptiveAvgPool2d)
        )
        self.layers = nn.Sequential(
            convolution(channels, 4, 3), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 3)
        )

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine pictures of two sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(9):
        sides = (SIZE, SIZE) if number < 6 else (2 * SIZE, 2 * SIZE)
        Image.fromarray(generator.integers(0, 255, (*sides, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def segmenter(photos: Path) -> Bundle:
    names = ["floor", "wall"]
    references = [str(photos / f"{n}.png") for n in range(3)]
    return Bundle.wrap(Segmenter(), outputs=names, size=SIZE, task="targets", references=references)


def region(file: Path, side: int, rows: slice) -> Path:
    mask = np.zeros((side, side), np.uint8)
    mask[rows] = 255
    Image.fromarray(mask).save(file)
    return file


@pytest.mark.parametrize("method", ["deep", "partition"])
def test_a_target_is_explained_of_all_images_as_of_one_and_its_name_is_told(photos, tmp_path, method):
    bundle, place = segmenter(photos), tmp_path / "e.zarr"
    target = (f"mask(floor, {region(tmp_path / 'low.png', SIZE, slice(12, None))})", "pixel(wall, 3, 4)")
    how = {**HOW, "method": method, "target": target, "max_evals": 40}
    found = ss.explain_dataset(bundle, photos, store=place, **how)
    assert list(found.store.images["path"]) == [f"{n}.png" for n in range(6)]
    assert list(found.skipped["path"]) == ["6.png", "7.png", "8.png"]  # of another size than the mask
    assert found.skipped["reason"].str.contains("48").all()
    one = explain_files(
        [photos / "4.png"], tmp_path / "one", model=bundle, **{k: v for k, v in how.items() if k != "dtype"}
    )
    expected = ss.Explanation.load(tmp_path / "one" / "explanations" / "4.safetensors")
    assert torch.equal(found.store[4].values, expected.values)
    names = ["floor in the region", "wall at row 3, column 4"]
    assert found.store[4].names() == expected.names() == [names]
    assert torch.equal(found.store[4].outlines, expected.outlines)  # drawn in pictures
    np.testing.assert_array_equal(one.table["prediction"], found.store.outputs["prediction"][8:10])
    said = CliRunner().invoke(app, ["store", "status", str(place)]).output
    assert "explained: floor in the region, wall at row 3, column 4" in said
    assert verify(place).is_whole


def test_targets_in_pixels_are_placed_in_each_image_by_its_size(photos, tmp_path):
    bundle = segmenter(photos)
    found = ss.explain_dataset(
        bundle, photos, store=tmp_path / "e.zarr", target=("pixel(wall, 20, 20)",), **HOW
    )
    assert len(found.store) == 9
    for number in (2, 7):
        place = tmp_path / f"{number}"
        explain_files(
            [photos / f"{number}.png"],
            place,
            model=bundle,
            target=("pixel(wall, 20, 20)",),
            **{"method": "deep", "device": "cpu", "progress": False},
        )
        expected = ss.Explanation.load(place / "explanations" / f"{number}.safetensors")
        assert torch.equal(found.store[number].values, expected.values)


def test_another_target_and_another_region_of_the_same_name_are_refused(photos, tmp_path):
    bundle, mask = segmenter(photos), tmp_path / "mask.png"
    small = ss.read_dataset(photos, targets=[])
    small = small.__class__(small.root, small.table[:4], (), small.skipped)
    how = {**HOW, "store": tmp_path / "e.zarr"}
    ss.explain_dataset(bundle, small, target=(f"region({region(mask, SIZE, slice(12))}, channel=1)",), **how)
    with pytest.raises(StoreError, match=r"target was \['region.*is \['entropy"):
        ss.explain_dataset(bundle, small, target=("entropy()",), **how)
    region(mask, SIZE, slice(8))
    with pytest.raises(StoreError, match=r"target_content was \w+…, is \w+…"):
        ss.explain_dataset(bundle, small, target=(f"region({mask}, channel=1)",), **how)


def test_targets_of_classes_are_explained_beside_what_the_model_says(photos, tmp_path):
    references = [str(photos / f"{n}.png") for n in range(3)]
    bundle = Bundle.wrap(
        Classifier(), outputs=["a", "b", "c"], size=SIZE, task="classification", references=references
    )
    targets = ("contrast(a, b)", "entropy()")
    store = ss.explain_dataset(bundle, photos, store=tmp_path / "e.zarr", target=targets, **HOW).store
    logits = bundle.predict([str(photos / path) for path in store.images["path"]])
    probabilities = logits.softmax(1)
    entropy = -(probabilities * probabilities.log()).sum(1)
    expected = torch.stack([logits[:, 0] - logits[:, 1], entropy], 1)
    said = torch.tensor(np.stack(store.images["prediction"].to_numpy()))
    torch.testing.assert_close(said, expected.double(), atol=1e-5, rtol=1e-5)
    assert list(store.images["predicted_label"]) == [bundle.card.output_names[n] for n in logits.argmax(1)]


def scenes(folder: Path, suffix: str, shape: tuple[int, ...], count: int = 6) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(1)
    for number in range(count):
        array = generator.integers(0, 4000, shape).astype(np.uint16)
        if suffix == ".tif":
            import tifffile

            tifffile.imwrite(folder / f"{number}.tif", array, photometric="minisblack", planarconfig="contig")
        elif suffix == ".npz":
            np.savez(folder / f"{number}.npz", array)
        elif suffix == ".nii.gz":
            import nibabel

            nibabel.save(
                nibabel.Nifti1Image(array.astype(np.float32), np.eye(4)), folder / f"{number}.nii.gz"
            )
        elif suffix == ".png":
            import cv2

            cv2.imwrite(str(folder / f"{number}.png"), array)
        else:
            np.save(folder / f"{number}.npy", array / np.float32(7))
    return folder


def of_bands(folder: Path, channels: int, size: tuple[int, ...], transform=None) -> Bundle:
    references = sorted(map(str, folder.iterdir()))[:2]
    model = Classifier(channels, is_volume=len(size) == 3)
    return Bundle.wrap(
        model, transform, outputs=["a", "b", "c"], channels=channels, size=size, references=references
    )


@pytest.mark.parametrize(
    ("suffix", "shape", "channels", "size"),
    [
        (".tif", (12, 10, 11), 11, (12, 10)),
        (".npy", (12, 10, 5), 5, (12, 10)),
        (".npz", (12, 10, 5), 5, (12, 10)),
        (".png", (12, 10, 3), 3, (12, 10)),
        (".nii.gz", (10, 12, 6), 1, (6, 12, 10)),
        (".npy", (2, 6, 12, 10), 2, (6, 12, 10)),
    ],
)
@pytest.mark.parametrize("how", [{"dtype": "float32"}, {"dtype": "float16"}, {"light": True}])
def test_bands_16_bits_fractions_and_volumes_are_in_a_store_as_explain_gives_them(
    tmp_path, suffix, shape, channels, size, how
):
    folder = scenes(tmp_path / "scenes", suffix, shape)
    bundle = of_bands(folder, channels, size)
    place = tmp_path / "e.zarr"
    store = ss.explain_dataset(bundle, folder, store=place, **{**HOW, "outputs": "b", **how}).store
    assert len(store) == 6
    assert verify(place).is_whole
    expected = ss.explain(bundle, str(folder / store.images["path"][4]), "deep", "b")
    found = store[4]
    if how == {"dtype": "float32"}:
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.images, expected.images)
    else:
        torch.testing.assert_close(found.values.sum(), expected.values.sum(), rtol=1e-2, atol=1e-2)
    assert store.to_xarray().sizes["image"] == 6
    again = ss.explain_dataset(bundle, folder, store=place, **{**HOW, "outputs": "b", **how})
    assert again.lines[0].startswith("0 images explained")


def test_files_of_other_bands_than_the_model_takes_are_refused_or_left_out_by_name(tmp_path):
    folder = scenes(tmp_path / "scenes", ".tif", (12, 10, 11))
    bundle = of_bands(folder, 11, (12, 10))
    scenes(tmp_path / "other", ".tif", (12, 10, 5), 2)
    for file in (tmp_path / "other").iterdir():
        file.rename(folder / f"other_{file.name}")
    found = ss.explain_dataset(bundle, folder, store=tmp_path / "e.zarr", outputs="b", **HOW)
    assert len(found.store) == 6
    assert (
        found.skipped["reason"].str.contains("holds 5 bands, where most of these images hold 11 bands").all()
    )
    with pytest.raises(DataError, match="hold 11 bands, and the model takes 5"):
        ss.explain_dataset(
            of_bands(tmp_path / "scenes", 11, (12, 10)).__class__.wrap(
                Classifier(5),
                outputs=["a", "b", "c"],
                channels=5,
                size=(12, 10),
                references=np.zeros((1, 12, 10, 5)),
            ),
            folder,
            store=tmp_path / "f.zarr",
            outputs="b",
            **HOW,
        )


def test_a_store_of_a_users_own_transform_goes_on_in_another_process(tmp_path):
    folder = scenes(tmp_path / "scenes", ".tif", (12, 10, 11))

    def bundle() -> Bundle:
        return of_bands(folder, 11, (12, 10), lambda array: array / 4000)

    ss.explain_dataset(bundle(), folder, store=tmp_path / "e.zarr", outputs="b", limit=2, **HOW)
    assert len(ss.explain_dataset(bundle(), folder, store=tmp_path / "e.zarr", outputs="b", **HOW).store) == 6


def test_a_region_of_interest_of_bands_is_summed_where_it_can_be_placed_and_else_refused(tmp_path):
    folder = scenes(tmp_path / "scenes", ".npy", (12, 10, 5))
    store = ss.explain_dataset(
        of_bands(folder, 5, (12, 10)), folder, store=tmp_path / "e.zarr", outputs="b", roi="below:4", **HOW
    ).store
    expected = store[:].values.double()[..., 4:, :].sum((1, 2, 3, 4))
    np.testing.assert_allclose(np.stack(store.images["part_region"])[:, 0], expected, atol=1e-4)
    small = of_bands(folder, 5, (6, 5), lambda array: array[::2, ::2])
    with pytest.raises(DataError, match="explain without --roi"):
        ss.explain_dataset(small, folder, store=tmp_path / "f.zarr", outputs="b", roi="below:4", **HOW)


def test_a_model_of_targets_without_one_says_what_to_give(photos, tmp_path):
    with pytest.raises(
        SettingError, match=r"Segmenter answers with more than a row an image: say.* --target"
    ):
        ss.explain_dataset(segmenter(photos), photos, store=tmp_path / "e.zarr", **HOW)
