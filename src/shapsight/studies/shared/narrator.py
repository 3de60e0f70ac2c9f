"""What a person sees while a job runs: the step, how far it is, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Report = Callable[[float, float], None]
SOON = 10.0  # seconds: no two lines are closer
LATE = 120.0  # a tenth that takes longer than this gets a line on its way


class Narrator:
    """Tells what a job does: a progress bar per step on a terminal, elsewhere a line at its start and each tenth.

    narrator = Narrator()
    with narrator.step("Explaining 24 images") as report:
        report(3, 24)
    narrator.note("2 files were left out")
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self.clock = clock

    @contextmanager
    def step(self, title: str, *, counted: str = "") -> Iterator[Report]:
        """A piece of work with a beginning and an end; what is `counted`, such as "images", is told by the second."""
        if self.quiet:
            yield lambda _done, _total: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            *([_Speed(counted)] if counted else []),
        )
        if not self.console.is_terminal:
            self.say(f"{title} …")
            yield _Lines(self, counted)
            return
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total or None)

    def start(self, title: str) -> Report | bool:
        """For work that draws a bar of its own: True on a terminal; elsewhere what it reports to, as in `step`."""
        self.say(f"{title} …")
        if self.quiet:
            return False
        return True if self.console.is_terminal else _Lines(self)

    def say(self, sentence: str) -> None:
        """A step that shows its own progress."""
        if not self.quiet:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """A sentence that the user should read."""
        if not self.quiet:
            self.console.print(f"  {sentence}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """`"3 min 20 s"`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def portion_of(report: Report, number: int, count: int) -> Report:
    """For the piece `number`, from 0, of `count` equal ones: its own progress as a part of the whole."""
    if count == 1:
        return report
    return lambda done, total: report(number + (done / total if total else 0), count)


class _Speed(ProgressColumn):
    """How many of something are done in a second."""

    def __init__(self, counted: str) -> None:
        super().__init__()
        self.counted = counted

    def render(self, task: Task) -> Text:
        """`12.3 images/s`."""
        return Text(f"{task.speed:.3g} {self.counted}/s" if task.speed else "")


class _Lines:
    """What `step` gives where there is no terminal: now and then a line with the time left."""

    def __init__(self, narrator: Narrator, counted: str = "") -> None:
        self.narrator = narrator
        self.counted = counted
        self.before: float | None = None
        self.started = self.said = narrator.clock()
        self.tenth = 0

    def __call__(self, done: float, total: float) -> None:
        now = self.narrator.clock()
        if self.before is None:
            self.before = (
                done if self.counted else 0.0
            )  # what an earlier run finished took no time of this one
        tenth = int(10 * done / total) if total else 0
        is_due = now - self.said >= (SOON if tenth > self.tenth else LATE)
        if not is_due or (total and done >= total):
            return
        self.said, self.tenth = now, tenth
        taken = now - self.started
        own = done - self.before
        if total and own > 0:
            left = duration(taken * (total - done) / own)
            speed = f", {own / taken:.2g} {self.counted}/s" if self.counted and taken else ""
            self.narrator.say(f"  {done / total:.0%} after {duration(taken)}{speed}, about {left} left")
        else:
            self.narrator.say(f"  {done:g} steps after {duration(taken)}")
