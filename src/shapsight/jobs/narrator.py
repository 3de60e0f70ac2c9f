"""What a person sees while a job runs: the step, how far it is, and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, int], None]


class Narrator:
    """Tells what a job does: a progress bar per step on a terminal, a line per step elsewhere.

    narrator = Narrator()
    with narrator.step("Explaining 24 images") as report:
        report(3, 24)
    narrator.note("2 files were left out")
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """A piece of work with a beginning and an end."""
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
        )
        if not self.console.is_terminal:
            self.console.print(f"{title} …", highlight=False)
            yield lambda _done, _total: None
            return
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total or None)

    def say(self, sentence: str) -> None:
        """A step that shows its own progress."""
        if not self.quiet:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """A sentence that the user should read."""
        if not self.quiet:
            self.console.print(f"  {sentence}", style="yellow", highlight=False, markup=False, soft_wrap=True)
