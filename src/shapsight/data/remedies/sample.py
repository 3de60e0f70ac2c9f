"""A training sample as torchvision's tv_tensors: image, points to drive to and region of interest stay in step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torchvision import tv_tensors

from shapsight.data.manifest import Manifest
from shapsight.data.scale import HALF_HEIGHTS, HALF_WIDTHS, Scale
from shapsight.errors import DataError

Sample = dict[str, Any]  # image: Image, points: KeyPoints, roi: Mask, targets: Tensor
NEUTRAL = ("y",)  # targets that a mirror image leaves as they are
MIRRORED = ("x",)


@dataclass(frozen=True)
class Places:
    """Which targets are places in the image: `across` move with its width, `down` with its height.

        Places.of(manifest)                            # x is a place across, y the same point's place down
        Places.of(manifest, mirrored=["steering"])     # 0 is straight on: a mirror image changes its sign

    Attributes
        across: positions of targets whose value is a place from the left to the right edge of their scale.
        down: the position of the target y, where the point of x has one.
        unknown: names of targets of which it is not known what a mirror image does to them.
        guessed: names of places whose scale is only the range of the training images, so that its middle is no place.
        scales: of every target.
    """

    across: tuple[int, ...] = ()
    down: int | None = None
    unknown: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    scales: tuple[Scale, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, mirrored: Sequence[str] = ()) -> Places:
        """The places among a manifest's targets. Raises `DataError` for a name in `mirrored` that is no target."""
        names = manifest.targets
        for name in mirrored:
            if name not in names:
                raise DataError(f"{name!r} is no target that could be mirrored: there are {', '.join(names)}")
        sideways = {*MIRRORED, *mirrored}
        across = tuple(n for n, name in enumerate(names) if name in sideways)
        is_point = "x" in names and "y" in names and "y" not in mirrored
        return cls(
            across=across,
            down=names.index("y") if is_point else None,
            unknown=tuple(name for name in names if name not in sideways and name not in NEUTRAL),
            guessed=tuple(
                names[n] for n in across if names[n] not in mirrored and _is_guessed(manifest, names[n])
            ),
            scales=tuple(
                _about_zero(manifest.scales[name]) if name in mirrored else manifest.scales[name]
                for name in names
            ),
        )

    def points(self, targets: Float[Tensor, "targets"], size: tuple[int, int]) -> Float[Tensor, "points 2"]:
        """Where the places lie in an image of `size` (height, width), in pixels whose centres are whole numbers."""
        values = targets.double()
        points = torch.zeros(len(self.across), 2, dtype=torch.float64)
        for point, column in zip(points, self.across, strict=True):
            point[0] = _pixel(values[column], self.scales[column], size[1])
        if self.down is not None:
            points[:, 1] = _pixel(values[self.down], self.scales[self.down], size[0])
        else:
            points[:, 1] = (size[0] - 1) / 2
        return points

    def values(
        self, targets: Float[Tensor, "targets"], points: Float[Tensor, "points 2"], size: tuple[int, int]
    ) -> Float[Tensor, "targets"]:
        """The targets with the places read off the points; the inverse of `points`."""
        found = targets.clone()
        for point, column in zip(points, self.across, strict=True):
            found[column] = _value(point[0], self.scales[column], size[1])
        if self.down is not None and len(points):
            found[self.down] = _value(points[0, 1], self.scales[self.down], size[0])
        return found


PLAIN = Places(across=(0,), down=1, scales=(HALF_WIDTHS, HALF_HEIGHTS))


def as_points(targets: Float[Tensor, "*points 2"], size: Sequence[int]) -> tv_tensors.KeyPoints:
    """Targets that are places in an image of `size` (height, width) -> points that torchvision's transforms move along.

        points = as_points(torch.tensor([x, y]), image.shape[-2:])
        image, mask, points = transform(image, mask, points)
        target = from_points(points)

    `targets`: `(2,)` or `(points, 2)`, x from -1 at the left edge to +1 at the right, y from -1 at the top edge to +1
    at the bottom; a steering value is an x, beside any y. The points are pixels whose centres are whole numbers, as
    `v2.RandomHorizontalFlip` takes them. Raises `DataError` for another shape.
    """
    if targets.ndim not in (1, 2) or targets.shape[-1] != 2:
        raise DataError(
            f"targets that are places have the shape (2,) or (points, 2), x and y, not {tuple(targets.shape)}: a "
            "steering value is an x, beside any y such as 0"
        )
    height, width = size
    pixels = [PLAIN.points(one, (height, width)) for one in targets.reshape(-1, 2)]
    return tv_tensors.KeyPoints(torch.cat(pixels), canvas_size=(height, width))


def from_points(points: tv_tensors.KeyPoints) -> Float[Tensor, "*points 2"]:
    """The targets that `as_points` made these of, moved as the points were: float32, `(2,)` of a single point.

        transform = v2.Compose([Flip(), v2.Lambda(from_points, tv_tensors.KeyPoints)])      # as its last step

    Raises `DataError` for plain tensors, which do not know the size of their image.
    """
    if not isinstance(points, tv_tensors.KeyPoints):
        raise DataError(
            f"from_points takes the tv_tensors.KeyPoints that as_points made, not a {type(points).__name__}: use it "
            "before samples are put together to batches, which makes plain tensors of them"
        )
    pixels = points.as_subclass(Tensor).reshape(-1, 1, 2)
    found = torch.stack([PLAIN.values(torch.zeros(2), one, points.canvas_size) for one in pixels])
    return found[0] if len(found) == 1 else found


def sample_of(
    image: UInt8[Tensor, "3 height width"],
    targets: Float[Tensor, "targets"] | Int[Tensor, ""],
    places: Places,
    roi: Bool[Tensor, "height width"],
) -> Sample:
    """Image, targets and region of interest for a torchvision v2 transform.

    sample = sample_of(image, targets, Places.of(manifest), mask)
    sample["image"], sample["points"], sample["roi"], sample["targets"]
    """
    size = (image.shape[-2], image.shape[-1])
    points = places.points(targets, size) if places.across else torch.zeros(0, 2, dtype=torch.float64)
    return {
        "image": tv_tensors.Image(image),
        "points": tv_tensors.KeyPoints(points, canvas_size=size),
        "roi": tv_tensors.Mask(roi),
        "targets": targets,
    }


def targets_of(sample: Mapping[str, Any], places: Places) -> Tensor:
    """The targets of a sample, in their units, as its points say."""
    points, targets = sample["points"], sample["targets"]
    if not places.across:
        return torch.as_tensor(targets)
    return places.values(targets, points.as_subclass(Tensor), points.canvas_size)


def _about_zero(scale: Scale) -> Scale:
    """A scale with 0 in its middle, where it holds 0: a mirror image changes the sign of a steering."""
    reach = max(-scale.low, scale.high)
    return Scale(-reach, reach, scale.unit) if scale.low < 0 < scale.high else scale


def _is_guessed(manifest: Manifest, name: str) -> bool:
    """Whether a scale runs from exactly the least to the largest training value, and not from 0 or -1 to 1."""
    scale, values = manifest.scales[name], manifest.split("train")[name]
    if not len(values) or (scale.low, scale.high) in ((0.0, 1.0), (-1.0, 1.0)):
        return False
    return (scale.low, scale.high) == (float(values.min()), float(values.max()))


def _pixel(value: Tensor, scale: Scale, extent: int) -> Tensor:
    return ((value - scale.middle) / scale.half + 1) / 2 * extent - 0.5


def _value(pixel: Tensor, scale: Scale, extent: int) -> Tensor:
    return ((pixel + 0.5) / extent * 2 - 1) * scale.half + scale.middle
