"""Whether two folders of runs hold the same: for changes of the code that must not change what comes out.

    python benchmarks/same_runs.py before after                  # exit status 1, and what differs, where they do not
    python benchmarks/same_runs.py before after --tolerance 1e-6 # for numbers in tables, facts and cards

Compared are which files there are (figures by their names, with --pixels also by their pictures), tables, JSON files,
explanations and weights, and the words of reports. Left out are times, versions, keys of what is kept, and checkpoints.
"""

from __future__ import annotations

import argparse
import html
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageChops
from safetensors import safe_open

LEFT_OUT = {"started", "finished", "created", "versions", "seconds", "cost", "key"}
TIMED = {"cost", "s a training", "seconds"}  # columns of a page's tables
ONE = r"\d+(?:\.\d+)? (?:s|min|h|ms|seconds?|minutes?)\b"
TIMES = re.compile(rf"\b{ONE}(?: {ONE})*|\b\d{{4}}-\d\d-\d\d[T ][\d:+.]+")
CELL = re.compile(r"(?s)<t[hd]([^>]*)>(.*?)</t[hd]>")


def words(path: Path) -> list[str]:
    """What a page says, a line each; without times and versions."""
    text = re.sub(r"(?s)<(style|script).*?</\1>", "", path.read_text(encoding="utf-8"))
    text = re.sub(r"(?s)<table.*?</table>", lambda table: "\n".join(cells(table[0])), text)
    text = html.unescape(re.sub(r"<[^>]*>", "\n", text))
    lines = (TIMES.sub("TIME", re.sub(r"\s+", " ", line).strip()) for line in text.splitlines())
    return [re.sub(r"\b\d+\.\d+\.\d+(\+\w+)?\b", "VERSION", line) for line in lines if line]


def cells(table: str) -> Iterator[str]:
    """A table's cells, without the columns that hold times."""
    timed: list[bool] = []
    for row in re.findall(r"(?s)<tr>.*?</tr>", table):
        found = CELL.findall(row)
        if not timed:
            spans = [int((re.findall(r'colspan="(\d)"', given) or [1])[0]) for given, _ in found]
            timed = [said in TIMED for (_, said), span in zip(found, spans, strict=True) for _ in range(span)]
            found = [cell for cell, span in zip(found, spans, strict=True) for _ in range(span)]
        yield from (said for (_, said), is_timed in zip(found, timed, strict=False) if not is_timed)


def content(path: Path) -> Any:
    """Of a file, what two runs should have in common."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    if path.suffix in {".parquet", ".csv"}:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        return {str(name): table[name].tolist() for name in table}
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name).ravel().tolist() for name in file.keys()}  # noqa: SIM118
    return words(path) if path.suffix == ".html" else None


def differences(one: Any, other: Any, tolerance: float, place: str = "") -> Iterator[str]:
    """Each place where two contents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            if name in LEFT_OUT:
                continue
            if name in one and name in other:
                yield from differences(one[name], other[name], tolerance, f"{place}.{name}")
            else:
                yield f"{place}.{name} is only in the {'first' if name in one else 'second'}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (here, there) in enumerate(zip(one, other, strict=True)):
            yield from differences(here, there, tolerance, f"{place}[{number}]")
    elif isinstance(one, float | int) and isinstance(other, float | int):
        same = math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
        if not (same or (math.isnan(one) and math.isnan(other))):
            yield f"{place}: {one} and {other}"
    elif one != other and TIMES.sub("", str(one)) != TIMES.sub("", str(other)):
        yield f"{place}: {str(one)[:200]} and {str(other)[:200]}"


def same_picture(first: Path, second: Path) -> bool:
    with Image.open(first) as one, Image.open(second) as other:
        return one.size == other.size and not ImageChops.difference(one, other).getbbox()


def compare(first: Path, second: Path, tolerance: float, pixels: bool) -> Iterator[str]:
    """What differs between two folders, a line each."""
    names = [
        {str(p.relative_to(f)) for p in f.rglob("*") if p.is_file() and "checkpoints" not in p.parts}
        for f in (first, second)
    ]
    yield from (f"{name} is only in {first}" for name in sorted(names[0] - names[1]))
    yield from (f"{name} is only in {second}" for name in sorted(names[1] - names[0]))
    for name in sorted(names[0] & names[1]):
        if name.endswith(".png"):
            if pixels and not same_picture(first / name, second / name):
                yield f"{name} is another picture"
            continue
        found = list(differences(content(first / name), content(second / name), tolerance))
        yield from (f"{name}{what}" for what in found[:5])
        if found[5:]:
            yield f"{name}: {len(found) - 5} more"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0)
    parser.add_argument("--pixels", action="store_true", help="compare figures pixel by pixel, too")
    asked = parser.parse_args()
    found = list(compare(asked.first, asked.second, asked.tolerance, asked.pixels))
    print("\n".join(found) or "the same")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
