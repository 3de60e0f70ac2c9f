"""Annotation files as tools write them: LabelMe's kinds of shapes, compressed runs, byte order marks, backslashes."""

import base64
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as coco_masks

from shapsight.data.objects import object_masks
from shapsight.data.roi import read_roi
from shapsight.errors import DataError, MissingDependency

SIZE = (40, 30)  # width, height
ROW = {"path": "room/a.jpg", "width": SIZE[0], "height": SIZE[1]}
SQUARE = {"label": "track", "shape_type": "polygon", "points": [[2, 1], [6, 1], [6, 4], [2, 4]]}


def labelme(folder, *shapes: dict, encoding: str = "utf-8"):
    path = folder / "a.json"
    content = {"shapes": list(shapes), "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    path.write_text(json.dumps(content), encoding=encoding)
    return path


def square() -> np.ndarray:
    mask = np.zeros(SIZE[::-1], bool)
    mask[1:4, 2:6] = True
    return mask


def pasted() -> dict:
    """A mask of 3 × 2 pixels whose top left corner lies at (10, 20)."""
    picture = io.BytesIO()
    Image.fromarray(np.array([[1, 0, 1], [0, 1, 1]], bool)).save(picture, "PNG")
    points = [[10, 20], [12, 21]]
    return {"shape_type": "mask", "points": points, "mask": base64.b64encode(picture.getvalue()).decode()}


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_points_and_lines_beside_a_polygon_have_no_area_and_that_is_said(tmp_path, kind):
    """A line of three corners is no triangle."""
    line = {"label": "edge", "shape_type": kind, "points": [[10, 10], [20, 10], [20, 20]]}
    with pytest.warns(UserWarning, match="points and lines have no area"):
        assert (read_roi(labelme(tmp_path, SQUARE, line)).mask(ROW) == square()).all()
    rows = pd.DataFrame([ROW])
    assert list(object_masks(labelme(tmp_path, SQUARE, line), rows, 12)) == ["track"]
    with pytest.raises(DataError, match=f"it holds 1 × {kind}, which have no area"):
        read_roi(labelme(tmp_path, line))
    with pytest.raises(DataError, match="which have no area"):
        object_masks(labelme(tmp_path, line), rows, 12)


def test_a_circle_is_the_disc_around_its_first_point(tmp_path):
    circle = {"shape_type": "circle", "points": [[20, 15], [20, 23]]}
    mask = read_roi(labelme(tmp_path, SQUARE, circle)).mask(ROW)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    distance = np.hypot(columns - 20, rows - 15)
    assert mask[distance < 7.99].all()
    assert not mask[(distance > 8) & ~square()].any()


def test_a_mask_lies_at_its_place(tmp_path):
    mask = square()
    mask[20:22, 10:13] = [[1, 0, 1], [0, 1, 1]]
    assert (read_roi(labelme(tmp_path, SQUARE, pasted())).mask(ROW) == mask).all()


@pytest.mark.parametrize(
    "change", [{"mask": "no picture"}, {"mask": "AAAA"}, {"points": [[39, 29], [41, 30]]}, {"points": []}]
)
def test_a_damaged_mask_is_named(tmp_path, change):
    with pytest.raises(DataError, match=r"a\.json holds a"):
        read_roi(labelme(tmp_path, pasted() | change))


def test_a_rectangle_that_is_turned_and_a_shape_without_a_kind_are_polygons(tmp_path):
    for kind in ("rotation", "rectangle", None):
        assert (read_roi(labelme(tmp_path, SQUARE | {"shape_type": kind})).mask(ROW) == square()).all()


def coco(folder, segmentation: object, file_name: str = "room/a.jpg", encoding: str = "utf-8"):
    content = {
        "images": [{"id": 1, "file_name": file_name, "width": SIZE[0], "height": SIZE[1]}],
        "categories": [{"id": 4, "name": "track"}],
        "annotations": [
            {"image_id": 1, "category_id": 4, "segmentation": segmentation, "bbox": [2, 1, 4, 3]}
        ],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content), encoding=encoding)
    return path


def compressed(mask: np.ndarray) -> dict:
    found = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def test_cocos_compressed_run_lengths_are_read(tmp_path):
    drawn = np.random.default_rng(0).random(SIZE[::-1]) < 0.3
    assert (read_roi(coco(tmp_path, compressed(drawn))).mask(ROW) == drawn).all()


def test_run_lengths_that_end_too_soon_are_damaged(tmp_path):
    counts = compressed(square())["counts"]
    for damaged in (counts + "zzzz", counts + counts, "PPPP"):
        with pytest.raises(DataError, match=r"coco\.json holds damaged run lengths"):
            read_roi(coco(tmp_path, {"counts": damaged}))


def test_without_its_library_compressed_run_lengths_name_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingDependency, match=r"shapsight\[coco\]"):
        read_roi(coco(tmp_path, compressed(square())))


def test_a_byte_order_mark_is_no_damage(tmp_path):
    assert (read_roi(labelme(tmp_path, SQUARE, encoding="utf-8-sig")).mask(ROW) == square()).all()
    assert read_roi(coco(tmp_path, [], encoding="utf-8-sig")).mask(ROW).sum() == 12
    (tmp_path / "b.csv").write_text("path,left,top,right,bottom\nroom/a.jpg,2,1,6,4\n", encoding="utf-8-sig")
    assert (read_roi(tmp_path / "b.csv").mask(ROW) == square()).all()


def test_backslashes_and_spaces_in_paths_do_not_matter(tmp_path):
    assert read_roi(coco(tmp_path, [], "room\\a.jpg")).mask(ROW).sum() == 12
    rows = "path, left, top, right, bottom, category \nroom\\a.jpg , 2, 1, 6, 4, track \n"
    (tmp_path / "boxes.csv").write_text(rows)
    assert (read_roi(tmp_path / "boxes.csv").mask(ROW) == square()).all()
    assert list(object_masks(tmp_path / "boxes.csv", pd.DataFrame([ROW]), 12)) == ["track"]


@pytest.mark.parametrize("box", ["2,one,6,4", "2,,6,4"])
def test_a_box_that_is_no_box_is_named(tmp_path, box):
    (tmp_path / "boxes.csv").write_text(f"path,left,top,right,bottom\nroom/a.jpg,{box}\n")
    with pytest.raises(DataError, match=r"boxes\.csv holds a box whose top is no number"):
        read_roi(tmp_path / "boxes.csv")


def test_swapped_sides_name_the_exif_orientation_as_the_cause(tmp_path):
    turned = ROW | {"width": SIZE[1], "height": SIZE[0]}
    Image.new("L", SIZE, 255).save(tmp_path / "mask.png")
    (tmp_path / "masks" / "room").mkdir(parents=True)
    (tmp_path / "mask.png").rename(tmp_path / "masks" / "room" / "a.png")
    for source in (labelme(tmp_path, SQUARE), coco(tmp_path, []), tmp_path / "masks"):
        with pytest.raises(DataError, match=r"sides are swapped: .* EXIF orientation"):
            read_roi(source).mask(turned)
    with pytest.raises(DataError, match="EXIF orientation"):
        object_masks(coco(tmp_path, []), pd.DataFrame([turned]), 12)
    with pytest.raises(DataError, match="drawn on an image of 40 × 30 pixels") as refused:
        read_roi(labelme(tmp_path, SQUARE)).mask(ROW | {"width": 80})
    assert "EXIF" not in str(refused.value)
