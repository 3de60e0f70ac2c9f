"""What goes wrong with files: bytes, cells, values and whole files changed at random; used by fuzz.py.

mutate(folder, random.Random(7))      # changes one or two files in place, and says which and how
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SENTINEL = "unpickled"  # a planted pickle makes a file of this name in the working folder
RAW = "\ue000raw{}\ue001"  # stands for a text that json.dumps could not write
RAW_TEXTS = (
    "1e400",
    "-1e400",
    "9" * 5000,
    "NaN",
    "-Infinity",
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 3000 + "1" + "}" * 3000,
    '"\\ud800"',
    "01",
)
ODD_VALUES: tuple[Any, ...] = (
    *(RAW.format(number) for number in range(len(RAW_TEXTS))),
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**6,
    10**12,
    2**63,
    10**400,
    -(10**30),
    1.5,
    -0.0,
    1e308,
    "",
    " ",
    "x",
    "0",
    "nan",
    "../../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "ü" * 50,
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    [1, "a", None],
    {"a": {}},
)
ODD_CELLS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 400,
        "-1",
        "1e308",
        "0x10",
        "1_000",
        "1,5",
        "٣",
        "True",
        "None",
    ),
    *(
        "x",
        "../secret.png",
        "/etc/passwd",
        "a\0b",
        '"',
        '"open',
        "a\nb",
        "\ud7ff",
        "=1+1",
        "2001-02-03",
        "💥" * 20,
    ),
    *(
        "9223372036854775808",
        "18446744073709551616",
        "1;2",
        "[1, 2]",
        "{}",
        "#REF!",
        ".",
        "..",
        "~",
        "#1",
        "a#99",
        "-0",
    ),
)
NUMBERS = (b"0", b"-1", b"255", b"65536", b"4294967295", b"9999999999999999999999", b"NaN", b"1e400", b"")
INTEGERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutate(folder: Path, rng: Random, which: str = "*") -> dict[str, str]:
    """Change one or two files below a folder; gives each changed path and what happened to it."""
    files = sorted(path for path in folder.rglob(which) if path.is_file() and not path.is_symlink())
    kinds = sorted({path.suffix for path in files})
    happened: dict[str, str] = {}
    for _ in range(rng.choice((1, 1, 1, 2))):
        kind = rng.choice(kinds)  # each as often, however many pictures lie beside one table
        path = rng.choice([path for path in files if path.suffix == kind])
        place = path.relative_to(folder).as_posix()
        happened[place] = "; ".join(
            _change(path, files, rng) for _ in range(rng.choice((1, 1, 2, 4))) if path.is_file()
        )
    return happened


def mutated_text(text: str, rng: Random) -> str:
    """A text with something changed, such as a name pattern."""
    changed = mutated_bytes(text.encode(), rng)[1]
    return changed.decode(errors="replace")


def mutated_bytes(content: bytes, rng: Random) -> tuple[str, bytes]:
    """What was done to the bytes, and what they are then."""
    how = rng.choice(BYTES)
    return how.__name__.strip("_"), how(content, rng)


def _change(path: Path, others: list[Path], rng: Random) -> str:
    if rng.random() < 0.12:
        how = rng.choice(FILES)
        how(path, others, rng)
        return how.__name__.strip("_")
    by_kind = STRUCTURES.get(path.suffix.lower())
    if by_kind is not None and rng.random() < 0.7:
        try:
            by_kind(path, rng)
            return by_kind.__name__.strip("_")
        except Exception:  # an earlier change left nothing with that structure
            pass
    how_bytes, content = mutated_bytes(path.read_bytes(), rng)
    path.write_bytes(content)
    return how_bytes


# Bytes


def _flip(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_in_the_head(content: bytes, rng: Random) -> bytes:
    return _flip(content[:64], rng) + content[64:]


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _insert(content: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.choice((1, 2, 16, 300))) + content[at:]


def _piece(content: bytes, rng: Random) -> tuple[int, int]:
    start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return start, min(end, start + rng.choice((1, 4, 64, 4096)))


def _delete(content: bytes, rng: Random) -> bytes:
    start, end = _piece(content, rng)
    return content[:start] + content[end:]


def _duplicate(content: bytes, rng: Random) -> bytes:
    start, end = _piece(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 2, 50)) + content[end:]


def _swap(content: bytes, rng: Random) -> bytes:
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _blank(content: bytes, rng: Random) -> bytes:
    start, end = _piece(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff", b" ")) * (end - start) + content[end:]


def _number(content: bytes, rng: Random) -> bytes:
    """A number of four bytes, as headers hold sizes."""
    at = rng.randrange(min(len(content), 200) + 1)
    order = rng.choice("<>")
    return content[:at] + struct.pack(f"{order}I", rng.choice(INTEGERS)) + content[at + 4 :]


def _digits(content: bytes, rng: Random) -> bytes:
    """A written number that becomes another one."""
    places = [at for at in range(len(content)) if content[at : at + 1].isdigit()][:5000]
    if not places:
        return _flip(content, rng)
    at = rng.choice(places)
    return content[:at] + rng.choice(NUMBERS) + content[at + 1 :]


def _encoding(content: bytes, rng: Random) -> bytes:
    if rng.random() < 0.5:
        return rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0", b"\n\n", b"\x1f\x8b")) + content
    return content.decode("utf-8", "replace").encode(rng.choice(("utf-16", "latin-1", "utf-32")), "replace")


BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip,
    _flip_in_the_head,
    _truncate,
    _insert,
    _delete,
    _duplicate,
    _swap,
    _blank,
    _number,
    _digits,
    _encoding,
)


# What a file holds


def _dumps(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    for number, raw in enumerate(RAW_TEXTS):
        text = text.replace(f'"{RAW.format(number)}"', raw)
    return text


def _nodes(content: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON tree, as its container and its key."""
    found: list[tuple[Any, Any]] = []
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        found.append((content, key))
        found += _nodes(value)
    return found


def _changed_tree(content: Any, rng: Random) -> Any:
    nodes = _nodes(content)
    if not nodes or rng.random() < 0.03:
        return rng.choice(ODD_VALUES)
    container, key = rng.choice(nodes)
    what = rng.randrange(8)
    if what < 4:
        container[key] = rng.choice(ODD_VALUES)
    elif what == 4:
        del container[key]
    elif what == 5:
        container[key] = rng.choice(([container[key]], {"x": container[key]}, str(container[key])))
    elif what == 6 and isinstance(container, list):
        container.insert(rng.randrange(len(container) + 1), container[key])
    elif what == 6:
        container[rng.choice(("x", "", f"{key}2"))] = container.pop(key)
    else:
        other, other_key = rng.choice(nodes)
        other[other_key] = json.loads(json.dumps(container[key]))
    return content


def _json_values(path: Path, rng: Random) -> None:
    content = _changed_tree(json.loads(path.read_bytes()), rng)
    path.write_text(_dumps(content), encoding="utf-8", errors="surrogatepass")


def _json_lines(path: Path, rng: Random) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    at = rng.randrange(len(lines))
    if rng.random() < 0.2:
        lines[at : at + 1] = rng.choice(([], [lines[at]] * 2, ["[]"], ["null"], ["1"], [""], ['"a"']))
    else:
        lines[at] = _dumps(_changed_tree(json.loads(lines[at]), rng))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")


def _cells(path: Path, rng: Random) -> None:
    comma = "\t" if path.suffix == ".tsv" else ","
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), delimiter=comma))
    row = rng.randrange(len(rows))
    column = rng.randrange(len(rows[row]))
    what = rng.randrange(10)
    if what < 4:
        rows[row][column] = rng.choice(ODD_CELLS)
    elif what == 4:
        cell = rng.choice(ODD_CELLS)
        for each in rows[1:]:
            each[column] = cell
    elif what == 5:
        rows[0][column] = rng.choice((*rows[0], "path", "label", "split", "width", "x", "", "Unnamed: 0"))
    elif what == 6:
        for each in rows:
            del each[column]
    elif what == 7:
        rows[row] = rows[row][: rng.randrange(len(rows[row]))] or rows[row] * 3
    elif what == 8:
        rows = rows[: rng.randrange(len(rows))] + rng.choice(([], [[]], [rows[0]], rows))
    else:
        row, other = rng.randrange(len(rows)), rng.randrange(len(rows))
        rows[row], rows[other] = rows[other], rows[row]
    written = io.StringIO()
    csv.writer(written, delimiter=comma).writerows(rows)
    path.write_text(written.getvalue(), encoding="utf-8", errors="surrogatepass")


def _columns(path: Path, rng: Random) -> None:
    """Parquet: a column of another type or name, or another card in its metadata."""
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata or {})
    if b"shapsight" in metadata and rng.random() < 0.5:
        card = _dumps(_changed_tree(json.loads(metadata[b"shapsight"]), rng))
        pq.write_table(
            table.replace_schema_metadata({**metadata, b"shapsight": card.encode("utf-8", "replace")}), path
        )
        return
    at = rng.randrange(table.num_columns)
    name, length = table.column_names[at], table.num_rows
    what = rng.randrange(6)
    if what == 0:
        table = table.drop_columns([name])
    elif what == 1:
        table = table.append_column(rng.choice((name, "path", "label", "")), table.column(at))
    elif what == 2:
        table = table.slice(0, rng.randrange(length + 1))
    else:
        table = table.set_column(at, name, rng.choice(_odd_columns(length)))
    pq.write_table(table.replace_schema_metadata(metadata if rng.random() < 0.8 else None), path)


def _odd_columns(length: int) -> tuple[pa.Array, ...]:
    return (
        pa.nulls(length),
        pa.array([[1, 2]] * length),
        pa.array([{"a": 1}] * length),
        pa.array([b"\xff\0"] * length),
        pa.array([True] * length),
        pa.array([float("nan")] * length),
        pa.array([float("inf")] * length),
        pa.array([2**63] * length, pa.uint64()),
        pa.array([1] * length, pa.timestamp("ns")),
        pa.array([1] * length, pa.decimal128(30, 2)),
        pa.array(["x"] * length).dictionary_encode(),
        pa.array([None, *["x"] * (length - 1)] if length else []),
        pa.array([-1] * length),
        pa.array([1e308] * length),
    )


def _header(path: Path, rng: Random) -> None:
    """Safetensors: the header's own values, or those of the JSON in its metadata."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    card = header.get("__metadata__", {}).get("card")
    if card is not None and rng.random() < 0.5:
        header["__metadata__"]["card"] = _dumps(_changed_tree(json.loads(card), rng))
    elif rng.random() < 0.3:
        tensor = header[rng.choice([name for name in header if name != "__metadata__"])]
        tensor["shape"] = rng.choice((tensor["shape"][::-1], [*tensor["shape"], 1], tensor["shape"][:-1]))
    else:
        header = _changed_tree(header, rng)
    written = _dumps(header).encode("utf-8", "replace")
    path.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + size :])


def _inside_gzip(path: Path, rng: Random) -> None:
    path.write_bytes(gzip.compress(mutated_bytes(gzip.decompress(path.read_bytes()), rng)[1]))


def _inside_zip(path: Path, rng: Random) -> None:
    """What torch.save writes: one of its members changed, or its pickle replaced by one that runs code."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    if rng.random() < 0.3:
        name = next(each for each in members if each.endswith("data.pkl"))
        members[name] = planted()
    else:
        members[name] = mutated_bytes(members[name], rng)[1]
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)


STRUCTURES: dict[str, Callable[[Path, Random], None]] = {
    ".json": _json_values,
    ".jsonl": _json_lines,
    ".catalog": _json_lines,
    ".csv": _cells,
    ".tsv": _cells,
    ".parquet": _columns,
    ".safetensors": _header,
    ".gz": _inside_gzip,
    ".pth": _inside_zip,
    ".ckpt": _inside_zip,
}


# Whole files


class _Trap:
    """A pickle of this makes the sentinel file when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (SENTINEL, "w")


def planted() -> bytes:
    """A pickle that runs code when it is read."""
    return pickle.dumps({"state_dict": _Trap()}, protocol=2)


def _pickle_instead(path: Path, others: list[Path], rng: Random) -> None:
    path.write_bytes(planted())


def _empty(path: Path, others: list[Path], rng: Random) -> None:
    path.write_bytes(b"")


def _other_kind(path: Path, others: list[Path], rng: Random) -> None:
    """The content of a neighbour, or of something else, under this name."""
    contents = [each.read_bytes() for each in others if each.is_file()]
    contents += [
        b"%PDF-1.4\n",
        b"<html></html>",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\x80\x04N.",
    ]
    path.write_bytes(rng.choice(contents))


def _wrong_suffix(path: Path, others: list[Path], rng: Random) -> None:
    suffixes = (
        ".png",
        ".jpg",
        ".tif",
        ".gif",
        ".webp",
        ".csv",
        ".json",
        ".txt",
        "",
        ".gz",
        ".parquet",
        ".PNG",
    )
    target = path.with_suffix(rng.choice(suffixes))
    if not target.exists():
        path.rename(target)


def _folder_instead(path: Path, others: list[Path], rng: Random) -> None:
    path.unlink()
    path.mkdir()


def _gone(path: Path, others: list[Path], rng: Random) -> None:
    path.unlink()


def _link_loop(path: Path, others: list[Path], rng: Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _folder_loop(path: Path, others: list[Path], rng: Random) -> None:
    """Folders that link to each other, beside the file."""
    for number in range(rng.choice((1, 3))):
        link = path.with_name(f"loop_{number}")
        if not link.exists() and not link.is_symlink():
            link.symlink_to(rng.choice((".", "..", "../..")), target_is_directory=True)


def _endless(path: Path, others: list[Path], rng: Random) -> None:
    """A pipe that nobody writes to, or a device without an end."""
    path.unlink()
    if rng.random() < 0.5:
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


def _odd_name(path: Path, others: list[Path], rng: Random) -> None:
    names = (
        b"\xff\xfe_1_2",
        b"1_2_\xf0\x28",
        b"a#1",
        b"#",
        b"-",
        b"x\ny",
        b"9" * 200,
        "1e400_٣".encode(),
        b"nan_inf",
    )
    name = os.fsdecode(rng.choice(names)) + path.suffix
    target = path.with_name(name)
    if not target.exists():
        path.rename(target)


FILES: tuple[Callable[[Path, list[Path], Random], None], ...] = (
    _pickle_instead,
    _empty,
    _other_kind,
    _wrong_suffix,
    _folder_instead,
    _gone,
    _link_loop,
    _folder_loop,
    _endless,
    _odd_name,
)
