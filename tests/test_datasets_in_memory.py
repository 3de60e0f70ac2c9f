"""Datasets that are Python objects: torch datasets, DataFrames, Hugging Face datasets, lists and arrays."""

from __future__ import annotations

import pickle

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import DatasetFolder, ImageFolder
from torchvision.transforms import v2

from discs import WALLS, disc, write_discs
from shapsight.data.checks import check_dataset
from shapsight.data.images import load_images
from shapsight.data.manifest import Manifest
from shapsight.data.readers import read_dataset
from shapsight.data.roi import read_roi
from shapsight.errors import DataError
from shapsight.studies.train.study import train

datasets.disable_progress_bars()
SIZE = 16
ROOMS = list(WALLS)


def target_of(number: int) -> tuple[int, int]:
    x, y = np.random.default_rng(number).integers(SIZE + 1, size=2)
    return int(x), int(y)


def array_of(number: int) -> np.ndarray:
    return disc(*target_of(number), SIZE, SIZE, WALLS[ROOMS[number % 3]])


def mask_of(number: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[number % SIZE :] = True
    return mask


ARRAYS = np.stack([array_of(number) for number in range(30)])
TARGETS = np.array([target_of(number) for number in range(30)])


class Discs(Dataset):
    """Thirty discs as (image, target), with what `change` makes of each item."""

    def __init__(self, change=lambda image, number: (image, torch.tensor(TARGETS[number])), count: int = 30):
        self.change, self.count = change, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int):
        if number >= self.count:
            raise IndexError
        return self.change(Image.fromarray(array_of(number)), number)


def as_dict(image, number):
    x, y = target_of(number)
    return {"image": image, "x": x, "y": y, "room": ROOMS[number % 3], "mask": mask_of(number)}


def pixels(manifest: Manifest) -> np.ndarray:
    return load_images(manifest, list(manifest.table["path"]), SIZE).permute(0, 2, 3, 1).numpy()


def assert_same(manifest: Manifest, numbers=range(30)) -> None:
    """The pixels and targets are those of the discs, and stay so when they are asked for again."""
    numbers = list(numbers)
    assert len(manifest) == len(numbers)
    assert (pixels(manifest) == ARRAYS[numbers]).all()
    assert (pixels(manifest) == ARRAYS[numbers]).all()
    np.testing.assert_allclose(manifest.target_values(), 2 * TARGETS[numbers] / SIZE - 1, rtol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        lambda image: image,
        v2.PILToTensor(),
        v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
        v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32)]),
        np.asarray,
        lambda image: np.asarray(image) / 255,
        lambda image: np.asarray(image).astype(np.int64),
    ],
    ids=["PIL", "uint8", "fractions", "float to 255", "array", "array of fractions", "whole numbers"],
)
def test_a_torch_dataset_gives_its_pixels_and_targets_whatever_its_images_are(image):
    dataset = Discs(lambda picture, number: (image(picture), torch.tensor(TARGETS[number])))
    manifest = read_dataset(dataset, targets=["x", "y"])
    assert_same(manifest)
    assert manifest.targets == ("x", "y")
    assert any("taken for pixels" in note for note in manifest.notes)


def test_each_item_is_read_once_but_for_those_that_are_read_again_to_compare():
    asked = []

    def counted(image, number):
        asked.append(number)
        return image, 0.5 * number

    manifest = read_dataset(Subset(Discs(counted, 200), range(100)))
    load_images(manifest, list(manifest.table["path"]), SIZE)
    assert set(asked) == set(range(100))
    assert len(asked) == 100 + 32


def test_fractions_are_turned_to_eight_bits_with_a_note():
    dataset = Discs(
        lambda image, n: (v2.functional.to_dtype(v2.functional.to_image(image), scale=True), 1.5 * n)
    )
    manifest = read_dataset(dataset, targets="speed")
    assert any("30 images of fractions, not 8 bits" in note for note in manifest.notes)
    assert manifest.table["speed"].tolist() == [1.5 * n for n in range(30)]


def test_dicts_have_columns_and_their_masks_are_regions_of_interest():
    manifest = read_dataset(Discs(as_dict), environment="column:room", roi="column:mask", train_on="red")
    assert_same(manifest)
    assert manifest.table["environment"].tolist() == [ROOMS[n % 3] for n in range(30)]
    assert (manifest.table.loc[manifest.table["environment"] != "red", "split"] == "unseen").all()
    roi = read_roi(manifest.roi)
    for number, row in enumerate(manifest.table.to_dict("records")):
        assert (roi.mask(row) == mask_of(number)).all()


def test_a_subset_keeps_the_order_of_its_indices_and_a_concatenation_all_items():
    chosen = [7, 3, 29, 0]
    assert_same(read_dataset(Subset(Subset(Discs(as_dict), range(30)), chosen)), chosen)
    assert_same(read_dataset(ConcatDataset([Discs(as_dict, 20), Subset(Discs(as_dict), range(20, 30))])))


def test_a_function_is_given_the_row_or_the_path_that_an_item_says_it_has():
    manifest = read_dataset(Discs(as_dict), environment=lambda row: "left" if row["x"] < 8 else "right")
    assert manifest.table["environment"].tolist() == ["left" if x < 8 else "right" for x in TARGETS[:, 0]]
    with_paths = Discs(lambda image, n: as_dict(image, n) | {"path": f"drive_{n % 2}/{n}.jpg"})
    manifest = read_dataset(with_paths, environment=lambda path: path.split("/")[0])
    assert manifest.table["environment"].tolist() == [f"drive_{n % 2}" for n in range(30)]


def test_a_function_that_raises_is_told_which_columns_there_are():
    with pytest.raises(DataError, match="KeyError: 'rom', for a row with x, y, room"):
        read_dataset(Discs(as_dict), environment=lambda row: row["rom"])


def test_a_list_of_items_is_read_as_a_dataset_that_gives_them():
    assert_same(read_dataset([as_dict(Image.fromarray(ARRAYS[n]), n) for n in range(30)]))
    assert_same(read_dataset(list(zip(ARRAYS, TARGETS, strict=True)), targets=["x", "y"]))


def test_environment_split_and_group_may_be_a_value_for_each_image():
    rooms = [ROOMS[n % 3] for n in range(30)]
    splits = ["train"] * 20 + ["test"] * 10
    groups = torch.arange(30) // 5
    manifest = read_dataset(Discs(as_dict), environment=rooms, split=splits, group=groups)
    assert manifest.table["environment"].tolist() == rooms
    assert (manifest.table["split"] == "test").tolist() == [split == "test" for split in splits]
    assert manifest.table["group"].tolist() == [str(n // 5) for n in range(30)]
    with pytest.raises(DataError, match=r"environment= has 29 values for 30 images"):
        read_dataset(Discs(as_dict), environment=rooms[1:])


def test_values_for_each_image_are_refused_where_the_images_are_files(tmp_path):
    write_discs(tmp_path / "red", 4)
    with pytest.raises(DataError, match="environment= was given as 4 values"):
        read_dataset(tmp_path, environment=["a", "b", "a", "b"])


def test_names_that_were_not_given_are_said():
    manifest = read_dataset(Discs(lambda image, n: (image, torch.tensor(TARGETS[n] / 7))))
    assert manifest.targets == ("target_0", "target_1")
    assert any("called target_0, target_1" in note for note in manifest.notes)
    np.testing.assert_allclose(manifest.target_values(), TARGETS / 7, rtol=1e-6)
    with pytest.raises(DataError, match="target has 2 numbers, but 3 were named: a, b, c"):
        read_dataset(Discs(), targets=["a", "b", "c"])


def test_whole_numbers_are_classes_with_a_note_unless_it_is_said_otherwise():
    dataset = Discs(lambda image, n: (image, n % 12))
    manifest = read_dataset(dataset)
    assert manifest.class_names == tuple(map(str, range(12)))  # 10 after 9, not after 1
    assert manifest.label_numbers().tolist() == [n % 12 for n in range(30)]
    assert any("taken for 12 classes" in note for note in manifest.notes)
    for options in ({"targets": ["hour"]}, {"task": "regression"}):
        numbers = read_dataset(dataset, **options)
        assert numbers.target_values()[:, 0].tolist() == [n % 12 for n in range(30)]
    named = read_dataset(dataset, class_names=[f"month {n}" for n in range(12)])
    assert named.table["label"].tolist() == [f"month {n % 12}" for n in range(30)]
    assert not any("taken for" in note for note in named.notes)
    with pytest.raises(DataError, match="run from 0 to 11, but there are 2 class names"):
        read_dataset(dataset, class_names=["a", "b"])


def test_the_classes_of_a_dataset_are_its_labels_in_its_order():
    dataset = Discs(lambda image, n: (image, n % 2))
    dataset.classes = ["zebra", "ant"]
    manifest = read_dataset(Subset(dataset, range(10)))
    assert manifest.class_names == ("zebra", "ant")
    assert manifest.label_numbers().tolist() == [n % 2 for n in range(10)]


@pytest.mark.parametrize("is_subset", [False, True])
def test_an_image_folder_is_read_from_its_files(tmp_path, is_subset, monkeypatch):
    for room in ("red", "green"):
        write_discs(tmp_path / room / "morning", 3)
        write_discs(tmp_path / room / "night", 3, seed=1)
    folder = ImageFolder(tmp_path, transform=v2.RandomErasing())
    monkeypatch.setattr(DatasetFolder, "__getitem__", lambda *_: pytest.fail("an item was decoded"))
    numbers = [5, 0, 7, 11] if is_subset else list(range(12))
    manifest = read_dataset(Subset(folder, numbers) if is_subset else folder, environment="folder:2")
    assert manifest.root == tmp_path
    assert [str(tmp_path / path) for path in manifest.table["path"]] == [
        folder.samples[n][0] for n in numbers
    ]
    assert manifest.class_names == ("green", "red")
    assert manifest.label_numbers().tolist() == [folder.samples[n][1] for n in numbers]
    assert set(manifest.table["environment"]) == {"morning", "night"}
    assert manifest.pictures is None
    assert any("its transform was not used" in note for note in manifest.notes)


def test_an_image_folder_with_items_of_its_own_is_read_by_its_items(tmp_path):
    for room in ("red", "green"):
        write_discs(tmp_path / room, 3, width=SIZE, height=SIZE)

    class Dark(ImageFolder):
        def __getitem__(self, number):
            image, target = super().__getitem__(number)
            return np.asarray(image) // 2, target

    manifest = read_dataset(Dark(tmp_path))
    plain = read_dataset(ImageFolder(tmp_path))
    assert (pixels(manifest) == pixels(plain) // 2).all()
    assert manifest.class_names == ("green", "red")


def test_a_data_frame_of_paths_is_read_as_a_table_is(tmp_path):
    rooms = [write_discs(tmp_path / room, 4) for room in ("red", "blue")]
    files = [path for room in rooms for path in room]
    frame = pd.DataFrame({"file": files, "speed": np.arange(8) / 3, "night": [n % 2 for n in range(8)]})
    manifest = read_dataset(frame, targets=["speed"], train_on="red")
    assert [(manifest.root / path) for path in manifest.table["path"]] == files
    assert manifest.table["environment"].tolist() == ["red"] * 4 + ["blue"] * 4
    assert not any("another computer" in note for note in manifest.notes)
    frame.assign(file=[path.relative_to(tmp_path) for path in files]).to_csv(
        tmp_path / "table.csv", index=False
    )
    table = read_dataset(tmp_path / "table.csv", targets=["speed"], train_on="red")
    pd.testing.assert_frame_equal(manifest.table, table.table)
    assert read_dataset(frame, environment="column:night").environments == ("0", "1")
    assert read_dataset(frame, environment=list("abcdabcd")).environments == tuple("abcd")


def test_a_data_frame_may_hold_the_images():
    frame = pd.DataFrame(
        {"photo": list(map(Image.fromarray, ARRAYS)), "x": TARGETS[:, 0], "y": TARGETS[:, 1]}
    )
    assert_same(read_dataset(frame))
    frame["photo"] = list(ARRAYS)
    assert_same(read_dataset(frame.iloc[::-1], path_column="photo"), range(29, -1, -1))


@pytest.mark.parametrize(
    "images",
    [
        ARRAYS,
        list(ARRAYS),
        list(map(Image.fromarray, ARRAYS)),
        torch.from_numpy(ARRAYS).permute(0, 3, 1, 2),
        torch.from_numpy(ARRAYS).permute(0, 3, 1, 2) / 255,
    ],
    ids=["array", "arrays", "PIL", "tensor", "fractions"],
)
@pytest.mark.parametrize(
    "targets",
    [
        TARGETS,
        torch.from_numpy(TARGETS),
        {"x": TARGETS[:, 0], "y": torch.from_numpy(TARGETS[:, 1])},
        pd.DataFrame(TARGETS, columns=["x", "y"]),
    ],
    ids=["array", "tensor", "dict", "DataFrame"],
)
def test_images_and_targets_may_be_lists_arrays_and_tables(images, targets):
    assert_same(read_dataset((images, targets), targets=["x", "y"]))


def test_grey_images_names_of_classes_and_paths_are_read(tmp_path):
    grey = ARRAYS[..., 0]
    manifest = read_dataset((grey, ["cat", "dog"] * 15))
    assert (pixels(manifest) == grey[..., None]).all()
    assert manifest.table["label"].tolist() == ["cat", "dog"] * 15
    files = write_discs(tmp_path, 6)
    manifest = read_dataset((files, np.arange(6) / 2), targets=["speed"])
    assert [manifest.root / path for path in manifest.table["path"]] == files
    assert manifest.table["speed"].tolist() == [n / 2 for n in range(6)]


def test_a_hugging_face_dataset_in_memory_is_read_as_the_saved_one_is(tmp_path):
    rows = {
        "picture": list(map(Image.fromarray, ARRAYS)),
        "answer": [n % 2 for n in range(30)],
        "room": ROOMS * 10,
    }
    features = {"picture": datasets.Image(), "answer": datasets.ClassLabel(names=["no", "yes"])}
    features = datasets.Features(features | {"room": datasets.Value("string")})
    train = datasets.Dataset.from_dict(rows, features=features)
    parts = datasets.DatasetDict({"train": train, "test": train.select(range(4))})
    parts.save_to_disk(str(tmp_path / "saved"))
    manifest = read_dataset(parts, environment="column:room")
    saved = read_dataset(tmp_path / "saved", environment="column:room")
    columns = ["environment", "split", "width", "height", "label"]
    pd.testing.assert_frame_equal(manifest.table[columns], saved.table[columns])
    assert manifest.class_names == saved.class_names == ("no", "yes")
    assert (pixels(manifest) == pixels(saved)).all()
    assert (pixels(manifest)[:30] == ARRAYS).all()
    assert len(read_dataset(train)) == 30
    with pytest.raises(DataError, match="streamed"):
        read_dataset(train.to_iterable_dataset())


def test_a_column_of_images_in_a_hugging_face_dataset_may_be_the_regions():
    rows = {"image": list(map(Image.fromarray, ARRAYS)), "speed": np.arange(30) / 7}
    rows["mask"] = [Image.fromarray(mask_of(n)) for n in range(30)]
    image = datasets.Image()
    features = datasets.Features({"image": image, "speed": datasets.Value("float32"), "mask": image})
    manifest = read_dataset(datasets.Dataset.from_dict(rows, features=features), roi="column:mask")
    assert (read_roi(manifest.roi).mask(manifest.table.iloc[5]) == mask_of(5)).all()


def test_normalised_images_are_refused_with_what_to_do():
    change = v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    )
    with pytest.raises(DataError, match=r"item 0: .* normalised.* without its normalisation"):
        read_dataset(Discs(lambda image, n: (change(image), 0.5 * n)))
    with pytest.raises(DataError, match=r"image_00000.png: .* normalised"):
        read_dataset((torch.from_numpy(ARRAYS).permute(0, 3, 1, 2) / 127.5 - 1, TARGETS))
    with pytest.raises(DataError, match=r"neither from 0 to 1 nor from 0 to 255"):
        read_dataset((ARRAYS / 60, TARGETS))


@pytest.mark.parametrize("change", [v2.RandomHorizontalFlip(), v2.ColorJitter(0.3), v2.RandomErasing(0.3)])
def test_random_augmentations_are_noticed_and_refused(change):
    dataset = Discs(lambda image, n: (change(v2.functional.to_image(image)), 0.5 * n))
    with pytest.raises(DataError, match="not the same image when it is read again"):
        read_dataset(dataset)


def test_one_bad_item_is_left_out_with_its_reason():
    def damaged(image, number):
        if number == 4:
            raise OSError("disk on fire")
        return ("no image" if number == 6 else image), 0.5 * number

    dataset = Discs(damaged)
    manifest = read_dataset(dataset, targets=["speed"])
    assert len(manifest) == 28
    assert dict(manifest.skipped.values) == {
        "image_00004.png": "disk on fire",
        "image_00006.png": "it is a str, not a PIL image, an array (height, width, 3) or (height, width), or a tensor "
        "(3, height, width)",
    }
    assert manifest.table["speed"].tolist() == [0.5 * n for n in range(30) if n not in (4, 6)]


class Endless(IterableDataset):
    def __iter__(self):
        yield from ()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "int is no kind of dataset"),
        ((ARRAYS,), "a tuple of 1"),
        ((ARRAYS, TARGETS[:7]), "30 images came with 7 targets"),
        ((ARRAYS, {"x": [1, 2]}), "column 'x' has 2 values for 30 images"),
        ((ARRAYS, [*TARGETS[:29], np.zeros(3)]), "2 numbers in one image and 3 in another"),
        ((ARRAYS, [np.zeros((4, 4))] * 30), "the targets are of kind ndarray"),
        (([], []), "there are no images"),
        (ARRAYS[0], r"image of shape \(16, 16, 3\) was given.* images\[None\]"),
        (Endless(), "no length"),
        (Discs(count=0), "holds no items"),
        (Discs(lambda image, n: (image, 1, 2)), "item 0 is a tuple of 3"),
        (Discs(lambda image, n: {"x": 1}), "item 0 holds no image: its keys are x"),
        (ARRAYS.transpose(0, 3, 1, 2), r"give transpose\(1, 2, 0\)"),
        (torch.from_numpy(ARRAYS), r"give permute\(2, 0, 1\)"),
        (pd.DataFrame({"speed": [1.0]}), "has no column path or file"),
        (pd.DataFrame({"speed": []}), "no rows"),
    ],
)
def test_what_is_no_dataset_is_refused_with_what_to_give(source, message):
    with pytest.raises(DataError, match=message):
        read_dataset(source)


def test_images_without_targets_are_read_and_nothing_can_be_trained_on_them(tmp_path):
    photos = tmp_path / "photos"
    write_discs(photos / "hall", 3)
    Image.fromarray(array_of(0)).save(photos / "hall" / "holiday.png")
    sources = {
        "array": (ARRAYS, {}),
        "items": (Discs(lambda image, n: image), {}),
        "tensors": (TensorDataset(torch.from_numpy(ARRAYS).permute(0, 3, 1, 2)), {}),
        "none": ((ARRAYS, None), {}),
        "folder": (photos, {"targets": []}),
    }
    for name, (source, options) in sources.items():
        manifest = read_dataset(source, **options)
        assert len(manifest) == (4 if name == "folder" else 30)
        assert not manifest.has_targets
        assert manifest.output_names == ()
        assert "without targets" in manifest.notes[0]
        assert manifest.environments == (("hall",) if name == "folder" else manifest.environments)
        assert set(manifest.table["split"]) == {"unseen"}
        with pytest.raises(DataError, match="have no targets"):
            manifest.target_values()
        assert not Manifest.load(manifest.save(tmp_path / name).parent).has_targets
    assert read_dataset(Discs(), targets=["x", "y"]).has_targets


def test_regions_of_every_kind_are_kept_and_saved_where_they_can_be(tmp_path, monkeypatch):
    write_discs(tmp_path / "data" / "red", 3, width=SIZE, height=SIZE)
    data = tmp_path / "data"
    row = read_dataset(data).table.iloc[0]

    def kept(roi):
        manifest = read_dataset(data, roi=roi)
        again = Manifest.load(manifest.save(tmp_path / "run").parent)
        return manifest, again, None if again.roi is None else read_roi(again.roi).mask(row)

    manifest, again, mask = kept("below:5")
    assert manifest.roi == again.roi == "below:5"
    assert (mask == mask_of(5)).all()
    manifest, again, mask = kept(mask_of(6).astype(float))
    assert (read_roi(manifest.roi).mask(row) == mask_of(6)).all()
    assert (mask == mask_of(6)).all()
    manifest, again, mask = kept(lambda row: mask_of(7))
    assert (read_roi(manifest.roi).mask(row) == mask_of(7)).all()
    assert mask is None
    assert any("is a function" in note and "not saved" in note for note in again.notes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masks" / "red").mkdir(parents=True)
    for path in read_dataset(data).table["path"]:
        Image.fromarray(mask_of(8)).save(tmp_path / "masks" / path)
    manifest, again, mask = kept("masks")
    monkeypatch.chdir(data)
    assert (read_roi(again.roi).mask(row) == mask_of(8)).all()


def test_a_mask_for_each_image_must_have_its_size_and_say_what_is_inside():
    masks = np.stack([mask_of(n) for n in range(30)])
    manifest = read_dataset((ARRAYS, TARGETS), roi=masks)
    assert (read_roi(manifest.roi).mask(manifest.table.iloc[9]) == mask_of(9)).all()
    white = read_dataset((ARRAYS, TARGETS), roi=list(masks.astype(np.uint8) * 255))
    assert (read_roi(white.roi).mask(manifest.table.iloc[9]) == mask_of(9)).all()
    for message, roi in {
        "3 values for 30 images": masks[:3],
        "gave a mask of shape": masks[:, :4],
        "highest number of a mask is 2": masks * 2,
        "there is no column 'wall'": "column:wall",
        "is no region of interest": "belof:3",
    }.items():
        with pytest.raises(DataError, match=message):
            read_dataset((ARRAYS, TARGETS), roi=roi)


def test_a_saved_manifest_holds_its_images_and_masks_wherever_its_folder_is_moved(tmp_path):
    manifest = read_dataset(Discs(as_dict), environment="column:room", roi="column:mask")
    manifest.save(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    again = Manifest.load(tmp_path / "moved")
    pd.testing.assert_frame_equal(again.table, manifest.table)
    assert_same(again)
    roi = read_roi(again.roi)
    assert all((roi.mask(row) == mask_of(n)).all() for n, row in enumerate(again.table.to_dict("records")))
    again.save(tmp_path / "second")
    assert_same(Manifest.load(tmp_path / "second"))


def test_images_too_many_to_be_saved_are_said_and_asked_for_again(tmp_path, monkeypatch):
    for module in ("manifest", "reading_notes"):
        monkeypatch.setattr(f"shapsight.data.{module}.MOST_WRITTEN", 1000)
    manifest = read_dataset(Discs(as_dict))
    again = Manifest.load(manifest.save(tmp_path).parent)
    assert any("the dataset must be given again" in note for note in again.notes)
    with pytest.raises(DataError, match="there is no such file"):
        pixels(again)


def test_a_manifest_of_objects_can_be_sent_to_another_process_and_checked():
    manifest = read_dataset((ARRAYS, TARGETS), targets=["x", "y"], roi=mask_of(3))
    assert_same(pickle.loads(pickle.dumps(manifest)))
    checks = check_dataset(manifest, load_images(manifest, list(manifest.table["path"]), 64))
    assert (checks.loc[checks["check"] == "files that cannot be used", "found"] == "ok").all()


def test_a_torch_dataset_is_trained_on_and_its_run_knows_images_and_regions(tmp_path):
    manifest = read_dataset(
        Discs(as_dict), environment="column:room", roi="column:mask", train_on="red,green".split(",")
    )
    train(manifest, tmp_path / "run", epochs=1, device="cpu", remedies="right-reasons", progress=False)
    again = Manifest.load(tmp_path / "run")
    assert_same(again)
    errors = pd.read_csv(tmp_path / "run" / "errors.csv")
    assert set(errors["environment"]) >= {"red", "green", "blue"}
    assert (read_roi(again.roi).mask(again.table.iloc[2]) == mask_of(2)).all()


def test_x_and_y_from_minus_to_plus_one_lie_in_the_image_as_they_are():
    x, y = np.linspace(-0.3, 0.9, 30), np.linspace(0.2, 0.6, 30)
    read = read_dataset((ARRAYS, {"x": x, "y": y}))
    assert all(scale.is_plain for scale in read.scales.values())
    assert any("x and y run from -1 to +1" in note for note in read.notes)
    np.testing.assert_allclose(read.table[["x", "y"]], np.stack([x, y], 1))
    widths = read_dataset((ARRAYS, {"x": abs(x), "y": y}))  # shares of the width, perhaps
    assert not widths.scales["x"].is_plain


def test_class_names_that_repeat_are_refused():
    with pytest.raises(DataError, match="names one more than once: cat, cat"):
        read_dataset((ARRAYS, [number % 3 for number in range(30)]), class_names=["cat", "cat", "dog"])
