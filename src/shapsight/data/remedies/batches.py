"""Training samples with a recipe applied: the same seed gives the same batches, whoever makes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from shapsight.data.manifest import Manifest
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.remedies.sample import Places, Sample, sample_of, targets_of
from shapsight.data.remedies.scenes import Scenes
from shapsight.errors import DataError

BINS = 5  # ranges of the first target that `balance` shows equally often
Draw = tuple[int, int]  # the number of the draw since training began, and the row that is drawn


class RecipeSamples(Dataset[tuple[Tensor, ...]]):
    """The images of a manifest, changed by a recipe; the change depends on the seed and the draw's number only.

        samples = RecipeSamples(manifest, images, recipe, masks=masks, seed=0)
        samples[7, 3]      # the 7th draw is row 3: image, targets, and with right-reasons its region

    `masks` are the regions of interest at the images' size; `scenes` are pasted in by swap-scene beside those of the
    training images. Raises `DataError` for what the recipe needs and has not.
    """

    def __init__(
        self,
        manifest: Manifest,
        images: UInt8[Tensor, "images 3 size size"],
        recipe: Recipe,
        *,
        masks: Bool[Tensor, "images size size"] | None = None,
        scenes: UInt8[Tensor, "scenes 3 size size"] | None = None,
        places: Places | None = None,
        seed: int = 0,
    ) -> None:
        self.places = Places.of(manifest) if places is None else places
        recipe.check(self.places, has_roi=masks is not None)
        if masks is not None and (len(masks), *masks.shape[1:]) != (len(images), *images.shape[2:]):
            raise DataError(f"masks of shape {tuple(masks.shape)} do not fit images of {tuple(images.shape)}")
        self.images = images
        self.targets = manifest.label_numbers() if manifest.class_names else manifest.target_values()
        has_masks = masks is not None
        self.masks = masks if masks is not None else torch.ones(len(images), *images.shape[2:]).bool()
        self.gives_region = has_masks and recipe.has("right-reasons")
        self.transform = recipe.transform(_scenes(manifest, images, self.masks, scenes))
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, ...]:
        changed = self.changed(*draw)
        given = (changed["image"].as_subclass(Tensor), targets_of(changed, self.places))
        return (*given, changed["roi"].as_subclass(Tensor)) if self.gives_region else given

    def changed(self, number: int, row: int) -> Sample:
        """A draw as a sample of tv_tensors, its region included."""
        sample = sample_of(self.images[row], self.targets[row], self.places, self.masks[row])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
            return dict(self.transform(sample))


class Draws(Sampler[Draw]):
    """Which rows an epoch shows: `count` of an endless row of shuffled passes, or of draws by `weights`.

    An epoch depends on the seed and its number only. The same count for every recipe is the same budget, however many
    images there are.
    """

    def __init__(
        self, rows: np.ndarray, count: int, seed: int, weights: Float[Tensor, "rows"] | None = None
    ) -> None:
        self.rows = rows
        self.count = count
        self.seed = seed
        self.weights = weights
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning does."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        first = self.epoch * self.count
        if self.weights is not None:
            chosen = torch.multinomial(
                self.weights, self.count, replacement=True, generator=self._dice(self.epoch)
            )
            yield from ((first + n, int(self.rows[place])) for n, place in enumerate(chosen.tolist()))
            return
        size = len(self.rows)
        passes = {
            number: torch.randperm(size, generator=self._dice(number)).tolist()
            for number in range(first // size, (first + self.count - 1) // size + 1)
        }
        for number in range(first, first + self.count):
            yield number, int(self.rows[passes[number // size][number % size]])

    def _dice(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 100_003 + number)


def recipe_loader(
    samples: RecipeSamples,
    manifest: Manifest,
    recipe: Recipe,
    batch_size: int,
    *,
    images_per_epoch: int | None = None,
    seed: int = 0,
    workers: int = 0,
) -> DataLoader[tuple[Tensor, ...]]:
    """Batches of a manifest's training images, a recipe applied; always whole ones where there are as many images."""
    rows = manifest.rows("train")
    count = len(rows) if images_per_epoch is None else images_per_epoch
    count = max(2, count - count % batch_size if count >= batch_size else count)
    weights = balance_weights(manifest) if recipe.has("balance") else None
    return DataLoader(
        samples, batch_size, sampler=Draws(rows, count, seed, weights), num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip


def balance_weights(manifest: Manifest) -> Float[Tensor, "rows"]:
    """For each training row one over the number of rows like it: of its environment, and of its class or range.

    The range of the first target, between the lowest and the highest, is cut into five equal bins.
    """
    table = manifest.split("train")
    if manifest.class_names:
        kinds = table["label"].to_numpy()
    else:
        values = table[manifest.targets[0]].to_numpy(float)
        width = max(float(np.ptp(values)), 1e-12) / BINS
        kinds = np.minimum((values - values.min()) // width, BINS - 1)
    cells = list(zip(table["environment"], kinds, strict=True))
    counts = {cell: cells.count(cell) for cell in set(cells)}
    return torch.tensor([1 / counts[cell] for cell in cells])


def _scenes(
    manifest: Manifest,
    images: UInt8[Tensor, "images 3 size size"],
    masks: Bool[Tensor, "images size size"],
    more: UInt8[Tensor, "scenes 3 size size"] | None,
) -> Scenes:
    """The scenes of the training images, never of unseen ones, and those that were given."""
    rows = manifest.rows("train")
    names = manifest.table["environment"].to_numpy()[rows]
    numbers = torch.from_numpy(np.unique(names, return_inverse=True)[1])
    if more is None:
        return Scenes(images[rows], masks[rows], numbers)
    beyond = torch.full((len(more),), int(numbers.max()) + 1)  # an environment of their own
    return Scenes(
        torch.cat([images[rows], more]),
        torch.cat([masks[rows], torch.zeros(len(more), *masks.shape[1:], dtype=torch.bool)]),
        torch.cat([numbers, beyond]),
    )
