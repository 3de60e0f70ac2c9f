"""Who trains, who judges: seeded splits that keep groups together and hold out whole environments."""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from shapsight.errors import DataError

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "unseen": "unseen",
}
FILLERS = ("dataset", "set", "data", "images", "imgs", "split")  # of training_set, testdata, train-images


def split_of(name: str) -> str | None:
    """The split that a word stands for, in any case and spelling: "train" of TRAIN, training_set, train2017."""
    split, rest = _read_word(name)
    return None if rest else split


def split_names(names: Iterable[str]) -> dict[str, str]:
    """Which of some neighbouring folders are splits, and which ones.

        split_names(["seg_train", "seg_test", "seg_pred"])      # {"seg_train": "train", "seg_test": "test"}
        split_names(["bus", "train"])                           # {}: a train is a class here

    They are where they name two splits or more, or where there is nothing else.
    """
    alike: dict[tuple[str, ...], dict[str, str]] = {}
    names = set(names)
    for name in names:
        split, rest = _read_word(name)
        if split is not None:
            alike.setdefault(rest, {})[name] = split
    several = [found for found in alike.values() if len(set(found.values())) > 1]
    if len(several) == 1:
        return several[0]
    return alike[()] if alike.get((), {}).keys() == names and names else {}


def known_splits(given: pd.Series[str]) -> pd.Series[str]:
    """The words of a split column as our own. Raises `DataError` for one that is no split."""
    known = {word: split_of(word) for word in sorted(given.unique())}
    unknown = [word for word, split in known.items() if split is None]
    if unknown:
        raise DataError(
            f"{unknown[0]!r} is not a split that can be read: there are {', '.join(sorted(SPLIT_WORDS))}"
        )
    return given.map(known)


def _read_word(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a name tells, if it tells one, and what else it says."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    found, rest = set(), []
    for word in words:
        bare = next((word.removesuffix(f) for f in FILLERS if word.endswith(f)), word)
        split = SPLIT_WORDS.get(word) or SPLIT_WORDS.get(bare)
        if split is not None:
            found.add(split)
        elif bare:
            rest.append(word)
    return (found.pop() if len(found) == 1 else None), tuple(rest)


def environments_to_train_on(
    train_on: str | Sequence[str], hold_out: Sequence[str], usable: Sequence[str], known: set[str]
) -> tuple[str, ...]:
    """The environments that are trained on; raises `DataError` for one that has no usable image."""
    if "all" in usable:
        raise DataError('no environment can be called "all", the word for every one: rename that folder')
    for name in hold_out:
        _refuse_unknown(name, "hold out", usable, known)
    if train_on == "all":
        wanted = [name for name in usable if name not in hold_out]
        if not wanted:
            raise DataError("every environment is held out: nothing is left to train on")
        return tuple(wanted)
    names = [train_on] if isinstance(train_on, str) else list(dict.fromkeys(train_on))
    if not names:
        raise DataError(f"train_on names no environment; there are {', '.join(usable)}")
    for name in names:
        _refuse_unknown(name, "train on", usable, known)
        if name in hold_out:
            raise DataError(f"the environment {name!r} cannot be trained on and held out at once")
    return tuple(names)


def draw_splits(
    table: pd.DataFrame,
    trained: Sequence[str],
    *,
    validation_share: float,
    test_share: float,
    seed: int,
) -> list[str]:
    """A split for each row of a table with `environment`, and `group`, `label` or a given `split` where it has them.

    In each environment of `trained` the shares are drawn with `seed`, whole groups at a time, and label by label, so
    that each label keeps at least one row to train on. The draw in one environment does not depend on the others.
    Given splits stay; where they name no validation images, these are drawn from the training ones.
    """
    splits = np.full(len(table), "unseen", dtype=object)
    environments = table["environment"].to_numpy()
    given = table["split"].to_numpy() if "split" in table.columns else None
    wants_validation = given is None or not (given == "validation").any()
    wants_test = given is None or not (given == "test").any()
    if given is not None:
        is_trained = np.isin(environments, list(trained))
        splits[is_trained] = given[is_trained]
    for environment in trained:
        rows = np.flatnonzero((environments == environment) & (splits != "test") & (splits != "validation"))
        if given is not None:
            rows = rows[splits[rows] == "train"]
        generator = np.random.default_rng([seed, zlib.crc32(str(environment).encode())])
        shares = (validation_share if wants_validation else 0.0, test_share if wants_test else 0.0)
        for name, chosen in zip(
            ("validation", "test", "train"), _drawn(table, rows, shares, generator), strict=True
        ):
            splits[chosen] = name
    return [str(split) for split in splits]


def _drawn(
    table: pd.DataFrame, rows: np.ndarray, shares: tuple[float, float], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows for validation, test and training."""
    groups = table["group"].to_numpy()[rows] if "group" in table.columns else np.arange(len(rows))
    labels = (
        table["label"].to_numpy()[rows]
        if "label" in table.columns and "group" not in table.columns
        else np.zeros(len(rows))
    )
    held: tuple[list[int], list[int]] = ([], [])
    for label in dict.fromkeys(labels):
        members = list(dict.fromkeys(groups[labels == label]))
        shuffled = [members[number] for number in generator.permutation(len(members))]
        start = 0
        for chosen, share in zip(held, shares, strict=True):
            left = len(members) - start - 1  # one at least stays for training
            count = max(0, min(max(round(share * len(members)), int(share > 0)), left))
            wanted = set(shuffled[start : start + count])
            chosen += [row for row, group in zip(rows, groups, strict=True) if group in wanted]
            start += count
    taken = {row for chosen in held for row in chosen}
    return np.array(held[0], int), np.array(held[1], int), np.array([r for r in rows if r not in taken], int)


def _refuse_unknown(name: str, what: str, usable: Sequence[str], known: set[str]) -> None:
    if name not in usable:
        nearest = difflib.get_close_matches(name, usable, n=len(usable), cutoff=0)
        why = "has no usable image" if name in known else "does not exist"
        raise DataError(f"the environment {name!r} to {what} {why}; there are {', '.join(nearest)} (or all)")
