"""The table of remedies, and recipes made of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torchvision.transforms import v2

from shapsight.data.augment import training_transform
from shapsight.data.remedies.geometry import flip
from shapsight.data.remedies.light import Light
from shapsight.data.remedies.noise import noise
from shapsight.data.remedies.sample import Places
from shapsight.data.remedies.scenes import EraseObjects, EraseScene, Scenes, SwapScene
from shapsight.errors import DataError

BASELINE = "baseline"


@dataclass(frozen=True)
class Remedy:
    """A change to data or training that is meant to remove a shortcut.

    Attributes
        name: what it is called on the command line.
        does: what it does, in a sentence without its subject.
        region: what happens to pixels inside the region of interest: "kept", "moved" (with everything else) or
            "changed".
        make: its transform, given the scenes that can be pasted in; None for what is no change of images.
        needs_roi: whether it must know the region of interest.
    """

    name: str
    does: str
    region: Literal["kept", "moved", "changed"] = "kept"
    make: Callable[[Scenes], v2.Transform] | None = None
    needs_roi: bool = False


# In the order in which they are applied: first geometry, then what is in the picture, then light and camera.
REMEDIES = {
    remedy.name: remedy
    for remedy in (
        Remedy("more-environments", "adds the images of other environments to the training images"),
        Remedy("balance", "draws images so that environments and ranges of the target, or classes, come equally often"),
        Remedy(
            "flip",
            "shows the mirror image of half of the images, with mirrored targets; for symmetric tasks only",
            region="moved",
            make=lambda _: flip(),
        ),
        Remedy(
            "swap-scene",
            "pastes the region of interest on the scene of another image, edges feathered",
            make=SwapScene,
            needs_roi=True,
        ),
        Remedy(
            "erase-scene",
            "replaces the scene or parts of it by noise, blur, grey or its mean colour",
            make=lambda _: EraseScene(),
            needs_roi=True,
        ),
        Remedy(
            "erase-objects",
            "covers random boxes outside the region of interest",
            make=lambda _: EraseObjects(0.75),
            needs_roi=True,
        ),
        Remedy(
            "light",
            "varies brightness, contrast, gamma, shadow and white balance, inside the region, too",
            region="changed",
            make=lambda _: Light(),
        ),
        Remedy(
            "color-jitter",
            "varies brightness, contrast, saturation and hue, inside the region, too",
            region="changed",
            make=lambda _: training_transform(),
        ),
        Remedy(
            "noise",
            "adds blur, sensor noise and JPEG artefacts, inside the region, too",
            region="changed",
            make=lambda _: noise(),
        ),
        Remedy(
            "right-reasons",
            "adds to the loss the squared gradients of the outputs by pixels outside the region (Ross et al. 2017)",
            needs_roi=True,
        ),
    )
}  # fmt: skip


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

    @property
    def name(self) -> str:
        """The names joined by a plus, or "baseline"."""
        return "+".join(remedy.name for remedy in self.remedies) or BASELINE

    def has(self, name: str) -> bool:
        """Whether a remedy is part of it."""
        return any(remedy.name == name for remedy in self.remedies)

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
