"""Colour jitter: colours change, pixels stay where they are, and a seed repeats it."""

import numpy as np
import torch

from discs import disc
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
