"""The track in the photographs of jetracer_rooms: the light sheet with the orange tape, without floor and furniture.

    python track_mask.py photographs masks          # photographs/room_1/112_98_a.jpg -> masks/room_1/112_98_a.png
    shapsight diagnose RUN --roi masks

    python track_mask.py photographs masks sheet.png   # their outlines on 30 photographs drawn by chance, to look at

    TRACK_PHOTOGRAPHS=photographs shapsight diagnose RUN --roi track_mask:track_mask       # without files

It needs OpenCV and no network.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

# Corners, in widths and heights, of what is sheet in every picture.
SHEET = ((0.3, 0.36), (0.7, 0.36), (1, 0.72), (1, 1), (0, 1), (0, 0.72))
ABOVE = 0.04  # the rows at the top that never show the sheet
FLAT_SHARE = 0.3  # of an outline may lie on no edge
GOOD_ENOUGH = 0.7  # the smallest outline on edges so steep, as a share of the steepest
# How much darker than the sheet the floor may begin to be: of the logarithm of the light.
DARKNESS = np.linspace(0.08, 0.42, 18)
SPECK, NOTCH = 9, 21  # what is thinner, in pixels of 224, is no part of the outline, and no gap in it


def track_mask(row: Mapping[str, Any]) -> np.ndarray:
    """The mask of a row of the dataset, whose folder is named by TRACK_PHOTOGRAPHS: (height, width) bool."""
    photograph = cv2.imread(str(Path(os.environ["TRACK_PHOTOGRAPHS"]) / row["path"]))
    return track_of(photograph)


def track_of(photograph: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8, blue first as OpenCV reads -> (height, width) bool, True on sheet and tape.

    The light of the lens is taken out, the tape is painted over, and what is darker than the sheet is floor or room.
    How much darker is chosen for each picture: where the outline lies on the steepest edges.
    """
    light = cv2.GaussianBlur(_evenly_lit(photograph), (0, 0), 0.006 * len(photograph))
    steepness = np.hypot(*np.gradient(light))
    light[: round(ABOVE * len(light))] = -np.inf
    found = [_outlined((light > -darkness) | _sheet(*light.shape)) for darkness in DARKNESS]
    found = [mask for mask in found if not mask[round(ABOVE * len(light))].any()] or found[:1]
    scores = np.array([np.quantile(steepness[_border(mask)], FLAT_SHARE) for mask in found])
    return found[int((scores >= GOOD_ENOUGH * scores.max()).argmax())]


def _sheet(height: int, width: int) -> np.ndarray:
    corners = np.round(np.array(SHEET) * (width, height)).astype(np.int32)
    return cv2.fillConvexPoly(np.zeros((height, width), np.uint8), corners, 1) > 0


def tape_of(photograph: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8, blue first as OpenCV reads -> (height, width) bool, True on the orange tape."""
    return _is_orange(_over_sheet(photograph))


def _evenly_lit(photograph: np.ndarray) -> np.ndarray:
    """The logarithm of each pixel's light over that of the sheet as far from the middle; 0 on the tape."""
    colours = _over_sheet(photograph)
    is_tape = _is_orange(colours).astype(np.uint8)
    return np.where(cv2.dilate(is_tape, _disc(5, len(is_tape))), 0, colours.mean(axis=-1))


def _over_sheet(photograph: np.ndarray) -> np.ndarray:
    """The logarithm of each pixel's colours over those of the sheet as far from the middle.

    The sheet before the car reaches from the middle to the corners, so it tells how the lens shades every distance.
    """
    height, width = photograph.shape[:2]
    sheet = _sheet(height, width)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    away = (rows**2 + columns**2) / 2
    powers = np.stack([np.ones_like(away), away, away**2], axis=-1)
    logs = np.log(cv2.GaussianBlur(photograph, (0, 0), 1).astype(float) + 1)
    is_used = sheet
    for _ in range(4):  # tape, glare and folds are left out
        fitted = powers @ np.linalg.lstsq(powers[is_used], logs[is_used], rcond=None)[0]
        is_used = sheet & (np.abs(logs - fitted).max(axis=-1) < 0.15)
    return logs - fitted


def _is_orange(colours: np.ndarray) -> np.ndarray:
    """A crimson carpet is not. What is orange, wide and far away is wood."""
    blue, green, red = np.moveaxis(colours, -1, 0)
    height = len(colours)
    is_tape = ((green - blue > 0.12) & (red - green > 0.12)).astype(np.uint8)
    wide, far = cv2.morphologyEx(is_tape, cv2.MORPH_OPEN, _disc(9, height)), round(0.3 * height)
    is_tape[:far] &= 1 - cv2.dilate(wide, _disc(15, height))[:far]
    return is_tape > 0


def _outlined(found: np.ndarray) -> np.ndarray:
    """The piece before the car, without thin threads, notches and holes (glare, folds, the car's own bumper)."""
    height = len(found)
    rim = 2 * NOTCH * height // 224  # the picture goes on as it ends, so that nothing opens at its border
    grown = cv2.copyMakeBorder(found.astype(np.uint8), rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    grown = cv2.morphologyEx(grown, cv2.MORPH_OPEN, _disc(SPECK, height))
    _, pieces, sizes, _ = cv2.connectedComponentsWithStats(grown)
    largest = (pieces == 1 + sizes[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    closed = cv2.morphologyEx(largest, cv2.MORPH_CLOSE, _disc(NOTCH, height))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(closed), outlines, -1, 1, cv2.FILLED)
    return filled[rim:-rim, rim:-rim] > 0


def _border(mask: np.ndarray) -> np.ndarray:
    """The outline inside the picture."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    return mask & (inner == 0)


def _disc(pixels_of_224: int, height: int) -> np.ndarray:
    across = max(1, round(pixels_of_224 * height / 224))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))


def main(photographs: Path, masks: Path) -> None:
    """A mask for each photograph below a folder, white inside."""

    def write(path: Path) -> None:
        file = masks / path.relative_to(photographs).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.where(track_of(cv2.imread(str(path))), 255, 0).astype(np.uint8))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, sorted(photographs.rglob("*.jpg"))))


def sheet(photographs: Path, masks: Path, count: int = 30, across: int = 5) -> np.ndarray:
    """Photographs drawn by chance, as many of each room, with the outline of their masks: (height, width, 3) uint8."""
    rooms = sorted(folder for folder in photographs.iterdir() if folder.is_dir())
    drawn = [path for room in rooms for path in _drawn(room, count // len(rooms))]
    tiles = []
    for path in drawn:
        mask = cv2.imread(
            str(masks / path.relative_to(photographs).with_suffix(".png")), cv2.IMREAD_GRAYSCALE
        )
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        tiles.append(cv2.drawContours(cv2.imread(str(path)), outlines, -1, (255, 0, 255), 1))
    rows = [np.hstack(tiles[start : start + across]) for start in range(0, len(tiles), across)]
    return np.vstack(rows)


def _drawn(room: Path, count: int) -> list[Path]:
    return random.Random(0).sample(sorted(room.glob("*.jpg")), count)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        cv2.imwrite(sys.argv[3], sheet(Path(sys.argv[1]), Path(sys.argv[2])))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
