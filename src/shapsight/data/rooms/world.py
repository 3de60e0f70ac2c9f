"""The demo world as a folder of photographs and masks, in the format of a real data set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shapsight.data.rooms.drive import ROOMS, Frame, check, drive
from shapsight.data.rooms.worlds import ROAD
from shapsight.data.written_files import part_of
from shapsight.errors import DataError

FORMAT = "shapsight.world/1"
CARD = "world.json"
QUALITY = 95


def write_world(
    folder: Path,
    *,
    rooms: Sequence[str] = ROOMS,
    images_per_room: int = 200,
    size: int = 128,
    seed: int = 0,
    world: str = ROAD,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Drive through rooms and write what the car sees, an environment a room.

        write_world(Path("world"), images_per_room=250, seed=1)
        # world/images/room_1/61_80_room_1-00000.jpg    X_Y_ID: the pixel to drive to
        # world/roi/room_1/61_80_room_1-00000.png       255 where the image shows the track, 0 elsewhere

    The folder appears when it is complete. A world with the same settings that is already there is reused.

    Args:
        folder: where to write; must not exist, be empty, or hold the same world.
        rooms: names of `ROOMS`, each once.
        images_per_room: at least 1.
        size: pixels of a side, at least 32.
        seed, world: as in `drive`.
        progress: called with the number of images written and their total after each of them.

    Returns:
        The folder.

    Raises:
        DataError: for what `drive` refuses, no room or one twice, or a folder that holds something else.
    """
    folder = Path(folder)
    card = _card(rooms, images_per_room, size, seed, world)
    if _is_there(folder, card):
        return folder
    place = folder.resolve()
    part = part_of(place)
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write(part, card, progress)
        if place.exists():
            # Somebody may be working in it: fill it instead of replacing it, the card last.
            for name in ("images", "roi", CARD):
                (part / name).rename(place / name)
        else:
            part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _card(rooms: Sequence[str], images: int, size: int, seed: int, world: str) -> dict[str, Any]:
    """The settings of a world, checked."""
    if isinstance(rooms, str) or not rooms or len(set(rooms)) != len(rooms):
        raise DataError(f"rooms={rooms!r}: give a list of different rooms out of {', '.join(ROOMS)}")
    for room in rooms:
        check(room, images, size, seed, world)
    numbers = {"images_per_room": int(images), "size": int(size), "seed": int(seed)}
    return {"format": FORMAT, "world": world, "rooms": [*rooms], **numbers}


def _is_there(folder: Path, card: dict[str, Any]) -> bool:
    """Whether the folder holds this very world; refuses one that holds something else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; name a folder for the world")
    if not any(folder.iterdir()):
        return False
    advice = "name another folder, or remove this one"
    try:
        found = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{folder} is not empty and holds no world of ours; {advice}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"{folder} holds a world of another version; {advice}")
    differences = [
        f"{key}={found.get(key)!r} instead of {value!r}"
        for key, value in card.items()
        if found.get(key) != value
    ]
    if differences:
        raise DataError(f"{folder} holds a world with other settings ({'; '.join(differences)}); {advice}")
    for kind, ending in (("images", "jpg"), ("roi", "png")):
        for room in card["rooms"]:
            count = len(list((folder / kind / room).glob(f"*.{ending}")))
            if count != card["images_per_room"]:
                raise DataError(
                    f"{folder / kind / room} holds {count} files instead of {card['images_per_room']}; {advice}"
                )
    return True


def _write(folder: Path, card: dict[str, Any], progress: Callable[[int, int], None] | None) -> None:
    rooms, images = card["rooms"], card["images_per_room"]
    for place, room in enumerate(rooms):
        for kind in ("images", "roi"):
            (folder / kind / room).mkdir(parents=True)
        frames = drive(room, images, size=card["size"], seed=card["seed"], world=card["world"])
        for number, frame in enumerate(frames):
            _save(frame, folder, room, number)
            if progress is not None:
                progress(place * images + number + 1, len(rooms) * images)
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _save(frame: Frame, folder: Path, room: str, number: int) -> None:
    x, y = (round(part) for part in frame.target)
    stem = f"{x}_{y}_{room}-{number:05d}"
    Image.fromarray(frame.image).save(folder / "images" / room / f"{stem}.jpg", quality=QUALITY)
    Image.fromarray(frame.roi.astype(np.uint8) * 255).save(folder / "roi" / room / f"{stem}.png")
