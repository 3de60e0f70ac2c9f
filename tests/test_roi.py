"""The region of interest: the right pixels inside, in step with the resized image, or a clear refusal."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image

from shapsight.data.annotations import is_inside
from shapsight.data.images import load_images
from shapsight.data.readers import read_dataset
from shapsight.data.roi import read_roi
from shapsight.errors import DataError

ROW = {"path": "room_1/3_4_a.jpg", "width": 8, "height": 6}
SQUARE = [[2, 1], [6, 1], [6, 4], [2, 4]]


def polygon_file(tmp_path, content):
    (tmp_path / "roi.json").write_text(json.dumps(content))
    return tmp_path / "roi.json"


def test_below_a_row_are_that_row_and_all_under_it():
    mask = read_roi("below:4").mask(ROW)
    assert mask.shape == (6, 8)
    assert mask.dtype == bool
    assert mask.all(1).tolist() == mask.any(1).tolist() == [False] * 4 + [True] * 2


def test_below_the_last_row_is_refused():
    with pytest.raises(DataError, match=r"below:6 leaves nothing of room_1/3_4_a\.jpg: its 6 rows"):
        read_roi("below:6").mask(ROW)


@pytest.mark.parametrize(
    "spec", ["below:", "below:ten", "below:-1", "below:1.5", "above:3", "track", "", "below:²"]
)
def test_anything_else_is_refused_with_the_grammar(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="A region of interest is one of: below:ROW"):
        read_roi(f"nowhere/{spec}" if spec in ("track", "") else spec)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp"])
def test_a_mask_folder_mirrors_the_images_with_any_suffix(tmp_path, suffix):
    inside = np.random.default_rng(0).random((6, 8)) > 0.5
    (tmp_path / "room_1").mkdir()
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(inside.astype(np.uint8) * 255).save(tmp_path / "room_1" / f"3_4_a{suffix}", **options)
    assert np.array_equal(read_roi(tmp_path).mask(ROW), inside)


def test_what_is_transparent_in_a_mask_is_outside(tmp_path):
    pixels = np.full((6, 8, 4), 255, np.uint8)
    pixels[:3, :, 3] = 0
    (tmp_path / "room_1").mkdir()
    Image.fromarray(pixels).save(tmp_path / "room_1" / "3_4_a.png")
    assert read_roi(tmp_path).mask(ROW).any(1).tolist() == [False] * 3 + [True] * 3


def test_a_missing_mask_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no mask for room_1/3_4_a\.jpg: looked for .*3_4_a\.png"):
        read_roi(tmp_path).mask(ROW)


def test_a_mask_of_another_size_is_refused_naming_both(tmp_path):
    (tmp_path / "room_1").mkdir()
    Image.new("L", (8, 7), 255).save(tmp_path / "room_1" / "3_4_a.png")
    with pytest.raises(DataError, match=r"3_4_a\.png is 8 × 7 pixels, but room_1/3_4_a\.jpg is 8 × 6"):
        read_roi(tmp_path).mask(ROW)


def test_a_mask_of_zeros_and_ones_is_refused_but_a_black_one_is_an_empty_region(tmp_path):
    (tmp_path / "room_1").mkdir()
    Image.new("L", (8, 6), 1).save(tmp_path / "room_1" / "3_4_a.png")
    with pytest.raises(DataError, match="nearly black, its brightest pixel is 1 of 255"):
        read_roi(tmp_path).mask(ROW)
    Image.new("L", (8, 6), 0).save(tmp_path / "room_1" / "3_4_a.png")
    assert not read_roi(tmp_path).mask(ROW).any()


@pytest.mark.parametrize("content", [SQUARE, [SQUARE], {"shapes": [{"label": "track", "points": SQUARE}]}])
def test_a_square_polygon_holds_the_pixels_between_its_corners(tmp_path, content):
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    assert np.array_equal(read_roi(polygon_file(tmp_path, content)).mask(ROW), expected)


def test_overlapping_polygons_are_joined(tmp_path):
    wide = [[0, 2], [8, 2], [8, 3], [0, 3]]
    mask = read_roi(polygon_file(tmp_path, [SQUARE, wide])).mask(ROW)
    assert mask.sum(1).tolist() == [0, 4, 8, 4, 0, 0]


corner = st.tuples(*[st.integers(-40, 260).map(lambda n: n / 10 + 0.013)] * 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(corner, min_size=3, max_size=3, unique=True))
def test_a_triangle_holds_the_pixels_that_matplotlib_finds_inside(corners):
    mask = is_inside(np.array(corners), 22, 20)
    rows, columns = np.mgrid[:20, :22] + 0.5
    points = np.stack([columns.ravel(), rows.ravel()], 1)
    closed = Outline(np.array([*corners, corners[0]]))
    firmly = [closed.contains_points(points, radius=radius).reshape(20, 22) for radius in (1e-9, -1e-9)]
    agree = firmly[0] == firmly[1]  # matplotlib's answer for a point on the edge depends on direction
    assert np.array_equal(mask[agree], firmly[0][agree])


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"shapes": []},
        [[1, 2], [3, 4]],
        "track",
        7,
        [[1, 2, 3]] * 3,
        [SQUARE, [[0, 0]]],
        [["a", 1]] * 3,
    ],
)
def test_a_file_without_polygons_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="holds no polygons of three or more"):
        read_roi(polygon_file(tmp_path, content))


def test_a_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "roi.json").write_bytes(b"\xff\xfe{]")
    with pytest.raises(DataError, match=r"roi\.json cannot be read as JSON"):
        read_roi(tmp_path / "roi.json")


def test_a_polygon_outside_the_image_or_drawn_on_another_size_is_refused(tmp_path):
    far = [[x + 100, y] for x, y in SQUARE]
    with pytest.raises(DataError, match=r"hold no pixel of room_1/3_4_a\.jpg, which is 8 × 6"):
        read_roi(polygon_file(tmp_path, far)).mask(ROW)
    content = {"shapes": [{"points": SQUARE}], "imageWidth": 640, "imageHeight": 480}
    with pytest.raises(DataError, match=r"640 × 480 pixels, but room_1/3_4_a\.jpg is 8 × 6"):
        read_roi(polygon_file(tmp_path, content)).mask(ROW)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(97, 61, 32), (20, 24, 50), (64, 64, 64), (224, 224, 128)]
)
def test_a_resized_mask_covers_what_a_resized_picture_of_it_shows_white(tmp_path, width, height, size):
    polygon = [[width * 0.1, height * 0.9], [width * 0.5, height * 0.2], [width * 0.8, height * 0.95]]
    roi = read_roi(polygon_file(tmp_path, polygon))
    row = {"path": "a.png", "width": width, "height": height}
    Image.fromarray(roi.mask(row).astype(np.uint8) * 255).save(tmp_path / "a.png")
    picture = load_images(tmp_path, ["a.png"], size)[0, 0].numpy()
    assert np.array_equal(roi.mask(row, size), picture >= 128)


def test_coco_polygons_run_lengths_and_boxes_are_drawn_on_their_own_images(tmp_path):
    runs = np.zeros((6, 8), bool)
    runs[1:3, 2:5] = True
    flat = runs.T.ravel()  # COCO counts down the columns
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    images = [{"id": n, "file_name": f"{n}.png", "width": 8, "height": 6} for n in range(4)]
    content = {
        "images": images,
        "annotations": [
            {"image_id": 0, "segmentation": [[2, 1, 6, 1, 6, 4, 2, 4]], "bbox": [0, 0, 1, 1]},
            {"image_id": 1, "segmentation": {"counts": counts, "size": [6, 8]}},
            {"image_id": 2, "bbox": [2, 1, 4, 3]},
        ],
    }
    roi = read_roi(polygon_file(tmp_path, content))
    square = np.zeros((6, 8), bool)
    square[1:4, 2:6] = True
    for number, expected in enumerate((square, runs, square)):
        assert (roi.mask({"path": f"room/{number}.png", "width": 8, "height": 6}) == expected).all()
    with pytest.raises(DataError, match="hold no pixel of 3"):
        roi.mask({"path": "3.png", "width": 8, "height": 6})
    with pytest.raises(DataError, match=r"has no image called room/9\.png"):
        roi.mask({"path": "room/9.png", "width": 8, "height": 6})
    with pytest.raises(DataError, match=r"8 × 6 pixels, but 0\.png is 9 × 6"):
        roi.mask({"path": "0.png", "width": 9, "height": 6})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": {"counts": "abc"}}, "damaged run lengths"),
        ({"segmentation": {"counts": "é"}}, "damaged run lengths"),
        ({"segmentation": {"counts": [1, 2]}}, "do not fill 8 × 6 pixels"),
        ({"category_id": 1}, "damaged as a COCO file"),
    ],
)
def test_a_coco_file_that_cannot_be_drawn_is_refused(tmp_path, change, message):
    content = {
        "images": [{"id": 0, "file_name": "0.png", "width": 8, "height": 6}],
        "annotations": [{"image_id": 0, **change}],
    }
    with pytest.raises(DataError, match=message):
        read_roi(polygon_file(tmp_path, content))


def test_boxes_of_a_table_belong_to_their_images(tmp_path):
    (tmp_path / "boxes.csv").write_text(
        "path,left,top,right,bottom\na.png,2,1,6,4\na.png,0,0,1,1\nb.png,0,0,8,1\n"
    )
    roi = read_roi(tmp_path / "boxes.csv")
    assert roi.mask(ROW | {"path": "a.png"}).sum() == 13
    assert roi.mask(ROW | {"path": "b.png"}).sum() == 8
    (tmp_path / "boxes.csv").write_text("path,left\na.png,2\n")
    with pytest.raises(DataError, match="lacks the columns top, right, bottom"):
        read_roi(tmp_path / "boxes.csv")


def test_a_labelme_file_beside_its_image_may_hold_a_rectangle(tmp_path):
    (tmp_path / "room_1").mkdir()
    content = {
        "shapes": [{"shape_type": "rectangle", "points": [[2, 1], [6, 4]]}],
        "imageWidth": 8,
        "imageHeight": 6,
    }
    (tmp_path / "room_1" / "3_4_a.json").write_text(json.dumps(content))
    assert read_roi(tmp_path).mask(ROW).sum() == 12


def right_half(row):
    mask = np.zeros((row["height"], row["width"]), bool)
    mask[:, row["width"] // 2 :] = True
    return mask


def test_a_function_draws_the_region_in_python_and_by_import_path(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for roi in (read_roi(right_half), read_roi("test_roi:right_half")):
        assert (roi.mask(ROW) == right_half(ROW)).all()
    with pytest.raises(DataError, match=r"gave a mask of shape \(3,\)"):
        read_roi(lambda row: np.zeros(3)).mask(ROW)


def test_each_row_may_bring_its_own_region(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[2:, :3] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    roi = read_roi("column:roi")
    for spec, pixels in (("below:4", 16), ("box:2,1,6,4", 12), (str(tmp_path / "mask.png"), 12)):
        assert roi.mask(ROW | {"roi": spec}).sum() == pixels
    for spec, message in (
        ("box:1,2", "is no box"),
        (None, "holds no region"),
        ("nothing", "is no region of interest"),
    ):
        with pytest.raises(DataError, match=message):
            roi.mask(ROW | {"roi": spec})


def test_a_table_keeps_its_regions_and_masks_are_found_from_anywhere(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 6), (number, 50, 90)).save(tmp_path / f"{number}.png")
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "t.csv").write_text("path,speed,roi\n0.png,1,below:3\n1.png,2,mask.png\n2.png,4,below:1\n")
    roi = read_roi("column:roi")
    rows = read_dataset(tmp_path / "t.csv").table.to_dict("records")
    assert [int(roi.mask(row).sum()) for row in rows] == [24, 48, 40]
