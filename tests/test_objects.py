"""Kinds of objects: from annotation files to shares of the attribution."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from explanations import made
from shapsight.data.objects import object_masks
from shapsight.diagnosis.object_shares import REST, object_shares, object_shares_per_environment
from shapsight.errors import DataError

ROWS = pd.DataFrame(
    {"path": ["a/1.jpg", "b/2.jpg"], "environment": ["a", "b"], "split": "unseen", "width": 8, "height": 6}
)
TRACK = [[0, 3], [8, 3], [8, 6], [0, 6]]


def coco(folder: Path) -> Path:
    content = {
        "images": [
            {"id": 1, "file_name": "a/1.jpg", "width": 8, "height": 6},
            {"id": 2, "file_name": "b/2.jpg", "width": 8, "height": 6},
        ],
        "categories": [{"id": 4, "name": "track"}, {"id": 5, "name": "chair"}],
        "annotations": [
            {
                "image_id": 1,
                "category_id": 4,
                "segmentation": [np.ravel(TRACK).tolist()],
                "bbox": [0, 3, 8, 3],
            },
            {"image_id": 2, "category_id": 4, "segmentation": [], "bbox": [0, 3, 8, 3]},
            {"image_id": 1, "category_id": 5, "bbox": [1, 1, 2, 2]},
        ],
    }
    path = folder / "coco.json"
    path.write_text(json.dumps(content))
    return path


def boxes(folder: Path) -> Path:
    path = folder / "boxes.csv"
    path.write_text(
        "path,left,top,right,bottom,category\na/1.jpg,0,3,8,6,track\nb/2.jpg,0,3,8,6,track\na/1.jpg,1,1,3,3,chair\n"
    )
    return path


def labelme(folder: Path) -> Path:
    shapes = {"a/1": [("track", TRACK), ("chair", [[1, 1], [3, 3]])], "b/2": [("track", TRACK)]}
    for name, found in shapes.items():
        drawn = [
            {"label": label, "points": points, "shape_type": "rectangle" if len(points) == 2 else "polygon"}
            for label, points in found
        ]
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"shapes": drawn, "imageWidth": 8, "imageHeight": 6}))
    return folder


@pytest.mark.parametrize("write", [coco, boxes, labelme])
def test_kinds_of_objects_are_the_same_from_coco_boxes_and_labelme(write, tmp_path: Path):
    masks = object_masks(write(tmp_path), ROWS, 24)
    assert list(masks) == ["chair", "track"]
    track = np.zeros((24, 24), bool)
    track[12:] = True
    assert (masks["track"] == track).all()
    chair = np.zeros((24, 24), bool)
    chair[4:12, 3:9] = True
    assert (masks["chair"][0] != chair).sum() <= 4  # its corners are rounded by the interpolation
    assert not masks["chair"][1].any()


def test_a_file_without_kinds_is_one_kind(tmp_path: Path):
    path = tmp_path / "track.json"
    path.write_text(json.dumps(TRACK))
    assert list(object_masks(path, ROWS, 12)) == ["object"]


def test_annotations_that_do_not_fit_are_refused_with_what_was_wrong(tmp_path: Path):
    with pytest.raises(DataError, match="there is no"):
        object_masks(tmp_path / "nowhere.json", ROWS, 12)
    with pytest.raises(DataError, match=r"b/3\.jpg"):
        object_masks(coco(tmp_path), ROWS.assign(path=["a/1.jpg", "b/3.jpg"]), 12)
    with pytest.raises(DataError, match="8 × 6 pixels"):
        object_masks(coco(tmp_path), ROWS.assign(width=9), 12)
    with pytest.raises(DataError, match=r"no annotations of a/1\.jpg"):
        object_masks(tmp_path, ROWS, 12)
    (tmp_path / "bad.csv").write_text("path,left\n")
    with pytest.raises(DataError, match="lacks the columns"):
        object_masks(tmp_path / "bad.csv", ROWS, 12)


def test_shares_of_objects_and_the_rest_are_those_summed_by_hand_and_chance_is_their_area():
    explanation = made(torch.zeros(4, 1, dtype=torch.long), size=(24, 24))
    rows = pd.DataFrame({"path": list("1234"), "environment": list("aaab"), "split": "unseen"})
    generator = np.random.default_rng(0)
    chair, track = generator.random((2, 4, 24, 24)) < 0.3
    chair[3] = False
    table = object_shares(explanation, rows, {"chair": chair, "track": track & ~chair})
    sizes = explanation.values.abs().sum((1, 2)).double().numpy()
    by_hand = (sizes * chair).sum((1, 2)) / sizes.sum((1, 2))
    found = table[table["category"] == "chair"]
    np.testing.assert_allclose(found["share"][:3], by_hand[:3])
    assert np.isnan(found["share"].iloc[3])  # an image without a chair says nothing of chairs
    np.testing.assert_allclose(table.groupby("path")["share"].sum(), 1)
    summary = object_shares_per_environment(table).set_index(["environment", "category"])
    assert summary.loc[("a", "chair"), "share"] == pytest.approx(by_hand[:3].mean())
    assert summary.loc[("a", "chair"), "chance"] == pytest.approx(chair[:3].mean())
    assert ("b", "chair") not in summary.index
    assert summary.loc[("all", "chair"), "share"] == pytest.approx(by_hand[:3].mean())
    assert summary.loc[("a", REST), "images"] == 3


def test_no_kind_at_all_is_refused():
    with pytest.raises(DataError, match="no category"):
        object_shares(made(), ROWS, {})
