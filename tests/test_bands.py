"""Images as they are stored: readers of bands, 16 bits and volumes, a dataset and a bundle of them, and the table."""

import pickle
import sys

import cv2
import nibabel
import numpy as np
import psutil
import pydicom
import pytest
import rasterio
import tifffile
import torch
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from torch import Tensor, nn

import shapsight as ss
from shapsight import Bundle, DeepShap, Explanation, GradientShap, PartitionShap, RegionShap
from shapsight.data.stored import read_stored
from shapsight.errors import DataError, ExplainerError, MissingDependency, ModelError
from shapsight.models.bundle import load_bundle

BANDS, SIZE = 11, (12, 10)


def scene(seed: int = 0) -> np.ndarray:
    """(12, 10, 11), 16 bits, of which 8 would leave nothing."""
    return np.random.default_rng(seed).integers(0, 4000, (*SIZE, BANDS)).astype(np.uint16)


def write_tiff(path, array: np.ndarray, planes: str = "contig"):
    shown = array if planes == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(path, shown, photometric="minisblack", planarconfig=planes)
    return path


def write_dicom(path, array: np.ndarray, **more: object):
    """(rows, columns) or (frames, rows, columns)."""
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    file.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file.Rows, file.Columns = array.shape[-2:]
    file.NumberOfFrames = 1 if array.ndim == 2 else len(array)
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    for name, value in more.items():
        setattr(file, name, value)
    file.PixelData = array.astype(np.uint16).tobytes()
    file.save_as(path, enforce_file_format=True)
    return path


class Linear(nn.Module):
    """A weight for each band: what a band contributes has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, BANDS))

    def forward(self, x: Tensor) -> Tensor:
        return (x.mean((2, 3)) * self.weight).sum(1, keepdim=True)


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_tiff_of_bands_is_read_as_it_is_stored(tmp_path, planes):
    found = read_stored(write_tiff(tmp_path / "a.tif", scene(), planes))
    assert found.dtype == np.uint16 and np.array_equal(found, scene())


def test_bands_are_the_shorter_of_the_first_and_the_last_axis_where_a_file_does_not_say(tmp_path):
    first = np.moveaxis(scene(), -1, 0)[:5]
    np.save(tmp_path / "first.npy", first)
    np.savez(tmp_path / "last.npz", image=scene()[..., :5].astype(np.float32))
    tifffile.imwrite(tmp_path / "pages.tif", first)
    for name in ("first.npy", "last.npz", "pages.tif"):
        assert np.array_equal(read_stored(tmp_path / name), scene()[..., :5])
    np.save(tmp_path / "volume.npy", first)
    assert read_stored(tmp_path / "volume.npy", 3).shape == (5, *SIZE, 1)


@pytest.mark.filterwarnings("ignore")  # of rasterio's own libraries
def test_a_compressed_geotiff_is_read_by_rasterio_which_is_named_where_it_lacks(tmp_path, monkeypatch):
    bands = np.moveaxis(scene(), -1, 0)
    shape = {"height": SIZE[0], "width": SIZE[1], "count": BANDS, "dtype": "uint16"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", compress="lzw", **shape) as file:
        file.write(bands)
    assert np.array_equal(read_stored(tmp_path / "a.tif"), scene())

    def no_codec(_series):
        raise ValueError("LZW requires the imagecodecs package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", no_codec)
    assert np.array_equal(read_stored(tmp_path / "a.tif"), scene())
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"imagecodecs.*shapsight\[geo\]"):
        read_stored(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_of_16_bits_keeps_them(tmp_path, channels):
    pixels = scene()[..., :channels] * 16
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    assert np.array_equal(read_stored(tmp_path / "a.png"), pixels)


def test_a_photograph_is_read_as_it_is(tmp_path):
    pixels = scene().astype(np.uint8)[..., :3]
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., ::-1])
    assert np.array_equal(read_stored(tmp_path / "a.png"), pixels)


def test_a_dicom_is_in_its_own_unit_whatever_its_window(tmp_path):
    pixels = scene()[..., 0]
    path = write_dicom(
        tmp_path / "a.dcm", pixels, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=80
    )
    assert np.array_equal(read_stored(path)[..., 0], pixels * 2.0 - 1024)
    several = read_stored(write_dicom(tmp_path / "b.dcm", np.stack([pixels, pixels + 1])))
    assert several.shape == (2, *SIZE, 1)


def test_a_nifti_is_slices_rows_and_columns(tmp_path):
    volume = np.random.default_rng(0).random((4, 12, 10)).astype(np.float32)
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4)), tmp_path / name)
        assert np.array_equal(read_stored(tmp_path / name)[..., 0], volume)


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.npz", "a.dcm", "a.nii", "a.nii.gz", "a.png"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None], ids=["empty", "foreign", "cut off"])
def test_a_damaged_file_is_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        if name == "a.tif":
            write_tiff(path, scene())
        elif name == "a.npy":
            np.save(path, scene())
        elif name == "a.npz":
            np.savez(path, scene())
        elif name == "a.dcm":
            write_dicom(path, scene()[..., 0])
        elif name == "a.png":
            cv2.imwrite(str(path), scene()[..., 0])
        else:
            nibabel.save(nibabel.Nifti1Image(scene()[..., :4].astype(np.float32), np.eye(4)), path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} cannot be used"):
        read_stored(path)


def test_arrays_are_never_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    np.save(tmp_path / "a.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.array([Evil()], dtype=object))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Evil()))
    for name in ("a.npy", "a.npz", "b.npy"):
        with pytest.raises(DataError, match="cannot be used"):
            read_stored(tmp_path / name)


def test_a_file_too_large_for_the_memory_is_refused_with_its_bytes(tmp_path, monkeypatch):
    class Free:
        available = 1000

    np.save(tmp_path / "a.npy", scene())
    np.savez_compressed(tmp_path / "a.npz", scene())
    nibabel.save(nibabel.Nifti1Image(scene()[..., :4].astype(np.float32), np.eye(4)), tmp_path / "a.nii")
    paths = [
        write_tiff(tmp_path / "a.tif", scene()),
        tmp_path / "a.npy",
        tmp_path / "a.npz",
        tmp_path / "a.nii",
    ]
    monkeypatch.setattr(psutil, "virtual_memory", Free)
    for path in (*paths, write_dicom(tmp_path / "a.dcm", np.zeros((50, 50)))):
        with pytest.raises(DataError, match=r"\d+ bytes\), and 0.0 GB are free: cut it into pieces"):
            read_stored(path)


@pytest.mark.parametrize(("name", "module"), [("a.dcm", "pydicom"), ("a.nii", "nibabel")])
def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, name, module):
    (tmp_path / name).write_bytes(b"any")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=r"shapsight\[medical\]"):
        read_stored(tmp_path / name)


def test_values_that_are_no_numbers_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.full((*SIZE, 2), np.nan))
    np.save(tmp_path / "b.npy", np.zeros((*SIZE, 2), complex))
    np.savez(tmp_path / "c.npz", a=scene(), b=scene())
    for name, said in (("a", "NaN"), ("b", "complex128"), ("c", "2 arrays")):
        with pytest.raises(DataError, match=said):
            read_stored(next(tmp_path.glob(f"{name}.*")))


@pytest.fixture
def folder(tmp_path):
    """12 scenes in two places whose target is the mean of band 7, over 4,000."""
    for number in range(12):
        array = scene(number)
        place = tmp_path / ("north" if number % 2 else "south")
        place.mkdir(exist_ok=True)
        write_tiff(place / f"scene_{number:02}_{array[..., 7].mean() / 4000:.6f}.tif", array)
    return tmp_path


def read(folder):
    return ss.read_dataset(folder, pattern="scene_{number}_{wet}", targets=["wet"])


def of_band_7() -> Linear:
    model = Linear()
    with torch.no_grad():
        model.weight.copy_(torch.eye(BANDS)[7])
    return model


def test_a_dataset_of_bands_is_read_evaluated_and_explained(folder):
    data = read(folder)
    assert len(data) == 12 and (data.table["bands"] == BANDS).all() and (data.table["width"] == SIZE[1]).all()
    paths = [folder / path for path in data.table["path"]]
    bundle = Bundle.wrap(
        of_band_7(), lambda a: a / 4000, outputs=["wet"], channels=BANDS, size=SIZE, references=paths[:4]
    )
    assert bundle.load(data).shape == (12, BANDS, *SIZE)
    assert torch.allclose(bundle.predict(paths)[:, 0], data.target_values()[:, 0], atol=1e-5)
    table = ss.evaluate(bundle, data).table
    assert (table["mae"] < 1e-4).all()
    for method in ("deep", "gradient", "partition", "regions"):
        found = ss.explain(bundle, paths[:2], method)
        assert found.images.shape == (2, BANDS, *SIZE)
        assert float(found.completeness_gap.abs().max()) < 1e-5


def test_a_bundle_of_bands_comes_back_with_its_transform_by_name(folder, monkeypatch, tmp_path):
    (tmp_path / "my_bands.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def scaled(array):\n    return array / 4000\n"
        "def network(outputs):\n"
        "    return nn.Sequential(nn.Conv2d(11, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(160, outputs))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import my_bands

    made = {"channels": BANDS, "size": SIZE, "arch": "my_bands:network", "outputs": ["wet"]}
    bundle = Bundle.wrap(my_bands.network(1), "my_bands:scaled", **made)
    again = load_bundle(bundle.save(tmp_path / "bundle"))
    assert torch.allclose(again.predict(scene()), bundle.predict(scene())) and "11 bands" in repr(again)
    with pytest.raises(ModelError, match="pass it by name"):
        Bundle.wrap(my_bands.network(1), lambda a: a / 4000, **made).save(tmp_path / "other")


def test_arrays_and_tensors_in_memory_are_a_dataset_too():
    arrays = [scene(number) for number in range(6)]
    data = ss.read_dataset((arrays, [float(n) for n in range(6)]), targets=["n"], for_training=False)
    bundle = Bundle.wrap(Linear(), channels=BANDS, size=SIZE)
    assert torch.equal(bundle.load(data)[3], torch.from_numpy(arrays[3].astype(np.float32)).movedim(-1, 0))
    assert (data.table["bands"] == BANDS).all()


def test_volumes_in_files_are_explained_by_path(tmp_path):
    volume = np.random.default_rng(0).random((4, 12, 10)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4)), tmp_path / "a.nii.gz")
    np.save(tmp_path / "b.npy", volume[..., None])
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 2 * 10 * 8, 2))
    bundle = Bundle.wrap(model, channels=1, size=(4, 12, 10), references=[np.zeros((4, 12, 10, 1))])
    found = ss.explain(bundle, [tmp_path / "a.nii.gz", tmp_path / "b.npy"])
    assert found.values.shape == (2, 2, 1, 4, 12, 10) and torch.equal(found.values[0], found.values[1])
    assert ss.read_dataset(tmp_path, targets=[]).table["path"].tolist() == ["a.nii.gz", "b.npy"]


def test_a_dataset_of_volumes_is_read_by_its_names_and_evaluated(tmp_path):
    for number in range(6):
        volume = np.random.default_rng(number).random((4, 12, 10)).astype(np.float32)
        nibabel.save(
            nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4)),
            tmp_path / f"scan_{number}_{volume.mean():.6f}.nii.gz",
        )
    model = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 1))
    with torch.no_grad():
        model[2].weight.fill_(1), model[2].bias.zero_()
    data = ss.read_dataset(tmp_path, pattern="scan_{n}_{mean}", targets=["mean"], for_training=False)
    bundle = Bundle.wrap(model, outputs=["mean"], channels=1, size=(4, 12, 10))
    assert (ss.evaluate(bundle, data).table["mae"] < 1e-5).all()


def test_files_of_other_bands_than_most_are_left_out_by_name(folder):
    write_tiff(folder / "north" / "scene_20_0.5.tif", scene()[..., :5])
    data = read(folder)
    assert data.skipped["path"].tolist() == ["north/scene_20_0.5.tif"]
    assert "holds 5 bands, where most of these images hold 11 bands" in data.skipped["reason"][0]


def test_a_folder_of_as_many_images_of_each_number_of_bands_is_refused_with_their_names(tmp_path):
    for number in range(2):
        write_tiff(tmp_path / f"a{number}.tif", scene()[..., :5])
        write_tiff(tmp_path / f"b{number}.tif", scene())
    with pytest.raises(DataError, match=r"5 bands: a0.tif, a1.tif; 11 bands: b0.tif, b1.tif"):
        ss.read_dataset(tmp_path, targets=[])


def test_arrays_beside_photographs_are_no_images(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    np.save(tmp_path / "embeddings.npy", np.zeros((3, 5)))
    assert ss.read_dataset(tmp_path, targets=[]).table["path"].tolist() == ["a.png"]


def test_a_model_of_pictures_says_what_bands_need(folder):
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    bundle = Bundle.wrap(network, size=8)
    with pytest.raises(DataError, match=r"channels=11"):
        bundle.predict(next(folder.glob("*/*.tif")))
    with pytest.raises(DataError, match=r"channels=11"):
        bundle.load(read(folder))


def test_a_study_that_changes_scenes_says_what_takes_such_models(folder):
    bundle = Bundle.wrap(of_band_7(), outputs=["wet"], channels=BANDS, size=SIZE)
    with pytest.raises(ModelError, match=r"diagnose changes scenes.*shapsight.explain"):
        ss.diagnose(bundle, read(folder))


def test_another_shape_than_the_model_takes_is_told(tmp_path):
    bundle = Bundle.wrap(Linear(), channels=BANDS, size=(16, 16))
    with pytest.raises(DataError, match=r"\(11, 12, 10\).*takes \(11, 16, 16\)"):
        bundle.predict(write_tiff(tmp_path / "a.tif", scene()))
    with pytest.raises(ModelError, match=r"channels=11, size=None: say"):
        Bundle.wrap(Linear(), channels=BANDS)
    with pytest.raises(ModelError, match="wrapped with channels= as well"):
        Bundle.wrap(Linear(), size=(4, 12, 10))


@pytest.mark.parametrize("explainer", [DeepShap, GradientShap])
def test_each_band_of_a_linear_model_contributes_what_its_closed_form_says(explainer):
    model, image, references = Linear(), torch.rand(1, BANDS, *SIZE), torch.rand(5, BANDS, *SIZE)
    table = explainer(model, references)(image).bands_table()
    expected = model.weight.detach() * (image.mean((2, 3)) - references.mean((0, 2, 3)))
    off = 2e-3 if explainer is GradientShap else 1e-6
    assert table["value"].to_numpy() == pytest.approx(expected[0].numpy(), abs=off)
    assert table["share"].sum() == pytest.approx(1) and table["share"].idxmin() == 5  # whose weight is 0


@pytest.mark.parametrize("masker", ["mean", "blur(3,3)", "inpaint_diffuse", "inpaint_ns", "constant(0)"])
def test_black_boxes_hide_all_bands_of_a_pixel(masker):
    slope = torch.linspace(0, 1, SIZE[0] * SIZE[1]).view(1, 1, *SIZE)
    model, image = Linear(), slope * torch.rand(1, BANDS, 1, 1)
    for explainer in (PartitionShap(model, masker, max_evals=60), RegionShap(model, masker, "slic(6)")):
        found = explainer(image)
        assert found.values.shape == (1, 1, 1, *SIZE) and float(found.completeness_gap.abs().max()) < 1e-5
        with pytest.raises(ExplainerError, match=r"one value for all 11 bands.*DeepShap"):
            found.bands_table()


def test_a_constant_needs_a_number_for_each_band():
    hidden = RegionShap(Linear(), list(range(BANDS)), "grid(1,2)")(torch.rand(1, BANDS, *SIZE))
    expected = (Linear().weight.detach() * torch.arange(BANDS)).sum()
    assert float(hidden.base_values) == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(ExplainerError, match="3 numbers, and the image 11 channels"):
        RegionShap(Linear(), (1, 2, 3), "grid(1,2)")(torch.rand(1, BANDS, *SIZE))


def test_arrays_of_16_bits_are_explained_without_going_through_8():
    image = (scene()[..., :3] * 16)[None]
    seen = []

    def predict(images: np.ndarray) -> np.ndarray:
        seen.append(images.max())
        return images.mean((1, 2, 3))

    PartitionShap(predict, "mean", max_evals=10)(image)
    assert seen[0] == image.max() > 255


def explained() -> Explanation:
    return DeepShap(Linear(), torch.rand(3, BANDS, *SIZE), output_names=["wet"])(torch.rand(2, BANDS, *SIZE))


def notes(figure) -> str:
    return " ".join(text.get_text() for legend in figure.legends for text in legend.get_texts())


def test_a_plot_says_which_bands_it_shows():
    found = explained()
    assert "the mean of its 11 bands" in notes(found.plot())
    assert "bands 7, 3, 1 as red, green, blue" in notes(found.plot(bands=(7, 3, 1)))
    assert "image: band 2" in notes(found.plot(bands=2))
    colours = found.plot(bands=(7, 3, 1)).axes[0].images[0].get_array()
    band = found.images[0, 3].numpy()
    low, high = np.percentile(band, (2, 98))
    assert np.allclose(colours[..., 1], ((band - low) / (high - low)).clip(0, 1), atol=1e-6)
    for wrong in ((1, 2), 11, (0, 1, "a")):
        with pytest.raises(ExplainerError, match="bands="):
            found.plot(bands=wrong)


def test_the_viewer_and_the_overlay_take_bands_too():
    found = explained()
    assert (
        found.view(bands=(7, 3, 1)).content["images"][0]["caption"]
        == "image: bands 7, 3, 1 as red, green, blue"
    )
    assert found.overlay(0, "wet", bands=2).shape == (*SIZE, 3)


def test_a_table_of_bands_takes_names():
    found = explained()
    table = found.bands_table([f"B{n}" for n in range(BANDS)])
    assert table.columns.tolist() == ["image", "output", "band", "name", "value", "share"]
    assert len(table) == 2 * BANDS and table["name"][1] == "B1" and (table["output"] == "wet").all()
    sums = torch.tensor(table["value"].to_numpy()).view(2, BANDS).sum(1)
    assert torch.allclose(sums.float(), (found.predictions - found.base_values)[:, 0], atol=1e-6)
    with pytest.raises(ExplainerError, match="2 names were given for 11 bands"):
        found.bands_table(["a", "b"])
