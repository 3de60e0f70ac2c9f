"""Datasets on object stores, `s3://bucket/folder` and whatever else fsspec knows: images stay there until decoded."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from shapsight.data.blobs import Blobs
from shapsight.data.image_files import is_image
from shapsight.data.sources.listing import Listing
from shapsight.errors import DataError, MissingDependency, NoImagesError, ShapsightError

URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]+):/{1,3}(?P<rest>[^/].*)", re.DOTALL)
CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "PermissionError",
    "ClientError",
    "RefreshError",
)
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def as_url(text: str) -> str | None:
    """The URL that a text is, also where `pathlib` took one of its slashes; None for a path of this machine.

    as_url("s3:/bucket/folder")      # "s3://bucket/folder"
    as_url("idx:/usr/share/mnist")   # None
    """
    match = URL.fullmatch(text)
    if match is None or match["protocol"] not in fsspec.available_protocols():
        return None
    return f"{match['protocol']}://{'/' if match['protocol'] == 'file' else ''}{match['rest']}"


@dataclass(frozen=True)
class Remote:
    """A place that fsspec can read: a URL, its file system and its path there."""

    url: str
    files: Any
    path: str

    @classmethod
    def at(cls, url: str) -> Remote:
        """Raises `MissingDependency` where fsspec needs another package for it."""
        with naming_trouble(url):
            files, path = fsspec.core.url_to_fs(url)
            files.invalidate_cache()  # what is there now, not what was when somebody asked before
        return cls(url, files, path.rstrip("/"))

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.path).name

    @property
    def parent(self) -> str:
        """The path of the folder that it lies in."""
        return self.path.rpartition("/")[0]

    def found(self) -> dict[str, Mapping[str, Any]]:
        """Every file below it, by its path from there, sorted. Raises `NoImagesError` where there is none."""
        with naming_trouble(self.url):
            there = self.files.find(self.path, detail=True)
        if not there:
            raise NoImagesError(f"there is nothing at {self.url}")
        return {path.removeprefix(self.path).lstrip("/"): there[path] for path in sorted(there)}

    def globbed(self, path: str) -> list[str]:
        """The files that a path with `*` names. Raises `NoImagesError` where there is none."""
        with naming_trouble(self.url):
            there = (
                sorted(self.files.glob(path)) if "*" in path else [path] if self.files.exists(path) else []
            )
        if not there:
            raise NoImagesError(f"there is nothing at {path}, of {self.url}")
        return [str(each) for each in there]

    def fetched(self, path: str) -> bytes:
        """The content of a file."""
        with naming_trouble(self.url):
            content: bytes = self.files.cat_file(path)
        return content


@contextmanager
def fetched_file(remote: Remote, path: str) -> Iterator[Path]:
    """A copy on this machine of a file that lies elsewhere, gone afterwards; messages name where it lies."""
    protocol = remote.url.partition("://")[0]
    with tempfile.TemporaryDirectory(prefix="shapsight-") as folder:
        file = Path(folder) / PurePosixPath(path).name
        file.write_bytes(remote.fetched(path))
        with renamed(file, f"{protocol}://{path}"):
            yield file


@dataclass(frozen=True)
class Stretches:
    """Reads files, or stretches of them: of each number the path, where it begins, and where it ends (None: all)."""

    files: Any
    places: Sequence[tuple[str, int | None, int | None]]

    def __call__(self, number: int) -> bytes:
        """The bytes of a number."""
        path, start, end = self.places[number]
        content: bytes = self.files.cat_file(path, start=start, end=end)
        return content


def list_remote_folder(
    remote: Remote, found: Mapping[str, Mapping[str, Any]], as_folder: Callable[[Path], Listing]
) -> Listing:
    """A folder of images that lie elsewhere, read by their names as one on this machine is."""
    names = list(found)
    listing = named_alike(remote.url, remote.name, names, as_folder)
    kept = list(listing.table["path"])
    read = Stretches(remote.files, [(f"{remote.path}/{name}", None, None) for name in kept])
    return replace(listing, pictures=Blobs(read, kept, [stamp_of(found[name]) for name in kept]))


def list_remote_table(remote: Remote, as_table: Callable[[Path], Listing]) -> Listing:
    """A table, which is fetched, whose images are fetched as they are decoded; paths are relative to its folder."""
    content = remote.fetched(remote.path)
    with tempfile.TemporaryDirectory(prefix="shapsight-") as folder, renamed(folder, remote.url):
        file = Path(folder) / remote.name
        file.write_bytes(content)
        listing = as_table(file)
    kept = list(listing.table["path"])
    read = Stretches(remote.files, [(f"{remote.parent}/{name}", None, None) for name in kept])
    return replace(listing, root=Path(remote.url).parent, pictures=Blobs(read, kept))


def named_alike(url: str, name: str, names: Sequence[str], as_folder: Callable[[Path], Listing]) -> Listing:
    """What a folder of empty files with these names lists, so that one code reads names wherever they are."""
    with tempfile.TemporaryDirectory(prefix="shapsight-") as above, renamed(f"{above}/{name}", url):
        root = Path(above) / name
        root.mkdir()
        for each in names:
            file = root / each
            if ".." in PurePosixPath(each).parts or PurePosixPath(each).is_absolute():
                raise DataError(f"{url} holds a file named {each}, which leads out of it")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return replace(as_folder(root), root=Path(url))


def has_images(names: Sequence[str]) -> bool:
    """Whether any of the names is that of an image."""
    return any(is_image(Path(name)) for name in names)


def stamp_of(info: Mapping[str, Any]) -> str:
    """What tells that a file is the same as before, of what its store says of it; empty where it says nothing."""
    told = [
        info.get(name) for name in ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "updated")
    ]
    return ":".join(str(each) for each in told if each is not None) if any(told[1:]) else ""


@contextmanager
def renamed(folder: str | os.PathLike[str], url: str) -> Iterator[None]:
    """Call a folder that users do not know by the URL that they gave."""
    try:
        yield
    except ShapsightError as error:
        raise type(error)(str(error).replace(os.fspath(folder), url)) from error


@contextmanager
def naming_trouble(url: str) -> Iterator[None]:
    """Say what to do about whatever an object store raises: each has errors of its own."""
    try:
        yield
    except ShapsightError:
        raise
    except ImportError as error:
        protocol = url.partition(":")[0]
        package = PACKAGES.get(protocol, "")
        install = "pip install 'shapsight[remote]'" if package == "s3fs" else f"pip install {package}"
        raise MissingDependency(
            f"{url} needs {package or 'another package'}: {install if package else error}"
        ) from error
    except FileNotFoundError as error:
        raise NoImagesError(f"there is nothing at {url}: {_first_line(error)}") from error
    except Exception as error:
        if type(error).__name__ in CREDENTIALS:
            raise NoImagesError(
                f"{url} may not be read ({_first_line(error)}): give credentials as its own tools take them, such as "
                "AWS_PROFILE or `aws configure`, or FSSPEC_S3_ANON=true for a public bucket"
            ) from error
        raise NoImagesError(f"{url} cannot be read: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
