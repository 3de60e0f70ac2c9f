"""Tars of images: WebDataset's shards, where files of one name are a sample, or folders of images that were packed."""

from __future__ import annotations

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from shapsight.data.blobs import Blobs
from shapsight.data.given_files import parsed_json
from shapsight.data.image_files import is_hidden, is_image
from shapsight.data.sources.asked import Asked
from shapsight.data.sources.in_memory import list_given
from shapsight.data.sources.listing import Listing
from shapsight.data.sources.remote import Remote, Stretches, named_alike, naming_trouble, stamp_of
from shapsight.data.sources.targets_given import target_columns_of
from shapsight.errors import DataError

TAR = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
SAID = ("json", "cls", "txt")  # what WebDataset puts beside an image
LARGEST = 1 << 20  # bytes of what is said beside an image


@dataclass
class Sample:
    """What a tar holds of one name: the image that comes first, and what is said of it."""

    image: str = ""
    place: tuple[str, int, int] = ("", 0, 0)
    stamp: str = ""
    said: dict[str, Any] = field(default_factory=dict)


def is_tars(text: str) -> bool:
    """Whether a text names a tar, or several: `shards-{000..009}.tar`, `shards-*.tar`."""
    return text.lower().endswith((TAR, *COMPRESSED))


def tars_named(text: str) -> list[str]:
    """Each tar of a range of numbers; `*` is left to what lists files.

    tars_named("shards-{008..010}.tar")      # ["shards-008.tar", "shards-009.tar", "shards-010.tar"]
    """
    match = RANGE.search(text)
    if match is None:
        return [text]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [
        name
        for number in numbers
        for name in tars_named(f"{text[: match.start()]}{number:0{len(first)}}{text[match.end() :]}")
    ]


def list_tars(
    remote: Remote, tars: Sequence[str], asked: Asked, as_folder: Callable[[Path], Listing]
) -> Listing:
    """The images of some tars, read where they lie. Raises `DataError` where a tar is missing or none can be read.

    With .json, .cls or .txt beside images these are columns; without, folders and names say what those of a folder on
    disk would say.
    """
    samples: dict[str, Sample] = {}
    skipped: list[dict[str, str]] = []
    left_alone = Counter[str]()
    for tar in tars:
        _read(remote, tar, len(tars) > 1, samples, skipped, left_alone)
    usable = [sample for sample in samples.values() if sample.image]
    is_told = any(
        {"json", "cls"} & set(sample.said) for sample in usable
    )  # texts alone may lie beside anything
    for key, sample in samples.items():
        if not sample.image and is_told:
            skipped.append({"path": key, "reason": "the sample holds no image"})
        elif not sample.image:  # a text that lies beside a packed folder's images
            left_alone.update(f".{kind}" for kind in sample.said)
    if not usable:
        raise DataError(
            f"there are no images in {remote.url}" + (f": {skipped[0]['reason']}" if skipped else "")
        )
    names = _names(usable, tars)
    by_name = dict(zip(names, usable, strict=True))
    if is_told:
        columns = target_columns_of([_columns(sample.said) for sample in usable], asked)
        listing = list_given(
            columns, _blobs(remote, by_name), remote.name, asked, "what is beside the images in the tars"
        )
        listing = replace(listing, root=Path(remote.url), may_lack_targets=False)
    else:
        listing = named_alike(remote.url, remote.name, names, as_folder)
        kept = {name: by_name[name] for name in listing.table["path"]}
        listing = replace(listing, pictures=_blobs(remote, kept))
    return replace(listing, skipped=(*listing.skipped, *skipped), left_alone=listing.left_alone + left_alone)


def _read(
    remote: Remote,
    path: str,
    is_several: bool,
    samples: dict[str, Sample],
    skipped: list[dict[str, str]],
    left_alone: Counter[str],
) -> None:
    """Go through a tar once: where its images lie, and what is said of them."""
    if path.lower().endswith(COMPRESSED):
        raise DataError(
            f"{path} is compressed, and nothing inside can be read by itself: unpack it, or make a plain .tar "
            "(images are compressed already)"
        )
    with naming_trouble(remote.url):
        stamp = stamp_of(remote.files.info(path))
        with remote.files.open(path, "rb") as file:
            try:
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    for member in tar:
                        if member.isfile():
                            prefix = f"{PurePosixPath(path).stem}/" if is_several else ""
                            _note(tar, member, path, prefix, stamp, samples, left_alone)
                    if tar.offset >= file.seek(0, os.SEEK_END):
                        raise EOFError("its end is missing")
            except (tarfile.TarError, EOFError) as error:
                skipped.append({"path": path, "reason": f"the tar is damaged or cut off ({error})"})


def _note(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    path: str,
    prefix: str,
    stamp: str,
    samples: dict[str, Sample],
    left_alone: Counter[str],
) -> None:
    name = member.name.removeprefix("./")
    where = PurePosixPath(name)
    if any(is_hidden(part) for part in where.parts):
        return
    key, _, kind = where.name.partition(".")
    sample = samples.setdefault(f"{prefix}{where.with_name(key or where.name)}", Sample())
    if kind in SAID and member.size <= LARGEST:
        file = tar.extractfile(member)
        content = b"" if file is None else file.read()
        if kind == "json" and not _is_json(content):
            left_alone["JSON that cannot be read"] += 1
            return
        sample.said[kind] = content
    elif is_image(Path(name)) and not sample.image:
        sample.image = name
        sample.place = (path, member.offset_data, member.offset_data + member.size)
        sample.stamp = f"{stamp}:{member.offset_data}:{member.size}" if stamp else ""
    else:
        left_alone[
            f"{'second image of a sample' if is_image(Path(name)) else where.suffix or 'without a suffix'}"
        ] += 1


def _is_json(content: bytes) -> bool:
    try:
        parsed_json(content.decode("utf-8", "replace").strip())
    except ValueError:  # json's own errors are such
        return False
    return True


def _names(samples: Sequence[Sample], tars: Sequence[str]) -> list[str]:
    """The images' names in the tars, behind that of their tar where two have the same."""
    names = [sample.image for sample in samples]
    if len(set(names)) == len(names):
        return names
    return [f"{PurePosixPath(sample.place[0]).stem}/{sample.image}" for sample in samples]


def _columns(said: Mapping[str, bytes]) -> dict[str, Any] | None:
    """What is said beside an image: an object of JSON by its names, a class as its number or name, a text."""
    found: dict[str, Any] = {}
    for kind, content in said.items():
        text = content.decode("utf-8", "replace").strip()
        if kind == "json":
            told = parsed_json(text)
            found |= told if isinstance(told, Mapping) else {"json": told}
        else:
            found["label" if kind == "cls" else kind] = (
                int(text) if kind == "cls" and text.isdecimal() else text
            )
    return found or None


def _blobs(remote: Remote, samples: Mapping[str, Sample]) -> Blobs:
    read = Stretches(remote.files, [sample.place for sample in samples.values()])
    return Blobs(read, list(samples), [sample.stamp for sample in samples.values()])
