"""The folder that a run leaves behind: complete, or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shapsight.data.given_files import (
    are,
    is_count,
    is_mapping,
    is_number,
    is_text,
    misfit,
    or_none,
    read_json,
)
from shapsight.data.written_files import part_of, write_text
from shapsight.errors import RunError
from shapsight.models.card import library_versions
from shapsight.studies.shared.narrator import Narrator

CARD = "run.json"
CHECKPOINTS = "checkpoints"
KINDS = {"settings": is_mapping, "status": is_text}
SETTINGS = {
    **dict.fromkeys(("roi", "weights"), or_none(is_text)),
    "seed": or_none(is_count),
    "reading": or_none(is_mapping),
}
READING = {"validation_share": or_none(is_number), "scale": or_none(are(is_text))}
FREE = ("device", "devices", "logger", "watch_every")  # what a resumed run may change


@dataclass
class RunFolder:
    """A run's folder, written beside its final place and moved there when the run ends.

        run = RunFolder.start("runs/lockers", command="debug", settings={...})
        run.path / "report.html"          # write here while the run goes on
        run.finish(status="done")         # now it is at runs/lockers

    Until then it is called `.NAME.part`, so an interrupted or failed run never takes an older run's place.
    """

    target: Path
    path: Path
    card: dict[str, Any]

    @classmethod
    def start(
        cls,
        out: str | os.PathLike[str],
        *,
        command: str,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        resume: bool = False,
    ) -> RunFolder:
        """Make the folder to work in, or with `resume` go on in that of a run that was stopped.

        Raises `RunError` where something is in the way, where a stopped training would be lost without `resume` or
        `overwrite`, and for a resume with other settings, naming each that differs.
        """
        target = Path(out)
        path = part_of(target)
        if resume:
            _take_up(target, path)
            if (path / CARD).is_file():
                return cls._resumed(target, path, settings)
            _refuse_finished(target)
        refuse_to_overwrite(target, overwrite)
        if (path / CHECKPOINTS).is_dir() and not overwrite:
            raise RunError(
                f"a training of {target} was stopped and can go on: use --resume, or --overwrite to start anew"
            )
        if path.exists():
            shutil.rmtree(path)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RunError(f"cannot write to {target.parent}: {error.strerror}") from error
        card = {
            "command": command,
            "settings": dict(settings),
            "started": _now(),
            "status": "running",
            "versions": library_versions(),
        }
        run = cls(target, path, card)
        run.write_card()
        return run

    @classmethod
    def at(cls, folder: Path, **card: Any) -> RunFolder:
        """A folder that is worked in where it stays, since a second call goes on in it."""
        run = cls(folder, folder, {**card, "versions": library_versions()})
        run.write_card()
        return run

    @classmethod
    def _resumed(cls, target: Path, path: Path, settings: Mapping[str, Any]) -> RunFolder:
        card = read_card(path)
        differing = differences(card["settings"], json.loads(json.dumps(dict(settings), default=str)))
        if differing:
            raise RunError(f"{target} was begun with other settings and cannot go on with these: {differing}")
        card.update(status="running", resumed=card.get("resumed", 0) + 1)
        run = cls(target, path, card)
        run.write_card()
        return run

    def folder(self, name: str) -> Path:
        """A folder inside the run, made when it is first asked for."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def write_card(self) -> None:
        """Write run.json, complete or not at all."""
        write_text(self.path / CARD, json.dumps(self.card, indent=2, default=str) + "\n")

    def finish(self, status: str) -> Path:
        """Move the run to its place; an older run there is replaced only now. Nothing moves a second time."""
        self.card.update(status=status, finished=_now())
        self.write_card()
        if self.path == self.target:
            return self.target
        if self.target.exists():
            shutil.rmtree(self.target)
        self.path.replace(self.target)
        self.path = self.target
        return self.target

    def discard(self) -> None:
        """Leave nothing behind of a run that has nothing to keep."""
        shutil.rmtree(self.path, ignore_errors=True)

    def keep_or_discard(self, error: BaseException, narrator: Narrator) -> None:
        """After Ctrl-C or an error: a trained model is worth keeping, an empty folder is not."""
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        if any(self.path.glob("model*/card.json")):
            target = self.finish(status)
            narrator.note(
                f"{status}: what was reached so far is in {target}, the model in {target / 'model'}"
            )
        else:
            self.discard()
            if status == "interrupted":
                narrator.note("interrupted before a first epoch was done: nothing was kept")


def read_card(folder: Path) -> dict[str, Any]:
    """A run's own card, run.json. Raises `RunError` where it is damaged."""
    try:
        card = read_json(folder / CARD)
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / CARD} is damaged: {error}") from error
    if (wrong := misfit(card, KINDS)) is None:
        wrong = misfit(card["settings"], SETTINGS) or misfit(card["settings"].get("reading") or {}, READING)
    if wrong is not None:
        raise RunError(f"{folder / CARD} is damaged: {wrong}")
    return dict(card)


def _take_up(target: Path, path: Path) -> None:
    """A run that was interrupted goes back to where it is worked on."""
    has_more_to_do = (target / CARD).is_file() and (target / CHECKPOINTS).is_dir() and not path.exists()
    if has_more_to_do and read_card(target)["status"] != "done":
        target.replace(path)


def _refuse_finished(target: Path) -> None:
    """A finished run has nothing to go on with; its weights have."""
    if (target / CARD).is_file() and (target / "model" / "model.safetensors").is_file():
        weights = target / "model" / "model.safetensors"
        raise RunError(
            f"{target} is finished, so there is nothing to resume. To train its model further, start a new run from "
            f"its weights: the same command with --weights {weights} and another --out, without --resume"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    """Each setting that differs: "epochs was 10, is 20; data.targets was x, is y"; empty if none does."""
    said = []
    for name in sorted({*before, *now} - set(FREE)):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            inner = differences(old, new, f"{prefix}{name}.")
            said += [inner] if inner else []
        elif old != new:
            said.append(f"{prefix}{name} was {old}, is {new}")
    return "; ".join(said)


def refuse_to_overwrite(target: Path, overwrite: bool) -> None:
    """Raise `RunError` where `target` holds something that this run must not replace."""
    is_run = (target / CARD).is_file()
    refuse_other(target, "is not a run of shapsight", is_one=is_run)
    if is_run and not overwrite:
        raise RunError(f"{target} holds a run already; use --overwrite to replace it, or another --out")


def refuse_other(folder: Path, what: str, *, is_one: bool) -> None:
    """Raise `RunError` for a file, and for a folder that holds something else, saying `what` it is not."""
    if folder.is_file():
        raise RunError(f"{folder} is a file; --out needs a folder")
    if folder.is_dir() and any(folder.iterdir()) and not is_one:
        raise RunError(f"{folder} is not empty and {what}; choose another --out")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
