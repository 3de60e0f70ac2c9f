"""A treatment: a recipe with all that it needs to be applied while a network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from shapsight.data.manifest import Manifest
from shapsight.data.remedies.batches import RecipeSamples, recipe_loader
from shapsight.data.remedies.recipes import Recipe
from shapsight.data.remedies.sample import Places

# Of the office photographs: at 1 the outputs answer a tenth as much to the scene, at 100 the errors of x double.
STRENGTH = 1.0


@dataclass(frozen=True, eq=False)
class Treatment:
    """How training images are changed; `fit(..., treatment=Treatment(read_recipe("flip")))`.

    Attributes
        recipe: the remedies.
        masks: regions of interest at the images' size, a row for each row of the manifest.
        scenes: pictures that swap-scene may paste in beside the training images' own scenes.
        images_per_epoch: how many images an epoch shows, however many there are; None shows each once. A last batch
            that would not be whole is left out.
        mirrored: targets beside x whose sign a mirror image changes.
        strength: of the right-reasons penalty, in squared target units (or nats) times squared normalised colours.
        workers: processes that prepare batches; their number does not change the batches.
    """

    recipe: Recipe
    masks: Bool[Tensor, "images size size"] | None = None
    scenes: UInt8[Tensor, "scenes 3 size size"] | None = None
    images_per_epoch: int | None = None
    mirrored: Sequence[str] = ()
    strength: float = STRENGTH
    workers: int = 0

    def samples(
        self, manifest: Manifest, images: UInt8[Tensor, "images 3 size size"], seed: int = 0
    ) -> RecipeSamples:
        """The training samples. Raises `DataError` for what a remedy needs and has not."""
        return RecipeSamples(
            manifest,
            images,
            self.recipe,
            masks=self.masks,
            scenes=self.scenes,
            places=Places.of(manifest, self.mirrored),
            seed=seed,
        )

    def loader(
        self,
        manifest: Manifest,
        images: UInt8[Tensor, "images 3 size size"],
        batch_size: int,
        seed: int = 0,
    ) -> DataLoader[tuple[Tensor, ...]]:
        """Batches of changed images, targets, and for right-reasons regions."""
        return recipe_loader(
            self.samples(manifest, images, seed),
            manifest,
            self.recipe,
            batch_size,
            images_per_epoch=self.images_per_epoch,
            seed=seed,
            workers=self.workers,
        )
