"""Reading between pixels, where the image itself says at which places."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from deep_parts import pictures
from shapsight import DeepShap
from shapsight.attribution.deep.rules.sampling import along_coordinates


def phi(places: Tensor) -> Tensor:
    """No sum and no product of its two coordinates."""
    u, v = places.unbind(-1)
    return (u * v.exp()).sin() + u.square() * v


def test_two_coordinates_share_a_change_by_their_shapley_values() -> None:
    x, b = torch.rand(7, 2).double(), torch.rand(7, 2).double()
    found = along_coordinates(phi, x, b) * (x - b)
    for number in range(2):
        shapley = torch.zeros(7).double()
        for order in itertools.permutations(range(2)):
            before = b.clone()
            for moved in order[: order.index(number)]:
                before[:, moved] = x[:, moved]
            after = before.clone()
            after[:, number] = x[:, number]
            shapley += (phi(after) - phi(before)) / math.factorial(2)
        torch.testing.assert_close(found[:, number], shapley)


def test_a_coordinate_that_does_not_change_gets_the_derivative() -> None:
    b = torch.rand(5, 2).double()
    x = b + torch.tensor([0.0, 1e-9])
    leaf = b.clone().requires_grad_()
    (expected,) = torch.autograd.grad(phi(leaf).sum(), leaf)
    torch.testing.assert_close(along_coordinates(phi, x, b), expected, rtol=1e-6, atol=1e-6)


def test_on_a_ramp_a_place_is_worth_the_slope_however_many_pixels_it_moves() -> None:
    class Ramp(nn.Module):
        """Reads a ramp that rises by 2 a pixel at the place that the image's mean says."""

        def forward(self, x: Tensor) -> Tensor:
            ramp = 2 * torch.arange(16).to(x).expand(len(x), 1, 4, 16)
            place = x.mean((1, 2, 3)).view(-1, 1, 1, 1)
            grid = torch.cat([place, torch.zeros_like(place)], 3)
            return F.grid_sample(ramp, grid, align_corners=True).flatten(1)

    images, references = pictures(2), pictures(3, seed=1)
    values = DeepShap(Ramp(), references)(images).values[:, 0]
    expected = 2 * 7.5 * (images - references.mean(0)) / images[0].numel()
    torch.testing.assert_close(values, expected)


def test_a_deformable_convolution_that_is_never_deformed_is_a_convolution() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))

        def convolved(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolved(x).tanh().mean((2, 3))

    class Deformable(Plain):
        def convolved(self, x: Tensor) -> Tensor:
            offsets = 0 * x[:, :1].repeat(1, 18, 1, 1)
            return torchvision.ops.deform_conv2d(x, offsets, self.weight, padding=1)

    plain, deformable = Plain().double(), Deformable().double()
    deformable.load_state_dict(plain.state_dict())
    images, references = pictures(2), pictures(3, seed=1)
    expected, found = (DeepShap(model, references)(images).values for model in (plain, deformable))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("by", [1.0, -2.0])
def test_an_image_that_is_moved_as_a_whole_keeps_its_values_moved_back(by: float) -> None:
    """Offsets of whole pixels: the values are those of a convolution of the moved image."""

    class Moved(nn.Module):
        def __init__(self, by: float | None) -> None:
            super().__init__()
            self.by = by
            self.register_buffer(
                "weight", torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
            )

        def forward(self, x: Tensor) -> Tensor:
            if self.by is None:
                return F.conv2d(x.roll(-int(by), 3), self.weight)[..., 2:-2].tanh().mean((2, 3))
            offsets = torch.stack([0 * x[:, 0], 0 * x[:, 0] + self.by], 1)[..., :6, :6].repeat(1, 9, 1, 1)
            return torchvision.ops.deform_conv2d(x, offsets, self.weight)[..., 2:-2].tanh().mean((2, 3))

    images, references = pictures(2), pictures(3, seed=1)
    expected, found = (DeepShap(Moved(b).double(), references)(images).values for b in (None, by))
    torch.testing.assert_close(found, expected)
