"""What is an image in a folder: one rule for every reader, for references, and for what is explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from shapsight.data.decoding import PHOTOGRAPHS, image_suffixes
from shapsight.data.stored import ARRAYS, suffix_of
from shapsight.errors import DataError

OTHERS_FOLDERS = ("__MACOSX", "@eaDir")  # where macOS and Synology keep copies and thumbnails
MOST_LINKS = 2  # on the way to an image: many folders that link to each other would take for ever


def is_image(file: Path) -> bool:
    """A file that is not hidden and has the suffix of an image that can be decoded here."""
    return not is_hidden(file.name) and suffix_of(file) in image_suffixes()


def is_hidden(name: str) -> bool:
    """`.DS_Store`, `._112_98_a.jpg`, `.thumbnails`, `.ipynb_checkpoints`: nobody put these there to be read."""
    return name.startswith(".") or name in OTHERS_FOLDERS


def find_images(folder: Path) -> tuple[list[str], Counter[str]]:
    """Each image's path below `folder`, sorted as text, and what else is there, by suffix or reason.

        found, left_out = find_images(Path("photos"))
        found                       # ["hall/a.jpg", "hall/b.tif"]
        left_out                    # Counter({".txt": 2, ".heic, which cannot be decoded here": 1})

    Arrays and volumes (.npy, .nii, .dcm) are images where there are no photographs. Links to folders are followed,
    except where they lead back to a folder above them. Hidden files and folders are neither found nor counted. Raises
    `DataError` where there is no such folder.
    """
    if not folder.exists():
        raise DataError(f"there is nothing at {folder}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, not a folder")
    found: list[Path] = []
    left_out = Counter[str]()
    for file in _files(folder, (folder.resolve(),), 0, left_out):
        if is_image(file):
            found.append(file)
        else:
            left_out[_kind(file)] += 1
    photographs = [file for file in found if suffix_of(file) not in ARRAYS]
    if photographs:  # an array beside them is something else, such as a mask or what was computed of them
        left_out.update(_kind(file) for file in found if suffix_of(file) in ARRAYS)
        found = photographs
    return sorted(file.relative_to(folder).as_posix() for file in found), left_out


def left_out_by_kind(left_out: Counter[str], most: int = 8) -> str:
    """What was left out, the commonest first, as in 3 .txt, 1 .json."""
    listed = [f"{count} {kind}" for kind, count in left_out.most_common(most)]
    more = len(left_out) - len(listed)
    return ", ".join([*listed, f"{more} kinds more"] if more else listed)


def _files(folder: Path, above: tuple[Path, ...], links: int, left_out: Counter[str]) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        left_out[f"folders that cannot be opened ({(error.strerror or str(error)).lower()})"] += 1
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            yield entry
            continue
        followed = links + entry.is_symlink()
        target = entry.resolve()
        if target in above:
            left_out["links that lead back to a folder above them"] += 1
        elif followed > MOST_LINKS:
            left_out[f"links behind {MOST_LINKS} other links"] += 1
        else:
            yield from _files(entry, (*above, target), followed, left_out)


def _kind(file: Path) -> str:
    if file.is_symlink() and not file.exists():
        return "broken links"
    suffix = file.suffix.lower()
    if suffix in PHOTOGRAPHS:
        return f"{suffix}, which cannot be decoded here"
    return suffix or "without a suffix"
