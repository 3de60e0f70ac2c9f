"""Does every damaged file end in a result or a clear error? Thousands of mutated inputs for every reader.

python benchmarks/fuzz.py                              # 500 inputs for each of 22 readers, about ten minutes
python benchmarks/fuzz.py --inputs 20 --reader csv     # a few
python benchmarks/fuzz.py --reader csv --seed 123      # one again, with its traceback
python benchmarks/fuzz.py --again printed.txt          # those that failed before

Small valid files are made, something in them is changed at random, and they are read. Each input ends in one of:
a result; a `ShapsightError` that names the file or its folder; or what must not be: an error that names neither, any
other exception, no end within 20 seconds, the end of the process, a file written outside the output folder, or
something unpickled (a planted pickle would make a file). The same seed gives the same input.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from fuzz_mutations import SENTINEL, mutate
from fuzz_readers import READERS, Case, Plain

from shapsight.errors import ShapsightError

OUTCOMES = (
    "result",
    "clear error",
    "unnamed error",
    "other exception",
    "hang",
    "crash",
    "written outside",
    "unpickled",
)
GOOD = OUTCOMES[:2]
SECONDS = 20.0
MEMORY = 8 << 30  # bytes a process may ask for
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "os.chmod",
)


@dataclass(frozen=True)
class Ending:
    """How an input ended; what it was changed by, and what there is to say."""

    outcome: str
    changed: dict[str, str]
    said: str = ""


class Watch:
    """Notes what Python writes and unpickles while it is on; a hook of the interpreter, so there is one."""

    def __init__(self) -> None:
        self.is_on = False
        self.written: list[str] = []
        self.unpickled: list[str] = []
        sys.addaudithook(self._note)

    def start(self) -> None:
        self.written.clear()
        self.unpickled.clear()
        self.is_on = True

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self.written.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "")
        elif event in CHANGES:
            self.written += [
                os.fsdecode(each) for each in arguments[:2] if isinstance(each, str | bytes | os.PathLike)
            ]
        elif event == "pickle.find_class":
            self.unpickled.append(".".join(map(str, arguments)))


def attempt(reader: str, seed: int, seeds: Path, home: Path, watch: Watch) -> Ending:
    """One input of a reader, in folders that are made anew."""
    shutil.rmtree(home, ignore_errors=True)
    folder, out, here = home / "given", home / "out", home / "here"
    shutil.copytree(seeds, folder)
    for each in (out, here):
        each.mkdir(parents=True)
    os.chdir(here)
    rng = Random(f"{reader} {seed}")
    changed = mutate(folder, rng, READERS[reader].which)
    before = _listing(folder)
    tempfile.tempdir = str(out)
    watch.start()
    try:
        READERS[reader].read(Case(folder, out, changed, rng))
        outcome, said = "result", ""
    except ShapsightError as error:
        names = [
            str(home),
            *(Path(name).name for name, _, _ in before),
            *(Path(name).name for name in changed),
        ]
        is_named = any(name in str(error) for name in names)
        outcome, said = "clear error" if is_named else "unnamed error", f"{type(error).__name__}: {error}"
    except Exception as error:
        outcome, said = "other exception", _where(error)
    finally:
        watch.is_on = False
    outside = [path for path in watch.written if path and not _is_inside(path, out)]
    if outside or _listing(folder) != before or any(path.name != SENTINEL for path in here.iterdir()):
        outcome, said = "written outside", ", ".join(outside)
    if watch.unpickled or (here / SENTINEL).exists():
        outcome, said = "unpickled", ", ".join(watch.unpickled)
    return Ending(outcome, changed, said)


def check_whole(reader: str, seeds: Path, out: Path) -> None:
    """Every file is read as it was made: otherwise nothing that is changed in it would be seen."""
    for path in sorted(seeds.rglob(READERS[reader].which)):
        if path.is_file():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            READERS[reader].read(Case(seeds, out, {path.relative_to(seeds).as_posix(): ""}, Plain()))


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found.append((str(path), status.st_size, status.st_mtime_ns))
    return found


def _is_inside(path: str, out: Path) -> bool:
    return path == os.devnull or Path(path).absolute().is_relative_to(out)


def _where(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "shapsight" in frame.filename]
    last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} in {last}: {str(error)[:200]}"


def _work(reader: str, wanted: list[int], seeds: Path, home: Path, seconds: float, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    sys.dont_write_bytecode = True
    log = (home.parent / "log").open("w")
    os.dup2(log.fileno(), 2)  # libraries in C complain there
    watch = Watch()
    for seed in wanted:
        pipe.send((seed, None))
        faulthandler.dump_traceback_later(0.9 * seconds, file=log)
        ending = attempt(reader, seed, seeds, home, watch)
        faulthandler.cancel_dump_traceback_later()
        pipe.send((seed, ending))


def run(
    reader: str, wanted: list[int], scratch: Path, seconds: float = SECONDS
) -> Iterator[tuple[int, Ending]]:
    """Each input's ending; in a process of its own, which is started anew after a hang or a crash."""
    seeds, home = scratch / "seeds", scratch / "home"
    seeds.mkdir(parents=True)
    READERS[reader].make(seeds)
    check_whole(reader, seeds, home / "out")
    context = multiprocessing.get_context("fork")
    left = list(wanted)
    while left:
        pipe, other = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(reader, left, seeds, home, seconds, other))
        process.start()
        other.close()
        bad = ""
        try:
            while left:
                if not pipe.poll(seconds):
                    bad = "hang"
                    break
                seed, ending = pipe.recv()
                if ending is not None:
                    left.remove(seed)
                    yield seed, ending
        except EOFError:
            bad = "crash"
        if bad:
            log = (scratch / "log").read_text(errors="replace").strip().splitlines()
            frames = [line.strip() for line in log if "shapsight" in line][:2]
            process.kill()
            process.join()
            yield left.pop(0), Ending(bad, {}, f"exit code {process.exitcode}; {'; '.join(frames)}")
        process.join()


def table(counts: dict[str, Counter[str]]) -> str:
    """A row for each reader, and their sum."""
    rows = {**counts, "all": sum(counts.values(), Counter())}
    head = ("reader", "inputs", *OUTCOMES)
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    for name, found in rows.items():
        cells = [str(found.total()), *(str(found[outcome]) for outcome in OUTCOMES)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def again(reader: str, seed: int, scratch: Path) -> Ending:
    """One input in this process, with its traceback."""
    seeds = scratch / "seeds"
    seeds.mkdir(parents=True)
    READERS[reader].make(seeds)
    home = scratch / "home"
    ending = attempt(reader, seed, seeds, home, Watch())
    print(f"{reader}, seed {seed}: {ending.outcome}\n  changed: {ending.changed}\n  {ending.said}")
    if ending.outcome == "other exception":
        rng = Random(f"{reader} {seed}")
        mutate(shutil.copytree(seeds, scratch / "again"), rng, READERS[reader].which)
        shutil.rmtree(home / "out")
        (home / "out").mkdir()
        READERS[reader].read(Case(scratch / "again", home / "out", ending.changed, rng))
    return ending


def _failed(printed: Path) -> dict[str, list[int]]:
    """Readers and seeds, as this command prints what failed."""
    found: dict[str, list[int]] = {}
    for reader, seed in re.findall(r"^--reader '(.+?)' --seed (\d+):", printed.read_text(), re.M):
        found.setdefault(reader, []).append(int(seed))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=500, help="for each reader")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--reader", choices=list(READERS), action="append", help="by default all of them")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="after which an input counts as hanging"
    )
    parser.add_argument("--seed", type=int, help="this one input alone, with its traceback")
    parser.add_argument("--again", type=Path, help="the inputs that an earlier run printed, from a file")
    given = parser.parse_args()
    readers = given.reader or list(READERS)
    with tempfile.TemporaryDirectory(prefix="shapsight-fuzz-") as temporary:
        scratch = Path(temporary).resolve()
        if given.seed is not None:
            return int(again(readers[0], given.seed, scratch).outcome not in GOOD)
        counts = {}
        seeds = list(range(given.first, given.first + given.inputs))
        wanted = dict.fromkeys(readers, seeds) if given.again is None else _failed(given.again)
        for reader, numbers in wanted.items():
            counts[reader] = Counter[str]()
            place = scratch / reader.replace(" ", "_")
            for seed, ending in run(reader, numbers, place, given.seconds):
                counts[reader][ending.outcome] += 1
                if ending.outcome not in GOOD:
                    said = f"{ending.outcome}: {ending.said[:300]} {ending.changed}".replace("\n", " ")
                    print(f"--reader '{reader}' --seed {seed}: {said}", flush=True)
            print(f"{reader}: {dict(counts[reader])}", file=sys.stderr, flush=True)
            shutil.rmtree(place, ignore_errors=True)
    print(table(counts))
    return int(
        any(found[outcome] for found in counts.values() for outcome in OUTCOMES if outcome not in GOOD)
    )


if __name__ == "__main__":
    sys.exit(main())
