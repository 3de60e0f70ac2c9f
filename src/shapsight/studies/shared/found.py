"""What a study gives back: lines, tables, pictures and page, in a folder that may be a temporary one; and a run."""

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
from typing import Any, Self

import pandas as pd

from shapsight.data.given_files import read_parquet
from shapsight.data.manifest import Manifest
from shapsight.errors import RunError
from shapsight.models.bundle import Bundle, load_bundle
from shapsight.studies.shared.run_folder import CARD, read_card, refuse_to_overwrite
from shapsight.studies.shared.words import data_sentence

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


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
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
    def _answer(self) -> tuple[str, ...]:
        """The sentences that do not say the headline again."""
        return tuple(sentence for sentence in self.sentences if sentence != self.headline)

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

    def __repr__(self) -> str:
        return "\n    ".join((f"{type(self).__name__}: {self.headline}", *self._answer, f"in {self.folder}"))

    def _repr_html_(self) -> str:
        """The answer and the first picture, for notebooks."""
        figure = next(iter(self.figures.values()), None)
        picture = "" if figure is None else f'<img style="max-width:100%" src="{_embedded(figure)}">'
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self._answer)
        return CARD_HTML.format(headline=escape(self.headline), sentences=said, picture=picture)


def _embedded(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Run(Found):
    """A folder that holds a trained model and its dataset; what `train`, `debug`, `demo` and `open` give.

        run = shapsight.open("runs/lockers")
        run.bundle, run.manifest, run.settings["roi"], run.errors
        run.bundle.predict("photos/hall/112_98_a.jpg")

    Attributes
        settings: what it was made with, as in run.json.
    """

    bundle: Bundle
    manifest: Manifest
    settings: Mapping[str, Any]

    @property
    def errors(self) -> pd.DataFrame:
        """The errors in each environment and split, with intervals."""
        return self.tables["errors"]

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What it holds of `errors`, `predictions`, `history` (of the training) and `checks` (of the data)."""
        found = {path.stem: path for kind in ("csv", "parquet") for path in self.folder.glob(f"*.{kind}")}
        return {
            name: read_parquet(path).to_pandas() if path.suffix == ".parquet" else pd.read_csv(path)
            for name, path in found.items()
            if name in ("errors", "predictions", "history", "checks")
        }

    @property
    def weights(self) -> str:
        """Where its training started: "imagenet", "none" or a file."""
        given = str(self.settings.get("weights", "auto"))
        if given != "auto":
            return given
        used = str(self.bundle.card.training.get("weights", ""))
        return "imagenet" if used.startswith("ImageNet") else "none"


def open_run(
    folder: str | os.PathLike[str] | Place, *, lines: tuple[str, ...] = (), answer: tuple[str, ...] = ()
) -> Run:
    """Open a run that was made before.

        run = shapsight.open("runs/lockers")

    Raises `RunError` where there is none, `ModelError` for a damaged model.
    """
    place = folder if isinstance(folder, Place) else Place.of(folder)
    path = place.path
    if not (path / CARD).is_file():
        raise RunError(
            f"{path} is no run of shapsight: it holds no {CARD}. Make one with shapsight debug DATA --out RUN"
        )
    if not (path / "model" / "card.json").is_file():
        raise RunError(f"{path} holds no trained model (model/card.json): did its training end?")
    settings = read_card(path)["settings"]
    bundle, manifest = load_bundle(path / "model"), Manifest.load(path)
    return Run(
        place=place,
        bundle=bundle,
        manifest=manifest,
        settings=settings,
        lines=lines,
        headline=f"{path.name}: {bundle.card.arch} trained on {', '.join(manifest.train_on)}",
        sentences=answer or (data_sentence(manifest),),
    )
