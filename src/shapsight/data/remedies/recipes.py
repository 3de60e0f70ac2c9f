"""The table of remedies, and recipes made of them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from torchvision.transforms import v2

from shapsight.data.remedies import geometry, light, noise, scenes, training
from shapsight.data.remedies.remedy import Remedy
from shapsight.data.remedies.sample import Places
from shapsight.data.remedies.scenes import Scenes
from shapsight.errors import DataError

BASELINE = "baseline"
# In the order in which they are applied: first geometry, then what is in the picture, then light and camera.
TABLES = (
    training.DRAWING, geometry.REMEDIES, scenes.REMEDIES, light.REMEDIES, noise.REMEDIES, training.LOSS,
)  # fmt: skip
REMEDIES = {remedy.name: remedy for table in TABLES for remedy in table}


@dataclass(frozen=True)
class Recipe:
    """Some remedies together; none is the baseline.

        recipe = read_recipe("swap-scene,flip")
        recipe.name                     # "flip+swap-scene"
        recipe.transform(scenes)        # a torchvision v2 transform of samples

    Attributes
        remedies: in the order in which they are applied.
    """

    remedies: tuple[Remedy, ...] = ()

    def __repr__(self) -> str:
        return f"Recipe({self.name})"

    @property
    def name(self) -> str:
        """The names joined by a plus, or "baseline"."""
        return "+".join(remedy.name for remedy in self.remedies) or BASELINE

    def has(self, name: str) -> bool:
        """Whether a remedy is part of it."""
        return any(remedy.name == name for remedy in self.remedies)

    @property
    def options(self) -> frozenset[str]:
        """Which options change what it does."""
        return frozenset(option for remedy in self.remedies for option in remedy.options)

    @property
    def needs_roi(self) -> bool:
        """Whether it must know the region of interest."""
        return any(remedy.needs_roi for remedy in self.remedies)

    def transform(self, scenes: Scenes) -> v2.Transform:
        """What is done to each sample, one remedy after the other."""
        return v2.Compose(
            [*(remedy.make(scenes) for remedy in self.remedies if remedy.make is not None), v2.Identity()]
        )

    def check(self, places: Places, *, has_roi: bool) -> None:
        """Raise `DataError` where a remedy needs what is not there."""
        for remedy in self.remedies:
            if remedy.needs_roi and not has_roi:
                raise DataError(
                    f"{remedy.name} needs to know the region of interest: pass --roi, such as --roi below:112"
                )
        if self.has("flip") and places.guessed:
            name = places.guessed[0]
            raise DataError(
                f"flip mirrors {name} about the middle of the image, and nothing says which value that is: its scale "
                f"is only the range of the training images. Read the data with scales, such as {name}=0:1:widths, or "
                f"{name}=width for pixels"
            )
        if self.has("flip") and places.unknown:
            raise DataError(
                f"flip mirrors x, but what does a mirror image do to {', '.join(places.unknown)}? Name the targets "
                "that change their side with --mirrored, or leave flip out"
            )


def read_recipe(text: str) -> Recipe:
    """Read remedies joined by commas or pluses; "baseline" is none.

        read_recipe("flip,erase-scene")

    Raises `DataError` for an unknown name, with the nearest ones, and for one that is given twice.
    """
    names = [name.strip() for name in text.replace("+", ",").split(",")]
    if names == [BASELINE]:
        return Recipe()
    for name in names:
        if name not in REMEDIES:
            near = difflib.get_close_matches(name, REMEDIES, n=3, cutoff=0.4) or list(REMEDIES)
            raise DataError(f"there is no remedy {name!r}; did you mean {' or '.join(near)}?")
        if names.count(name) > 1:
            raise DataError(f"{name} is part of {text!r} more than once")
    return Recipe(tuple(remedy for name, remedy in REMEDIES.items() if name in names))
