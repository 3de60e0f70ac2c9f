"""What a study gives back: its lines, tables, pictures and page, in a folder that may be a temporary one."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Self

import pandas as pd

from shapsight.errors import RunError
from shapsight.studies.shared.run_folder import refuse_to_overwrite

REPORT = "report.html"
CARD_HTML = """<div style="max-width:60em"><p><b>{headline}</b></p>{sentences}{picture}</div>"""


class Place:
    """The folder that a study writes into; a temporary one goes when nothing refers to it any more.

    Place.of("runs/why")               # that folder
    Place.of(None, run, "diagnosis")   # run/diagnosis
    Place.of(None, None, "diagnosis")  # a temporary one
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, out: str | os.PathLike[str] | None, run: Path | None = None, name: str = "run") -> Self:
        """What was asked for; else a folder in the run; else a temporary one."""
        if out is not None or run is not None:
            return cls(Path(out) if out is not None else Path(run or "") / name)
        folder = tempfile.mkdtemp(prefix="shapsight-")
        place = cls(Path(folder) / name)
        weakref.finalize(place, shutil.rmtree, folder, ignore_errors=True)
        return place


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """The base of what studies give back.

    Attributes
        place: where its files are.
        lines: what the command line shows.
        headline, sentences: the answer in a few words, and the answer; shown in notebooks with the first of `figures`.
    """

    place: Place
    lines: tuple[str, ...] = ()
    headline: str = ""
    sentences: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its files are; one that no `out` was given for goes together with this object."""
        return self.place.path

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All tables by name, which is also the name of their files."""
        raise NotImplementedError

    @property
    def figures(self) -> Mapping[str, Path]:
        """The PNG file of each picture of the page."""
        return {path.stem: path for path in sorted((self.folder / "figures").glob("*.png"))}

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """The page, one HTML file that needs nothing else; written to `path` if that is given.

        found.report("why.html")

        Raises `RunError` where it cannot be written.
        """
        page = self.folder / REPORT
        if path is None:
            return page
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(page, path))
        except OSError as error:
            raise RunError(f"the report cannot be written to {path}: {error.strerror or error}") from error

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """A copy of everything in `folder`. Raises `RunError` where that holds something already."""
        target = Path(folder)
        refuse_to_overwrite(target, overwrite)
        if target.exists():
            shutil.rmtree(target)
        return Path(shutil.copytree(self.folder, target))

    def _repr_html_(self) -> str:
        """The answer and the first picture, for notebooks."""
        figure = next(iter(self.figures.values()), None)
        picture = "" if figure is None else f'<img style="max-width:100%" src="{_embedded(figure)}">'
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.sentences)
        return CARD_HTML.format(headline=escape(self.headline), sentences=said, picture=picture)


def _embedded(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
