"""How far an explanation has come: a bar on the terminal, or a call of the user's own function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Report = Callable[[int, int], None]


@contextmanager
def reporting(progress: bool | Report) -> Iterator[Report]:
    """A function to call with (steps done, steps in all); with `True` a progress bar that shows the time left.

    The bar is on standard error: what a script prints stays clean in a pipe.
    Steps in all are 0 while nobody knows them; a bar then only moves.
    """
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Explaining"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Explaining", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@dataclass
class Steps:
    """Counts backward passes for whoever shows the progress."""

    report: Report
    total: int
    count: int

    def done(self, steps: int) -> None:
        """Some more are done."""
        self.skip_to(self.count + steps)

    def skip_to(self, count: int) -> None:
        """So many are done, or need not be."""
        self.count = count
        self.report(count, self.total)
