"""Choosing references from a pool so that explanations come out as if all of the pool were compared with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from shapsight.attribution.references.choosing import Pool, choose
from shapsight.attribution.references.features import Blocks, features, pool_blocks
from shapsight.attribution.shared.numbers import is_whole
from shapsight.attribution.shared.progress import Report
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle
from shapsight.models.references import ChosenReferences

By = Literal["features and outputs", "features", "outputs", "pixels"]


class Images(Protocol):
    """A tensor `(P, C, H, W)`, or whatever gives one of a slice, such as an array on disk or a loader of one's own."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


def choose_references(
    model: Bundle | Callable[[Tensor], Any],
    pool: Images,
    k: int = 25,
    *,
    by: By = "features and outputs",
    groups: Sequence[Any] | None = None,
    batch_size: int = 64,
    seed: int = 0,
    progress: Report | None = None,
) -> ChosenReferences:
    """The `k` images of a pool that stand for all of it best, for explanations of this model.

        chosen = choose_references(model, pool, 25)              # pool: (P, C, H, W), prepared like the images
        DeepShap(model, chosen)(images)                          # sums over parts as from 50 drawn ones or more
        choose_references(bundle, images, 25)                    # of a bundle: uint8 images
        choose_references(model, pool, 25, groups=environments)  # each environment has one at least

    An explanation is a mean over references. Drawn at random, its error falls with `1 / √K`; chosen, so that the mean
    of what the model sees of them is that of the pool, it falls faster, and much faster for the sum of a part and for
    the base value. How much faster is measured in docs/references.md: it depends on how smoothly the attributions
    follow what the model sees, and `std_errors` of explanations say it for the case at hand.

    Arguments
        model: an `nn.Module`, any function of prepared images, or a `Bundle`, whose pool is uint8.
        pool: a tensor, or anything with a length that gives a tensor of a slice. 100,000 images are fine: only some
            hundred numbers of each are kept.
        by: "features and outputs": pixels, inputs of five linear layers spread over the depth, and outputs;
            "features": the input of the last linear layer; "outputs"; "pixels".
        groups: what each image belongs to, such as its environment or class: every group gets a reference, if `k`
            is large enough.
        seed: of random starts; equal seeds, equal references.

    A pool of no more than `k` different images is taken whole, with a warning, copies by weights. Raises
    `ExplainerError` for an empty pool, images with NaN or infinite values or of which the model says such, or groups
    that are not one for each image.
    Sources: Chen, Welling and Smola 2010 (herding); Dwivedi and Mackey 2021 (exchanges).
    """
    if not is_whole(k) or k < 1:
        raise ExplainerError(f"k={k!r} must be a whole number of references, at least 1")
    if by not in get_args(By):
        raise ExplainerError(f"by={by!r} is not one of {', '.join(map(repr, get_args(By)))}")
    count = len(pool)
    if isinstance(pool, Tensor) and pool.dim() != 4:
        raise ExplainerError(f"the pool must be (images, channels, height, width), not {tuple(pool.shape)}")
    if count == 0:
        raise ExplainerError("the pool holds no image to choose references from")
    if groups is not None and len(groups) != count:
        raise ExplainerError(
            f"groups are {len(groups)} for a pool of {count} images: give one for each image"
        )
    blocks = pool_blocks(*_asked(model, pool), count, batch_size=batch_size, progress=progress)
    rows, shares, notes = _without_copies(blocks, k)
    numbers = _numbers(groups)
    if len(rows) <= k:
        indices, weights, likeness = rows, shares, None
    else:
        points = features({name: block[rows] for name, block in blocks.items()}, by)
        kernel = Pool.of(points, shares.float(), seed)
        picked = choose(kernel, k, None if numbers is None else numbers[rows], seed)
        indices, weights = rows[picked], torch.full((k,), 1 / k, dtype=torch.float64)
        likeness = kernel.likeness(picked)
    missing = _missing(groups, numbers, indices)
    outputs = blocks["outputs"].double().mean(0)
    picked_images = torch.cat([pool[i : i + 1] for i in indices.tolist()])
    for note in (*notes, *missing):
        warnings.warn(note, stacklevel=2)
    return ChosenReferences(picked_images, weights, indices, count, outputs, likeness, (*notes, *missing))


def _asked(model: Any, pool: Images) -> tuple[Any, Callable[[int, int], Tensor]]:
    """What is run, and prepared images of a range of the pool on its device."""
    if isinstance(model, Bundle):
        return model.model, lambda start, stop: model.prepare(pool[start:stop].to(model.device))
    parameters = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None

    def batch(start: int, stop: int) -> Tensor:
        images = pool[start:stop]
        return images if first is None else images.to(first.device, first.dtype)

    return model, batch


def _without_copies(blocks: Blocks, k: int) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Rows of the first of equal images, the share of each in the pool, and what is to be said."""
    seen = torch.cat([blocks["pixels"], blocks["outputs"]], 1)
    _, group = torch.unique(seen, dim=0, return_inverse=True)
    count, different = len(seen), int(group.max()) + 1
    rows = torch.full((different,), count).scatter_reduce(0, group, torch.arange(count), "amin")
    rows, order = rows.sort()
    shares = (group.bincount(minlength=different).double() / count)[order]
    copies = f", {count - different} of them copies" if different < count else ""
    if different <= k:
        several = f"{count} images{copies}"
        return rows, shares, (f"the pool holds {several}: all are references, though {k} were to be chosen",)
    return rows, shares, ()


def _numbers(groups: Sequence[Any] | None) -> Tensor | None:
    if groups is None:
        return None
    known = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return torch.tensor([known[group] for group in groups])


def _missing(groups: Sequence[Any] | None, numbers: Tensor | None, indices: Tensor) -> tuple[str, ...]:
    """A note if some groups have no reference."""
    if groups is None or numbers is None:
        return ()
    present = {groups[int(i)] for i in indices}
    missing = [str(group) for group in dict.fromkeys(groups) if group not in present]
    if not missing:
        return ()
    few = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
    return (
        f"{len(indices)} references cannot stand for each of {len(present) + len(missing)} groups: none is of {few}",
    )
