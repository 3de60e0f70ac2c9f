"""The track's own mask for the photographs of the story: docs/story/track_mask.py."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

FILE = Path(__file__).parents[1] / "docs" / "story" / "track_mask.py"
TAPE, SHEET, FLOOR, CARPET = (40, 110, 230), (190, 195, 190), (120, 120, 120), (60, 40, 160)  # blue first


@pytest.fixture(scope="module")
def story():
    spec = importlib.util.spec_from_file_location("track_mask", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(floor):
    """A sheet with two tapes on a floor, under a lens with a dark, pink rim; and where the sheet lies."""
    corners = np.array([[-60, 223], [70, 40], [160, 36], [300, 223]])
    picture = np.full((224, 224, 3), floor, np.uint8)
    picture[:14] = (200, 200, 205)  # a light wall
    cv2.fillConvexPoly(picture, corners, SHEET)
    cv2.line(picture, (80, 41), (10, 223), TAPE, 9)
    cv2.line(picture, (150, 38), (223, 180), TAPE, 9)
    truth = cv2.fillConvexPoly(np.zeros((224, 224), np.uint8), corners, 1) > 0
    rows, columns = np.mgrid[-1:1:224j, -1:1:224j]
    away = (rows**2 + columns**2) / 2
    rim = np.stack([1 - 0.3 * away, 1 - 0.5 * away, 1 - 0.2 * away], axis=-1)
    noise = np.random.default_rng(0).normal(0, 4, picture.shape)
    return (picture * rim + noise).clip(0, 255).astype(np.uint8), truth


@pytest.mark.parametrize("floor", [FLOOR, CARPET])
def test_the_mask_is_sheet_and_tape_without_floor_and_wall(story, floor):
    picture, truth = drawn(floor)
    found = story.track_of(picture)
    assert (found & truth).sum() / (found | truth).sum() > 0.97


def test_the_tape_is_found_under_the_pink_rim_of_the_lens_and_a_carpet_is_none(story):
    picture, truth = drawn(CARPET)
    tape = np.zeros((224, 224), np.uint8)
    cv2.line(tape, (80, 41), (10, 223), 1, 9)
    cv2.line(tape, (150, 38), (223, 180), 1, 9)
    found, tape = story.tape_of(picture), tape.astype(bool)
    near = slice(80, None)  # what is as wide as this further up is taken for wood
    assert (found & tape)[near].sum() / (found | tape)[near].sum() > 0.85
    assert not found[~truth].any()


def test_a_row_and_a_folder_of_files_give_the_same_masks(story, tmp_path, monkeypatch):
    (tmp_path / "photographs" / "room_1").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photographs" / "room_1" / "a.jpg"), drawn(FLOOR)[0])
    story.main(tmp_path / "photographs", tmp_path / "masks")
    monkeypatch.setenv("TRACK_PHOTOGRAPHS", str(tmp_path / "photographs"))
    written = cv2.imread(str(tmp_path / "masks" / "room_1" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(written > 127, story.track_mask({"path": "room_1/a.jpg"}))


def test_a_sheet_to_look_at_shows_as_many_photographs_of_each_room(story, tmp_path):
    for room in ("room_1", "room_2"):
        (tmp_path / "photographs" / room).mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(tmp_path / "photographs" / room / f"{number}.jpg"), drawn(FLOOR)[0])
    story.main(tmp_path / "photographs", tmp_path / "masks")
    sheet = story.sheet(tmp_path / "photographs", tmp_path / "masks", count=6, across=3)
    assert sheet.shape == (2 * 224, 3 * 224, 3)
    outline = (sheet == (255, 0, 255)).all(axis=-1)
    assert 400 < outline[:224, :224].sum() < 2000


def test_of_two_labels_of_a_photograph_the_far_one_stays_and_copies_go(tmp_path):
    spec = importlib.util.spec_from_file_location("far_labels", FILE.with_name("far_labels.py"))
    far = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(far)
    for name in ("room_1/5_9_a.jpg", "room_3/10_80_a.jpg", "room_3/12_40_a.jpg", "room_3/12_40_a copy.jpg",
                 "room_3/100_120_b_2.jpg", "room_3/90_30_b_2.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    kept = {str(path.relative_to(tmp_path)) for path in far.far_labels(tmp_path)}
    assert kept == {"room_1/5_9_a.jpg", "room_3/12_40_a.jpg", "room_3/90_30_b_2.jpg"}
