"""Checks of a dataset, as a table: what may spoil training or make a test look better than it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from shapsight.data.fingerprints import near_pairs, thumbnails
from shapsight.data.manifest import SPLITS, Manifest
from shapsight.errors import DataError

FEW = 20  # images of an environment or a class
FEW_IN_RANGE = 5  # training images in a fifth of a target's range
DARK = 8.0  # mean grey level of 255
FLAT = 1.0  # standard deviation in grey levels
SHOWN = 3
SHIFT = 0.15  # largest distance of two distributions (Kolmogorov-Smirnov, or total variation for classes)
DRAWS = 200
SAME = (
    2.0  # mean difference of thumbnails in grey levels: one picture stored twice, or two of a car that stands
)
APART = 0.1  # of half a target's scale: labels that cannot both be right
COLUMNS = ("check", "found", "images", "detail")


@dataclass(frozen=True)
class Finding:
    """A check's outcome: how serious ("ok", "note" or "problem"), how many images, and the first of them."""

    check: str
    found: str
    images: int
    detail: str


def check_dataset(
    manifest: Manifest, images: UInt8[Tensor, "images 3 size size"], *, seed: int = 0
) -> pd.DataFrame:
    """All checks of a dataset, one row or more for each: `check, found, images, detail`.

        images = load_images(manifest, manifest.table["path"], 64)
        check_dataset(manifest, images)

    Unreadable files and targets outside the image (from `manifest.skipped`); exact and near duplicates across splits;
    nearly the same picture with labels that disagree, and what it costs to answer both alike;
    environments, classes and target ranges with few images; splits with other targets than training; JPEG files whose
    compression goes with the target, so that a model can read it there; images that are constant, nearly black or of
    an unusual size. `found` is "ok", "note" or "problem".
    Raises `DataError` unless there is an image for each row.
    """
    if len(images) != len(manifest):
        raise DataError(f"{len(images)} images came with a manifest of {len(manifest)} rows")
    thumbs = thumbnails(images)
    findings = [
        *_skipped(manifest),
        *_duplicates(manifest, images, thumbs),
        *_disagreeing(manifest, thumbs),
        *_few(manifest),
        *_shifted(manifest, seed),
        *_compressed(manifest, seed),
        *_odd_pictures(manifest, thumbs),
        *_odd_sizes(manifest),
    ]
    return pd.DataFrame([vars(finding) for finding in findings], columns=list(COLUMNS))


def _skipped(manifest: Manifest) -> Iterator[Finding]:
    reasons = manifest.skipped["reason"].astype(str)
    is_outside = reasons.str.contains("lies outside the image", regex=False)
    for check, rows in {
        "targets outside the image": manifest.skipped[is_outside],
        "files that cannot be used": manifest.skipped[~is_outside],
    }.items():
        said = [f"{path}: {reason}" for path, reason in zip(rows["path"], rows["reason"], strict=True)]
        yield _finding(check, "problem", said, len(rows), "none")


def _duplicates(
    manifest: Manifest, images: UInt8[Tensor, "images 3 size size"], thumbs: Float[Tensor, "images 32 32"]
) -> Iterator[Finding]:
    """Pictures that occur in two splits make the second one look better than it is."""
    present = [split for split in SPLITS if len(manifest.rows(split))]
    paths = manifest.table["path"].to_numpy()
    exact: list[tuple[int, str]] = []
    near: list[tuple[int, str]] = []
    for n, first in enumerate(present):
        for second in present[n + 1 :]:
            for one, other, _ in near_pairs(thumbs, manifest.rows(first), manifest.rows(second)).astype(int):
                said = f"{paths[one]} ({first}) and {paths[other]} ({second})"
                (exact if torch.equal(images[one], images[other]) else near).append((int(other), said))
    for check, found, pairs in (
        ("the same picture in two splits", "problem", exact),
        ("nearly the same picture in two splits", "note", near),
    ):
        yield _finding(check, found, [said for _, said in pairs], len({row for row, _ in pairs}), "none")


def _disagreeing(manifest: Manifest, thumbs: Float[Tensor, "images 32 32"]) -> Iterator[Finding]:
    """Pictures that look the same with other labels: a model that answers them alike is wrong once."""
    every = np.arange(len(manifest))
    pairs = near_pairs(thumbs, every, every)
    pairs = pairs[(pairs[:, 0] < pairs[:, 1]) & (pairs[:, 2] <= SAME)].astype(int)
    paths = manifest.table["path"].to_numpy()
    check = "nearly the same picture with labels that disagree"
    if manifest.class_names:
        labels = manifest.table["label"].to_numpy()
        apart = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        said = [f"{paths[a]} ({labels[a]}) and {paths[b]} ({labels[b]})" for a, b, _ in apart]
        yield _finding(check, "problem", said, len(np.unique(apart[:, :2])), "none")
        return
    for target in manifest.targets:
        values = manifest.table[target].to_numpy(float)
        difference = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]])
        apart = pairs[difference > APART * manifest.scales[target].half]
        said = [f"{paths[a]} ({values[a]:.3g}) and {paths[b]} ({values[b]:.3g})" for a, b, _ in apart]
        rows = np.unique(apart[:, :2])
        if len(rows):
            least = float(np.square(values[apart[:, 0]] - values[apart[:, 1]]).mean() / 4)
            said[0] = f"saying the same of both costs an MSE of {least:.3g} at least; {said[0]}"
        yield _finding(f"{check}, {target}", "problem", said, len(rows), "none")


def _few(manifest: Manifest) -> Iterator[Finding]:
    table = manifest.table
    counts = {f"environment {name}": n for name, n in table["environment"].value_counts().items()}
    training = manifest.split("train")
    if manifest.class_names:
        of_class = training["label"].value_counts()
        counts |= {f"class {name}, training": int(of_class.get(name, 0)) for name in manifest.class_names}
    few = {name: n for name, n in counts.items() if n < FEW}
    said = [f"{name}: {n}" for name, n in few.items()]
    yield _finding("few images", "note", said, sum(few.values()), f"{FEW} or more everywhere")
    for target in manifest.targets:
        if training[target].nunique() < 2:
            continue
        scale = manifest.scales[target]
        edges = np.linspace(scale.low, scale.high, 6)
        inside, _ = np.histogram(training[target], edges)
        ranges = [
            f"{edges[n]:.3g} to {edges[n + 1]:.3g}: {inside[n]}"
            for n in np.flatnonzero(inside < FEW_IN_RANGE)
        ]
        check = f"few training images in a range of {target}"
        yield _finding(check, "note", ranges, int(inside[inside < FEW_IN_RANGE].sum()), "none", most=5)


def _compressed(manifest: Manifest, seed: int) -> Iterator[Finding]:
    """Environments in which the files that are compressed less have other targets, by a permutation test."""
    table, coarse = manifest.table, _coarseness(manifest)
    columns = ("label",) if manifest.class_names else manifest.targets
    distance = _variation if manifest.class_names else _kolmogorov_smirnov
    said, rows = [], 0
    for environment in manifest.environments:
        mine = (table["environment"] == environment).to_numpy() & (coarse > 0)
        if not mine.any():
            continue
        is_fine = mine & (coarse < (coarse[mine].min() + coarse[mine].max()) / 2)
        fine, rest = table[is_fine], table[mine & ~is_fine]
        if min(len(fine), len(rest)) < FEW_IN_RANGE:
            continue
        told = []
        for column in columns:
            one, two = (_as_numbers(group[column], manifest.class_names) for group in (fine, rest))
            found = distance(one, two)
            if found >= SHIFT and _share_as_far(one, two, found, distance, seed) <= 0.01:
                told.append(f"{column} (distance {found:.2f})")
        if told:
            said.append(
                f"in {environment} {len(fine)} files of high quality and {len(rest)} of lower quality differ in "
                f"{' and '.join(told)}, such as {fine['path'].iloc[0]} and {rest['path'].iloc[0]}"
            )
            rows += len(fine)
    check = "JPEG compression that goes with the target"
    yield _finding(check, "problem", said, rows, "none", most=len(said) + 1)


def _coarseness(manifest: Manifest) -> np.ndarray:
    """How strongly each image is compressed: the sum of its quantisation tables; 0 of what is no JPEG file."""
    found = np.zeros(len(manifest))
    if manifest.pictures is not None:
        return found
    for number, path in enumerate(manifest.table["path"]):
        if not str(path).lower().endswith((".jpg", ".jpeg")):
            continue
        with suppress(OSError), Image.open(manifest.root / path) as file:
            tables = getattr(file, "quantization", None) or {}
            found[number] = sum(map(sum, tables.values()))
    return found


def _shifted(manifest: Manifest, seed: int) -> Iterator[Finding]:
    """Splits whose targets are distributed otherwise than training's, by a permutation test."""
    training = manifest.split("train")
    columns = ("label",) if manifest.class_names else manifest.targets
    distance = _variation if manifest.class_names else _kolmogorov_smirnov
    said, count = [], 0
    for split in ("validation", "test", "unseen"):
        other = manifest.split(split)
        for column in columns:
            if len(training) < 5 or len(other) < 5:
                continue
            one, two = (_as_numbers(rows[column], manifest.class_names) for rows in (training, other))
            found = distance(one, two)
            if found >= SHIFT and _share_as_far(one, two, found, distance, seed) <= 0.01:
                said.append(f"{column} in {split}: distance {found:.2f}")
                count = max(count, len(other))
    yield _finding(
        "a split whose targets are distributed otherwise than training's", "note", said, count, "none", 6
    )


def _as_numbers(values: pd.Series, class_names: Sequence[str]) -> np.ndarray:
    if not class_names:
        return values.to_numpy(float)
    return values.map({name: n for n, name in enumerate(class_names)}).to_numpy(int)


def _kolmogorov_smirnov(one: np.ndarray, two: np.ndarray) -> float:
    """The largest distance of two empirical distribution functions."""
    every = np.concatenate([one, two])
    below = [np.searchsorted(np.sort(values), every, side="right") / len(values) for values in (one, two)]
    return float(np.abs(below[0] - below[1]).max())


def _variation(one: np.ndarray, two: np.ndarray) -> float:
    """The total variation distance of two shares of classes."""
    size = int(max(one.max(), two.max())) + 1
    shares = [np.bincount(values, minlength=size) / len(values) for values in (one, two)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _share_as_far(one: np.ndarray, two: np.ndarray, found: float, distance: object, seed: int) -> float:
    """How often two random parts of all values lie as far apart."""
    assert callable(distance)
    generator = np.random.default_rng(seed)
    every = np.concatenate([one, two])
    far = 0
    for _ in range(DRAWS):
        mixed = generator.permutation(every)
        far += distance(mixed[: len(one)], mixed[len(one) :]) >= found
    return far / DRAWS


def _odd_pictures(manifest: Manifest, thumbs: Float[Tensor, "images 32 32"]) -> Iterator[Finding]:
    mean, spread = thumbs.mean((1, 2)), thumbs.std((1, 2))
    for check, is_odd in {
        "constant pictures": spread < FLAT,
        "nearly black pictures": (mean < DARK) & (spread >= FLAT),
    }.items():
        rows = torch.nonzero(is_odd).flatten().tolist()
        yield _finding(check, "problem", list(manifest.table["path"].iloc[rows]), len(rows), "none")


def _odd_sizes(manifest: Manifest) -> Iterator[Finding]:
    sizes = manifest.table[["width", "height"]]
    commonest = sizes.value_counts().index[0]
    is_odd = (sizes != list(commonest)).any(axis=1)
    odd = manifest.table[is_odd]
    said = [f"{row['path']}: {row['width']} × {row['height']}" for row in odd.head(SHOWN).to_dict("records")]
    usual = f"all are {commonest[0]} × {commonest[1]} pixels"
    yield _finding(
        f"pictures of another size than {commonest[0]} × {commonest[1]}", "note", said, len(odd), usual
    )


def _finding(
    check: str, found: str, said: Sequence[str], count: int, fine: str, most: int = SHOWN
) -> Finding:
    if not said:
        return Finding(check, "ok", 0, fine)
    more = max(0, (count if len(said) >= most else len(said)) - most)
    return Finding(check, found, count, "; ".join(said[:most]) + (f"; and {more} more" if more else ""))
