"""Images as files that lie elsewhere: in an object store, in a tar, in a column of bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shapsight.data.pictures import Pictures
from shapsight.data.stored import suffix_of


class Blobs(Pictures):
    """The bytes of image files, fetched when an image is decoded; nothing is kept.

        blobs = Blobs(lambda number: contents[number], ["room_1/112_98_a.jpg"])
        with blobs.file("room_1/112_98_a.jpg") as file:
            Image.open(file)

    `read` gives the bytes of a number, from any thread. `stamps` tell of each whether it is the same as before, such
    as its size and time; `are_paths` whether the names are where it lies, which rules and functions can read.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        names: Sequence[str],
        stamps: Sequence[str] = (),
        *,
        are_paths: bool = True,
    ) -> None:
        super().__init__(read, names)
        self.stamps = tuple(stamps)
        self.are_paths = are_paths

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A file with the content, gone afterwards: decoding reads files, and so does the same with these."""
        content = self.item(self._numbers[name])
        with tempfile.TemporaryDirectory(prefix="shapsight-") as folder:
            file = Path(folder) / f"image{suffix_of(Path(name))}"
            file.write_bytes(content)
            yield file

    def stamp(self, name: str) -> str:
        """What tells that an image is the same as before."""
        return self.stamps[self._numbers[name]] if self.stamps else ""
