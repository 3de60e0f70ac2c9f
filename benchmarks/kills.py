"""Is anything lost when a command is killed? SIGKILL at random moments, then the same command again to its end.

python benchmarks/kills.py                             # 25 kills of each command, about fifteen minutes
python benchmarks/kills.py --kills 2 --command cure    # a few

The data are discs on plain walls, 32 pixels squared, and the network is small_cnn, so that each command takes
seconds. `store` explains 120 images into a store, `store-workers` does so with two processes; their results are
compared to the bit. `store-ray` does so with two workers of a Ray of its own, of which up to three are killed in each
run, and in every third run the command, too. Every other kill falls on a moment drawn from the whole of the run, the
others into the writing of a file drawn from all that it writes. A run is killed once to three times before it may
end, and is then compared with an undisturbed one, file by file: weights and explanations to the byte, tables and
facts as their values, times apart. `lost`: files or rows that the undisturbed run has, or results that were there at
the kill and were made again; `doubled`: files or rows too many; `differing`: other values; `parts`: half-written
files that stay.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from random import Random
from threading import Lock, Thread
from typing import Any

COMMANDS = ("train", "diagnose", "cure", "explain", "store", "store-workers", "store-ray")
INTO = {
    "store": "--store",
    "store-workers": "--store",
    "store-ray": "--store",
}  # where results go, if not into --out
# What is whole once it is there, and must not be made again.
KEPT = {
    "train": (),
    "diagnose": ("explanations/*/*.csv", "*/facts.json"),
    "cure": ("cells/*.parquet",),
    "explain": (),
    "store": ("table/rows/*.parquet",),
    "store-workers": ("table/rows/*.parquet",),
    "store-ray": ("table/rows/*.parquet",),
}
# Of a run, not of its results.
PASSING = ("seconds", "cost", "started", "finished", "resumed", "command", "versions", "out", "status")
TRAINING = [
    "--arch",
    "small_cnn",
    "--epochs",
    "4",
    "--batch-size",
    "8",
    "--references",
    "6",
    "--device",
    "cpu",
]
PRELOADED = [
    "shapsight.cli",
    "shapsight.studies.train.study",
    "shapsight.studies.diagnose.study",
    "shapsight.studies.cure.study",
]
PRELOADED += [
    "shapsight.studies.explain.study",
    "shapsight.studies.dataset.study",
    "zarr",
    "shapsight.models.loop",
    "sklearn.cluster",
    "matplotlib.pyplot",
]
QUICK = {"diagnose": ["--only", "look"], "cure": ["--epochs", "1"]}  # the last of an option counts
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
REACTION = 0.004  # seconds at most from the beginning of a write to the kill


@dataclass
class Found:
    """What came of the kills of a command."""

    kills: int = 0
    resumed: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def note(self, what: str, said: str) -> None:
        self.wrong[what] += 1
        self.said.append(f"{what}: {said}")


@dataclass(frozen=True)
class Ended:
    """How a command ended: None for a kill."""

    code: int | None
    seconds: float
    writes: int
    said: str
    workers: int = 0


def _write_discs(folder: Path, count: int, colour: tuple[int, int, int], seed: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    for number in range(count):
        x, y = generator.integers(4, 28, 2)
        picture = np.empty((32, 32, 3), np.uint8)
        picture[:] = colour
        picture[(columns - x) ** 2 + (rows - y) ** 2 < 25] = 255
        Image.fromarray(picture).save(folder / f"{x}_{y}_{number:03}.png")


def _in_child(arguments: Sequence[str], log: str, pipe: Connection) -> None:
    """Run the command line, and tell of every write into the folder of its results."""
    from shapsight.cli import app

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    into = arguments.index("--store" if "--store" in arguments else "--out")
    out = os.fspath(Path(arguments[into + 1]).parent)
    one_at_a_time = Lock()

    def note(event: str, given: tuple[Any, ...]) -> None:
        writes = event in CHANGES or (event == "open" and isinstance(given[2], int) and given[2] & WRITES)
        if (
            writes
            and isinstance(given[0], str | bytes | os.PathLike)
            and os.fsdecode(given[0]).startswith(out)
        ):
            with one_at_a_time:
                pipe.send(os.fsdecode(given[0]))

    sys.addaudithook(note)
    app(list(arguments))


class Killer:
    """Starts commands in processes that have everything imported, and kills them."""

    def __init__(self, scratch: Path) -> None:
        self.log = scratch / "log"
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def run(
        self,
        arguments: Sequence[str],
        *,
        at: float | None = None,
        at_write: int | None = None,
        delay: float = 0.0,
        workers_at: Sequence[float] = (),
    ) -> Ended:
        """To the end, or to a kill after `at` seconds or at the nth write; workers of Ray are killed on the way."""
        pipe, other = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_in_child, args=(list(arguments), str(self.log), other))
        process.start()
        other.close()
        killed: list[int] = []
        aside = Thread(target=_kill_workers, args=(process.pid, workers_at, killed), daemon=True)
        aside.start()
        started, writes, was_killed = time.monotonic(), 0, False
        while True:
            left = None if at is None or was_killed else max(0.0, at - (time.monotonic() - started))
            ready = wait_for([pipe], left)
            if not ready or (writes + 1 == at_write and not was_killed):
                time.sleep(delay)
                process.kill()
                was_killed = True
                at = None
            if ready:
                try:
                    pipe.recv()
                    writes += 1
                except EOFError:
                    break
        process.join()
        aside.join()
        is_killed = process.exitcode == -9
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return Ended(
            None if is_killed else process.exitcode, time.monotonic() - started, writes, said, len(killed)
        )


def _kill_workers(command: int | None, moments: Sequence[float], killed: list[int]) -> None:
    """Kill one of the command's workers of Ray at each of some moments, in seconds from when there are any."""
    import psutil

    def workers() -> list[psutil.Process]:
        below = psutil.Process(command).children(recursive=True)
        return [each for each in below if each.name().startswith("ray::MapWorker")]

    rng = Random(str(moments))
    with contextlib.suppress(psutil.Error):  # when the command has ended
        while moments and not workers():
            time.sleep(0.1)
        started = time.monotonic()
        for moment in sorted(moments):
            time.sleep(max(0.0, moment - (time.monotonic() - started)))
            if there := workers():
                chosen = rng.choice(there)
                chosen.kill()
                killed.append(chosen.pid)


def command_line(command: str, scratch: Path, out: Path, *, is_quick: bool = False) -> list[str]:
    run, data = scratch / "run", scratch / "data"
    rest = {
        "train": [str(data), "--train-on", "red", *TRAINING],
        "diagnose": [str(run), "--roi", "below:16", "--images", "6", "--references", "2", "--device", "cpu"],
        "cure": [
            str(run),
            "--try",
            "flip",
            "--seeds",
            "1",
            "--epochs",
            "2",
            "--explain",
            "1",
            "--device",
            "cpu",
        ],
        "explain": [
            str(run),
            str(data / "green"),
            "--method",
            "regions",
            "--regions",
            "grid(2,2)",
            "--device",
            "cpu",
        ],
    }
    whole = [
        str(run),
        str(scratch / "many"),
        "--method",
        "deep",
        "--outputs",
        "all",
        "--roi",
        "below:16",
        "--device",
        "cpu",
    ]
    rest |= {"store": whole, "store-workers": [*whole, "--workers", "2"]}
    rest |= {"store-ray": [*whole, "--workers", "2", "--ray", "local"]}
    less = QUICK.get(command, []) if is_quick else []
    return [
        "explain" if command in INTO else command,
        *rest[command],
        *less,
        INTO.get(command, "--out"),
        str(out),
    ]


def kill_again_and_again(
    command: str, kills: int, scratch: Path, killer: Killer, seed: int, *, is_quick: bool = False
) -> Found:
    """Rounds of one to three kills and an end, until there were `kills`."""
    found = Found()
    whole = scratch / command / "whole" / "out"
    whole.parent.mkdir(parents=True)
    undisturbed = killer.run(command_line(command, scratch, whole, is_quick=is_quick))
    if undisturbed.code:
        raise RuntimeError(f"{command} failed undisturbed:\n{undisturbed.said}")
    rng = Random(f"{command} {seed}")
    for number in range(3 * kills):  # a kill may come when the command has ended already
        if found.kills >= kills:
            break
        out = scratch / command / f"round_{number}" / "out"
        out.parent.mkdir()
        arguments = command_line(command, scratch, out, is_quick=is_quick)
        for _ in range(rng.choice((1, 1, 2, 3))):
            if found.kills >= kills:
                break
            if command == "store-ray":
                moments = [rng.uniform(0, undisturbed.seconds / 2) for _ in range(3)]
                at = rng.uniform(0, undisturbed.seconds) if rng.random() < 1 / 3 else None
                ended = killer.run(arguments, at=at, workers_at=moments)
                found.kills += ended.workers + (ended.code is None)
                break
            is_timed = rng.random() < 0.5
            at = rng.uniform(0, undisturbed.seconds) if is_timed else None
            at_write = None if is_timed else rng.randrange(1, undisturbed.writes + 1)
            ended = killer.run(
                arguments, at=at, at_write=at_write, delay=0.0 if is_timed else rng.uniform(0, REACTION)
            )
            found.kills += ended.code is None
            if command == "train" and "--resume" not in arguments:
                arguments.append("--resume")
            if ended.code is not None:
                break
        _to_the_end(command, arguments, out, killer, found)
        (_compare_stores if command in INTO else _compare)(whole, out, found)
        shutil.rmtree(out.parent)
    return found


def _to_the_end(command: str, arguments: Sequence[str], out: Path, killer: Killer, found: Found) -> None:
    kept = {path: path.stat().st_mtime_ns for pattern in KEPT[command] for path in out.glob(pattern)}
    has_epoch = (out.with_name(f".{out.name}.part") / "checkpoints" / "last.ckpt").is_file()
    ended = killer.run(arguments)
    is_whole_already = ended.code == 1 and (
        "is finished" in ended.said or "holds a run already" in ended.said
    )
    if ended.code and not is_whole_already:
        found.note("failed", ended.said.strip()[-600:])
        return
    found.resumed += 1
    for path, time_before in kept.items():
        if not path.exists() or path.stat().st_mtime_ns != time_before:
            found.note("lost", f"{path.relative_to(out)} was made again")
    if has_epoch:
        card = json.loads((out / "model" / "card.json").read_text())
        if not card["training"]["resumed"]:
            found.note("lost", "the epochs before the kill were trained again")


def _compare(whole: Path, out: Path, found: Found) -> None:
    expected, there = _listing(whole), _listing(out)
    for name in sorted(expected - there):
        found.note("lost", name)
    for name in sorted(there - expected):
        found.note("parts" if ".part" in name else "doubled", name)
    beside = [path.name for path in out.parent.iterdir() if path.name != out.name]
    for name in beside:
        found.note("parts", f"{name} beside the results")
    for name in sorted(expected & there):
        what = _difference(whole / name, out / name)
        if what:
            found.note(what, name)


def _compare_stores(whole: Path, out: Path, found: Found) -> None:
    """Every number to the bit, each image once, and nothing half-written."""
    import torch

    from shapsight.store.store import open_store
    from shapsight.store.verify import verify

    expected, there = open_store(whole), open_store(out)
    verified = verify(out)
    if not verified.is_whole:
        found.note("differing", str(verified.damaged.to_dict("records"))[:300])
    for part in verified.parts:
        found.note("parts", part.name)
    if len(there) != len(expected):
        found.note(
            "doubled" if len(there) > len(expected) else "lost", f"{len(there)} images of {len(expected)}"
        )
        return
    tables = [store.images.drop(columns="finished") for store in (expected, there)]
    if not tables[0].astype(str).equals(tables[1].astype(str)):
        found.note("differing", "the rows")
    if not torch.equal(expected[:].values, there[:].values) or not torch.equal(
        expected[:].images, there[:].images
    ):
        found.note("differing", "values or images")


def _listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _difference(one: Path, other: Path) -> str:
    if one.suffix == ".html":  # says how long it took; all that it shows is compared by itself
        return ""
    if one.suffix == ".json":
        same = _lasting(json.loads(one.read_text())) == _lasting(json.loads(other.read_text()))
        return "" if same else "differing"
    if one.suffix in (".csv", ".parquet"):
        return _difference_of_tables(one, other)
    return "" if one.read_bytes() == other.read_bytes() else "differing"


def _difference_of_tables(one: Path, other: Path) -> str:
    import pandas as pd

    read = pd.read_csv if one.suffix == ".csv" else pd.read_parquet
    try:
        tables = [read(path) for path in (one, other)]
    except pd.errors.EmptyDataError:
        return "" if one.read_bytes() == other.read_bytes() else "lost"
    expected, there = (table.drop(columns=[name for name in PASSING if name in table]) for table in tables)
    if len(there) != len(expected):
        return "doubled" if len(there) > len(expected) else "lost"
    return "" if there.equals(expected) else "differing"


def _lasting(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _lasting(value) for key, value in content.items() if key not in PASSING}
    return [_lasting(value) for value in content] if isinstance(content, list) else content


@contextlib.contextmanager
def prepared() -> Iterator[tuple[Path, Killer]]:
    """A folder with data and a trained run."""
    with tempfile.TemporaryDirectory(prefix="shapsight-kills-") as temporary:
        scratch = Path(temporary).resolve()
        for number, (name, colour) in enumerate(
            {"red": (120, 30, 30), "green": (30, 110, 40), "blue": (30, 40, 130)}.items()
        ):
            _write_discs(scratch / "data" / name, 10, colour, number)
            _write_discs(scratch / "many" / name, 40, colour, 10 + number)
        killer = Killer(scratch)
        ended = killer.run(command_line("train", scratch, scratch / "run"))
        if ended.code:
            raise RuntimeError(ended.said)
        yield scratch, killer


def table(found: dict[str, Found]) -> str:
    """A row for each command."""
    head = ("command", "kills", "runs resumed to the end", "failed", "lost", "doubled", "differing", "parts")
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for command, each in found.items():
        cells = [str(each.kills), str(each.resumed), *(str(each.wrong[what]) for what in head[3:])]
        lines.append(f"| {command} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=25, help="of each command")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one part of the diagnosis, and epochs of one")
    given = parser.parse_args()
    found = {}
    with prepared() as (scratch, killer):
        for command in given.command or COMMANDS:
            started = time.monotonic()
            found[command] = kill_again_and_again(
                command, given.kills, scratch, killer, given.seed, is_quick=given.quick
            )
            print(
                f"{command}: {time.monotonic() - started:.0f} s", *found[command].said, sep="\n  ", flush=True
            )
    print(table(found))
    return int(any(each.wrong for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
