"""All models beyond classifiers in one table.

python benchmarks/beyond/all.py > table.md
python benchmarks/beyond/all.py --only vit
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
import deep
import inputs
import targets
import tokens
from row import Row, print_rows


def rows(only: str = "") -> Iterator[Row]:
    """Of every part, one after another."""
    for part in (targets, inputs, tokens, deep):
        yield from part.rows(only)


if __name__ == "__main__":
    print_rows(rows, str(__doc__))
