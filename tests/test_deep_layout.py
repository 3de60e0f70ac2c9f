"""Where the batch lies: the weaving of two images' tensors is told from their values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shapsight.attribution.deep.layout import Fold, find_fold, widen
from shapsight.errors import ExplainerError


def woven(first: Tensor, second: Tensor, outer: int) -> Tensor:
    """Entry by entry: `outer` blocks, in each first those of one image and then those of the other."""
    inner = len(first) // outer
    blocks = [images[k * inner : (k + 1) * inner] for k in range(outer) for images in (first, second)]
    return torch.cat(blocks)


@settings(max_examples=60, deadline=None)
@given(
    outer=st.integers(1, 6),
    inner=st.integers(1, 6),
    offset=st.sampled_from([0.0, 20.0, 1000.0]),
    seed=st.integers(0, 1000),
)
def test_the_weaving_is_found_also_where_the_images_differ_by_little(
    outer: int, inner: int, offset: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(outer * inner, 5, generator=generator).double() + offset for _ in range(2))
    if outer * inner > 1:
        assert find_fold(first, second, woven(first, second, outer)) == Fold(0, outer)
    else:
        assert find_fold(first, second, woven(first, second, outer)) is None


def test_single_values_that_rounding_moves_do_not_hide_the_weaving() -> None:
    first, second = (
        torch.randn(8, 4, 64, 49, generator=torch.Generator().manual_seed(s)) * 20 for s in (1, 2)
    )
    first, second = first.softmax(-1), second.softmax(-1)
    both = woven(first, second, 2)
    both.flatten()[::20000] += 0.02
    assert find_fold(first, second, both) == Fold(0, 2)


def test_masked_values_and_places_without_a_number_are_left_out() -> None:
    first, second = torch.randn(6, 5), torch.randn(6, 5)
    for images in (first, second):
        images[:, 1], images[:, 3] = -torch.inf, torch.nan
    assert find_fold(first, second, woven(first, second, 3)) == Fold(0, 3)


def test_numbers_that_are_no_floats_have_a_weaving_too() -> None:
    first, second = torch.arange(6) > 2, torch.arange(6) % 2 == 0
    assert find_fold(first, second, woven(first, second, 6)) == Fold(0, 6)


def test_images_that_change_each_other_fit_no_weaving() -> None:
    first, second = torch.randn(6, 5), torch.randn(6, 5)
    both = torch.cat([first, second])
    with pytest.raises(ExplainerError, match="cannot tell where the batch lies"):
        find_fold(first, second, both - both.mean(0))


def test_an_image_is_widened_as_its_batch_is_woven() -> None:
    image, references = torch.randn(6, 5), [torch.randn(6, 5) for _ in range(3)]
    for outer in (1, 2, 3, 6):
        parts = [reference.split(6 // outer) for reference in references]
        many = torch.cat([part[block] for block in range(outer) for part in parts])
        expected = torch.cat([image.split(6 // outer)[block] for block in range(outer) for _ in parts])
        torch.testing.assert_close(widen(image, many, Fold(0, outer)), expected)
