"""Colour jitter: colours change, pixels stay where they are, and a seed repeats it."""

import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from discs import disc
from shapsight.data.remedies.colours import Colours, recoloured
from shapsight.data.remedies.light import ColorJitter

PICTURE = torch.from_numpy(disc(20, 12, 32, 32, (120, 60, 30))).permute(2, 0, 1).contiguous()


def test_jitter_keeps_shape_and_type_and_changes_colours():
    changed = ColorJitter()(PICTURE)
    assert changed.shape == PICTURE.shape
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, PICTURE)


def test_jitter_moves_no_pixel():
    for seed in range(10):
        torch.manual_seed(seed)
        grey = ColorJitter()(PICTURE).float().mean(0)
        is_disc = (PICTURE == 255).all(0)
        assert grey[is_disc].min() > grey[~is_disc].max()
        assert grey[is_disc].std() < 1
        assert grey[~is_disc].std() < 1


def test_the_same_seed_gives_the_same_picture_and_another_seed_another():
    pictures = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        pictures.append(ColorJitter()(PICTURE).numpy())
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_no_strength_is_no_change():
    still = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0)
    assert torch.equal(still(PICTURE), PICTURE)


def smooth_pictures(count: int) -> torch.Tensor:
    """Many colours, none so near to black or white that jitter would cut it."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 90 + 75
    return torch.nn.functional.interpolate(coarse, 24, mode="bilinear").round().to(torch.uint8)


@pytest.mark.parametrize(
    "steps", [(0.2, 0.0, 0.0, 0.0), (0.0, 0.2, 0.0, 0.0), (0.0, 0.0, 0.2, 0.0), (0.0, 0.0, 0.0, 0.5)]
)
def test_each_step_alone_is_torchvisions_but_for_rounding(steps):
    pictures = smooth_pictures(20)
    changed = recoloured(pictures, ColorJitter(*steps).drawn(range(20)))
    for seed, (picture, found) in enumerate(zip(pictures, changed, strict=True)):
        torch.manual_seed(seed)
        exact = v2.ColorJitter(*steps)(picture.float() / 255) * 255
        assert (found - exact).abs().max() < 0.6


def test_light_and_saturation_in_any_order_are_torchvisions_but_for_rounding():
    pictures = smooth_pictures(40)
    changed = recoloured(pictures, ColorJitter(hue=0).drawn(range(40)))
    for seed, (picture, found) in enumerate(zip(pictures, changed, strict=True)):
        torch.manual_seed(seed)
        exact = v2.ColorJitter(0.2, 0.2, 0.2, 0)(picture.float() / 255) * 255
        assert (found - exact).abs().max() < 0.6


def test_all_steps_together_are_torchvisions_on_average_and_never_far_from_it():
    """The hue is last here and anywhere there; that moves the grey that saturation and contrast refer to, a little."""
    pictures = smooth_pictures(200)
    changed = recoloured(pictures, ColorJitter().drawn(range(200))).float()
    exact = []
    for seed, picture in enumerate(pictures):
        torch.manual_seed(seed)
        exact.append(v2.ColorJitter(0.2, 0.2, 0.2, 0.05)(picture.float() / 255) * 255)
    off = changed - torch.stack(exact)
    assert off.abs().max() < 5
    assert off.abs().mean() < 0.6
    assert off.mean((0, 2, 3)).abs().max() < 0.1
    assert (changed - pictures).abs().mean() > 8


def test_the_hue_turns_as_in_the_standard_library():
    pictures = torch.randint(0, 256, (6, 3, 5, 5), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    turns = torch.tensor([-0.5, -0.2, -0.05, 0.05, 0.3, 0.5])
    one, none = torch.ones(6), torch.zeros(6)
    found = recoloured(pictures, Colours.blends(one, none, none, turns))
    for picture, turn, turned in zip(pictures, turns.tolist(), found, strict=True):
        for before, after in zip(picture.flatten(1).T.tolist(), turned.flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*(number / 255 for number in before))
            wanted = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            assert after == pytest.approx([255 * number for number in wanted], abs=0.51)


def test_grey_pictures_stay_grey_and_black_and_white_ones_in_range():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(60, 3, 16, 16)
    changed = recoloured(ramp, ColorJitter(0.9, 0.9, 0.9, 0.5).drawn(range(60)))
    assert changed.dtype == torch.uint8
    assert (changed == changed[:, :1]).all()
    assert (
        changed[:, 0].flatten(1).float().diff(dim=1) >= 0
    ).all()  # nothing wraps around from white to black
    assert {int(changed.min()), int(changed.max())} == {0, 255}


def test_a_sample_is_changed_as_in_a_batch_and_batches_as_their_images():
    pictures = smooth_pictures(6)
    seeds = [5, 1, 1_000_003, 8, 2, 9]
    together = recoloured(pictures, ColorJitter().drawn(seeds))
    backwards = recoloured(pictures.flip(0), ColorJitter().drawn(seeds[::-1])).flip(0)
    for seed, picture, one, other in zip(seeds, pictures, together, backwards, strict=True):
        torch.manual_seed(seed)
        assert torch.equal(ColorJitter()(picture), one)
        assert torch.equal(one, other)


def test_drawing_for_a_batch_leaves_the_generator_as_it_was():
    torch.manual_seed(4)
    state = torch.random.get_rng_state()
    ColorJitter().drawn([1, 2, 3])
    assert torch.equal(torch.random.get_rng_state(), state)
