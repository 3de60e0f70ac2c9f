"""One line of the table of models beyond classifiers, and the table."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """A model, how it was explained, and how exactly.

    gap: a share of `prediction - base value`; against: what the values were compared with.
    seconds: of the explanation; bare_seconds: of as many plain passes of the model.
    """

    kind: str
    model: str
    method: str
    gap: float
    against: str
    seconds: float
    bare_seconds: float
    note: str = ""

    def __str__(self) -> str:
        """As a line of a Markdown table."""
        times = f"{self.seconds:.2f} s | {self.seconds / self.bare_seconds:.2f} ×"
        cells = (self.kind, self.model, self.method, f"{self.gap:.1e}", self.against, times, self.note)
        return f"| {' | '.join(cells)} |"


HEADING = """\
| kind | model | method | gap | against | time | beside plain passes | |
| --- | --- | --- | ---: | --- | ---: | ---: | --- |"""


def print_rows(rows: Callable[[str], Iterator[Row]], about: str) -> None:
    """Print a table, a line as soon as it is there; with `--only` of models whose name holds that."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the model's name")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    print(HEADING)
    for row in rows(only):
        print(row, flush=True)
