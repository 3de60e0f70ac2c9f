"""The demo world on disk: the folder format, and folders that hold something else."""

import json

import numpy as np
import pytest
from PIL import Image

from shapsight.data.rooms import ROOMS, drive, write_world
from shapsight.errors import DataError

SETTINGS = {"images_per_room": 3, "size": 32, "seed": 4}


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("demo") / "world", **SETTINGS)


def test_each_image_is_named_after_its_target_and_has_a_mask_of_the_same_stem(world):
    assert sorted(path.name for path in world.iterdir()) == ["images", "roi", "world.json"]
    stems = []
    for room in ROOMS:
        images = {path.stem: path for path in (world / "images" / room).glob("*.jpg")}
        masks = {path.stem: path for path in (world / "roi" / room).glob("*.png")}
        assert len(images) == 3 and images.keys() == masks.keys()
        stems += images
        for frame in drive(room, 3, size=32, seed=4):
            x, y = (round(part) for part in frame.target)
            (stem,) = [stem for stem in images if stem.startswith(f"{x}_{y}_")]
            mask = np.asarray(Image.open(masks[stem]))
            np.testing.assert_array_equal(mask, np.where(frame.roi, 255, 0))
            with Image.open(images[stem]) as image:
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
                assert np.abs(np.asarray(image, float) - frame.image).mean() < 8
    assert len({stem.split("_", 2)[2] for stem in stems}) == 9


def test_the_same_settings_write_the_same_files(world, tmp_path):
    assert contents(write_world(tmp_path / "again", **SETTINGS)) == contents(world)


def test_another_seed_writes_other_images(world, tmp_path):
    other = write_world(tmp_path / "other", **{**SETTINGS, "seed": 5})
    before, after = contents(world), contents(other)
    assert not {path for path in before if path.startswith("images") and before[path] == after.get(path)}


def test_a_folder_with_another_world_is_refused(world):
    with pytest.raises(DataError, match=r"other settings \(world='road' instead of 'tape'\)"):
        write_world(world, **SETTINGS, world="tape")


def test_a_world_with_the_same_settings_is_reused(world):
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    calls = []
    assert write_world(world, **SETTINGS, progress=lambda *step: calls.append(step)) == world
    assert not calls and before == {path: path.stat().st_mtime_ns for path in world.rglob("*")}


def test_some_rooms_only_and_progress_after_each_image(tmp_path):
    calls = []
    folder = write_world(
        tmp_path / "deep" / "world",
        rooms=["room_2"],
        images_per_room=2,
        size=32,
        progress=lambda *c: calls.append(c),
    )
    assert [path.name for path in (folder / "images").iterdir()] == ["room_2"]
    assert calls == [(1, 2), (2, 2)]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "world").mkdir()
    write_world(tmp_path / "world", rooms=["room_1"], images_per_room=1, size=32)
    assert (tmp_path / "world" / "world.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_an_interrupted_world_leaves_nothing_behind(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "world", rooms=["room_1"], images_per_room=2, size=32, progress=interrupt)
    assert not [*tmp_path.iterdir()]


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(DataError, match="holds no world of ours"):
        write_world(tmp_path, **SETTINGS)
    assert contents(tmp_path) == {"thesis.txt": b"chapter 1"}


@pytest.mark.parametrize("card", ["[]", "{}", "{", json.dumps({"format": "shapsight.world/0"})])
def test_a_folder_with_a_strange_card_is_refused(tmp_path, card):
    (tmp_path / "world.json").write_text(card)
    with pytest.raises(DataError, match=r"no world of ours|another version"):
        write_world(tmp_path, **SETTINGS)


def test_a_world_with_other_settings_is_refused_with_the_difference(world):
    with pytest.raises(DataError, match="size=32 instead of 48"):
        write_world(world, **{**SETTINGS, "size": 48})


def test_a_world_that_lost_files_is_refused(tmp_path):
    folder = write_world(tmp_path / "world", rooms=["room_1"], images_per_room=2, size=32)
    next((folder / "roi" / "room_1").iterdir()).unlink()
    with pytest.raises(DataError, match="1 files instead of 2"):
        write_world(folder, rooms=["room_1"], images_per_room=2, size=32)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "world").write_text("")
    with pytest.raises(DataError, match="is a file"):
        write_world(tmp_path / "world", **SETTINGS)


@pytest.mark.parametrize("rooms", [[], ["room_1", "room_1"], "room_1"])
def test_rooms_must_be_a_list_of_different_rooms(tmp_path, rooms):
    with pytest.raises(DataError, match="list of different rooms"):
        write_world(tmp_path / "world", rooms=rooms)


def test_nothing_is_written_for_an_unknown_room(tmp_path):
    with pytest.raises(DataError, match="no room 'room_9'"):
        write_world(tmp_path / "world", rooms=["room_1", "room_9"], **SETTINGS)
    assert not [*tmp_path.iterdir()]
