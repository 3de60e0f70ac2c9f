"""What a remedy is: each is declared in the file that makes it, and listed there in `REMEDIES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torchvision.transforms import v2

if TYPE_CHECKING:
    from shapsight.data.remedies.scenes import Scenes


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
        options: which options change what it does: "scenes", "mirrored", "strength".
    """

    name: str
    does: str
    region: Literal["kept", "moved", "changed"] = "kept"
    make: Callable[[Scenes], v2.Transform] | None = None
    needs_roi: bool = False
    options: tuple[str, ...] = ()
