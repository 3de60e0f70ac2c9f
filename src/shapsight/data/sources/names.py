"""Names that hold targets: `{x}_{y}_{id}` unless a pattern says otherwise, and the order in which they were taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from uuid import UUID

from shapsight.errors import DataError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
# JetBot writes xy_112_098_UUID.
X_Y = re.compile(
    rf"(?:xy_)?(?P<x>{NUMBER})_(?P<y>{NUMBER})(?:[_\-. ].*)?", re.ASCII | re.DOTALL | re.IGNORECASE
)
WORDS = ("environment", "split", "label", "group")  # fields that are what they are called
IDS = ("id", "name", "time", "_")
NAMED = re.compile(
    rf"(?<![a-z])(?P<field>x|y|steer|steering|angle|speed|velocity|throttle|brake)[_\-= ]?(?P<number>{NUMBER})",
    re.I,
)
PAIR = re.compile(
    r"(?P<x>\d{1,3})(?P<between>[-, ])(?P<y>\d{1,3})(?:[-_, .](?!(?:\d{1,2}|\d{4})(?:[-_ .]|$)).*)?", re.ASCII
)
Span = tuple[int, int]
Key = tuple[object, ...]


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The expression of a name pattern such as `{x}_{y}_{id}`; fields that are targets take numbers only.

    Raises `DataError` for a pattern without a field, or with one twice.
    """
    parts = re.split(r"\{(\w*)\}", re.sub(r"\.(jpe?g|png)$", "", pattern))
    names = [name for name in parts[1::2] if name]
    if not parts[1::2] or len(set(names)) < len(names) or any(not name.isidentifier() for name in names):
        raise DataError(
            f"{pattern!r} is no name pattern: write fields in braces, each once, as in {{x}}_{{y}}_{{id}}"
        )
    text = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            text += re.escape(part)
        elif part in WORDS or part in IDS or not part:
            text += f"(?P<{part}>.+?)" if part and not part.startswith("_") else ".+?"
        else:
            text += f"(?P<{part}>{NUMBER})"
    return re.compile(text, re.ASCII | re.DOTALL)


def likely_pattern(stems: Sequence[str]) -> str | None:
    """The pattern that would read the names, where most look as if they held targets.

    likely_pattern(["x50_y30_a", "x51_y31_b"])      # "x{x}_y{y}_{}"
    likely_pattern(["IMG_20240101_0001"])           # None
    """
    found = [(stem, fields) for stem in stems if (fields := _fields(stem))]
    if not found or len(found) * 2 < len(stems):
        return None
    names = tuple(found[0][1])
    alike = [(stem, list(fields.values())) for stem, fields in found if tuple(fields) == names]
    pieces = zip(*(_between(stem, spans) for stem, spans in alike), strict=True)
    pattern = ""
    for number, texts in enumerate(pieces):
        is_last = number == len(names)
        pattern += _common(texts, is_last=is_last) + ("" if is_last else f"{{{names[number]}}}")
    reads = compile_pattern(pattern).fullmatch
    return pattern if all(reads(stem) for stem, _ in alike) else None


def natural(text: str) -> Key:
    """A key that puts frame_2 before frame_10, and UUIDs that hold a time in the order of that time."""
    parts = re.split(r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})", text)
    key: list[tuple[int, int, str]] = []
    for number, part in enumerate(parts):
        if number % 2 and UUID(part).version == 1:
            key.append((1, UUID(part).time, ""))
        else:
            key += [
                (1, int(piece), "") if piece.isdecimal() else (0, 0, piece)
                for piece in re.split(r"(\d+)", part)
            ]
    return tuple(key)


def key_of_taking(path: str, targets: Sequence[Span]) -> Key:
    """A key that orders a folder's images as they were taken: by the name without its targets."""
    place = PurePosixPath(path)
    rest = place.stem
    for start, end in sorted(targets, reverse=True):
        rest = rest[:start] + rest[end:]
    return natural(place.parent.as_posix()), natural(rest), natural(place.name)


def _fields(stem: str) -> dict[str, Span]:
    """Where a name seems to hold targets, by their names."""
    pair = PAIR.fullmatch(stem)
    if pair is not None:
        return {"x": pair.span("x"), "y": pair.span("y")}
    found = {match["field"].lower(): match for match in NAMED.finditer(stem)}
    is_sure = {"x", "y"} <= found.keys() or any("." in match["number"] for match in found.values())
    if not is_sure:
        return {}
    return dict(
        sorted(((name, match.span("number")) for name, match in found.items()), key=lambda each: each[1])
    )


def _between(stem: str, spans: Sequence[Span]) -> list[str]:
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(stem)]
    return [stem[start:end] for start, end in zip(ends, starts, strict=True)]


def _shared(texts: Sequence[str]) -> str:
    """The characters that all texts begin with."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*texts, strict=False))
    return "".join(letters[0] for letters in alike)


def _common(texts: Sequence[str], *, is_last: bool) -> str:
    """What stands there in every name; `{}` for what differs, between separators and words that do not."""
    if len(set(texts)) == 1 and not (is_last and len(texts) == 1):
        return texts[0]
    if not all(texts):
        return ""
    before = _shared([re.sub(r"[^\W_].*", "", text) for text in texts])
    after = _shared([text[len(before) :][::-1] for text in texts])[::-1].lstrip("0123456789")
    return f"{before}{{}}{'' if is_last or after in texts else after}"
