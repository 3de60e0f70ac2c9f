"""`shapsight doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from packaging.requirements import Requirement
from rich.table import Table

from shapsight.attribution.shared.predictor import has_bfloat16

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
FOR_DEVELOPERS = ("dev", "docs")
LITTLE_MEMORY, LITTLE_DISK = 2e9, 1e9  # bytes: DeepSHAP of a ResNet-18 takes about one of the first


@dataclass(frozen=True, eq=False)
class Checkup:
    """What a machine has: `.table` (what, found, state, do), `.lines`, `.is_well`."""

    table: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """`checkup`."""
        return {"checkup": self.table}

    @property
    def is_well(self) -> bool:
        """Whether there is no problem; notes are none."""
        return not (self.table["state"] == "problem").any()

    @property
    def headline(self) -> str:
        """The outcome in a few words."""
        problems = int((self.table["state"] == "problem").sum())
        return (
            "shapsight can work here"
            if not problems
            else f"{problems} of {len(self.table)} checks found a problem"
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each check."""
        return tuple(
            f"{row['state']:<8} {row['what']}: {row['found']}{row['do'] and '; ' + row['do']}"
            for row in self.table.to_dict("records")
        )

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))

    def __rich_console__(self, *_: Any) -> Iterator[Table]:
        """The checks for a terminal."""
        table = Table("", "what", "found", "what to do", pad_edge=False, box=None, padding=(0, 2, 0, 0))
        for row in self.table.to_dict("records"):
            plain = [str(row[name]).replace("[", r"\[") for name in ("what", "found", "do")]
            table.add_row(f"[{STYLES[row['state']]}]{row['state']}[/]", *plain)
        yield table


def doctor() -> Checkup:
    """Versions, devices, memory, what is missing and how to get it.

        shapsight.doctor().table

    Columns: `what`, `found`, `state` ("ok", "note" or "problem") and `do`, how to get or mend it. Nothing is changed,
    and nothing downloaded.
    """
    checks = [
        _python(),
        *(_libraries() if _version("shapsight") else ()),
        _processor(),
        *_accelerators(),
        _memory(),
        *_disks(),
        _weights(),
    ]
    return Checkup(pd.DataFrame(checks, columns=["what", "found", "state", "do"]))


Check = tuple[str, str, str, str]


def _python() -> Check:
    version, machine = _version("shapsight"), f"Python {platform.python_version()}, {platform.platform()}"
    if version:
        return "shapsight", f"{version}, {machine}", "ok", ""
    found = f"on the path but not installed, so what it needs is not known; {machine}"
    return "shapsight", found, "note", "pip install -e . in its checkout"


def _libraries() -> Iterator[Check]:
    """What the installed package asks for."""
    yield from _required()
    yield from _extras()


def _required() -> Iterator[Check]:
    """The libraries that are always needed; those of the wrong version or missing one by one, the others in a line."""
    fine = []
    for need in _needs(None):
        found = _version(need.name)
        if found and need.specifier.contains(found, prereleases=True):
            fine.append(f"{need.name} {found}")
        else:
            yield need.name, found or "missing", "problem", f"pip install '{need.name}{need.specifier}'"
    yield "libraries", ", ".join(fine), "ok", ""


def _extras() -> Iterator[Check]:
    """What is there of each extra."""
    for extra in metadata.metadata("shapsight").get_all("Provides-Extra") or ():
        if extra in FOR_DEVELOPERS:
            continue
        needs = [need for need in _needs(extra) if need.name != "shapsight"]
        missing = [need.name for need in needs if not _version(need.name)]
        if missing:
            yield (
                f"extra {extra}",
                f"{', '.join(missing)} missing",
                "note",
                f"pip install 'shapsight[{extra}]'",
            )
        elif needs:
            yield f"extra {extra}", ", ".join(f"{n.name} {_version(n.name)}" for n in needs), "ok", ""


def _needs(extra: str | None) -> list[Requirement]:
    """What shapsight asks for: always, or for an extra alone."""
    every = [Requirement(text) for text in metadata.requires("shapsight") or ()]
    if extra is None:
        return [need for need in every if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [
        n
        for n in every
        if n.marker and n.marker.evaluate({"extra": extra}) and not n.marker.evaluate({"extra": ""})
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> Check:
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    found = f"{cores} cores, {threads} threads for torch{', bfloat16' if has_bfloat16(torch.device('cpu')) else ''}"
    if threads > cores:
        return "processor", found, "note", f"OMP_NUM_THREADS={cores}: more threads than cores are slower"
    return "processor", found, "ok", ""


def _accelerators() -> Iterator[Check]:
    """A line for each, or why there is none."""
    for number in range(torch.cuda.device_count()):
        name, free = torch.cuda.get_device_name(number), torch.cuda.mem_get_info(number)[0]
        yield f"cuda:{number}", f"{name}, {_bytes(free)} free", "ok", ""
    if torch.backends.mps.is_available():
        yield "mps", "Apple's GPU", "ok", ""
    elif not torch.cuda.device_count():
        does_not_see = torch.version.cuda is not None and shutil.which("nvidia-smi") is not None
        if does_not_see:
            yield (
                "GPU",
                "there is one that torch does not see",
                "problem",
                "compare nvidia-smi with torch.version.cuda",
            )
        else:
            yield "GPU", "none; everything runs on the processor", "note", ""


def _memory() -> Check:
    memory = psutil.virtual_memory()
    found = f"{_bytes(memory.available)} free of {_bytes(memory.total)}"
    if memory.available < LITTLE_MEMORY:
        return "memory", found, "problem", "close other programs, or pass max_memory= and smaller images"
    return "memory", found, "ok", ""


def _disks() -> Iterator[Check]:
    """Of the folder that one is in and the one for temporary files."""
    for what, folder in (("disk", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        can_write = os.access(folder, os.W_OK)
        state = "ok" if free >= LITTLE_DISK and can_write else "problem"
        do = "" if can_write else "work in a folder that you may write to"
        do = do or ("" if state == "ok" else "make room: runs hold models and explanations")
        yield (
            what,
            f"{_bytes(free)} free in {folder}{'' if can_write else ', which cannot be written to'}",
            state,
            do,
        )


def _weights() -> Check:
    """ImageNet weights that torchvision keeps; others it downloads when they are asked for."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    names = sorted(path.name for path in folder.glob("*.pth")) if folder.is_dir() else []
    if names:
        return "ImageNet weights", f"{len(names)} in {folder}: {', '.join(names[:4])}", "ok", ""
    do = "without a network: --weights FILE (safetensors or a state dict), or --weights none"
    return "ImageNet weights", f"none in {folder}; downloaded when they are asked for", "note", do


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
