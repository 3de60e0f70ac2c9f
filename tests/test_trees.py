from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapsight import trees


@settings(max_examples=40, deadline=None)
@given(
    tree=st.sampled_from(["axis", "regions"]),
    size=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    is_flat=st.booleans(),
)
def test_the_halves_of_every_node_hold_its_pixels_once(tree, size, is_flat):
    image = torch.zeros(size) if is_flat else torch.rand(size)
    waiting, leaves = [trees.as_tree(tree)(image)], 0
    while waiting:
        node = waiting.pop()
        halves = node.halves()
        if halves is None:
            leaves += 1
            continue
        count = torch.zeros(size)
        for half in halves:
            count[half.index] += 1
        expected = torch.zeros(size)
        expected[node.index] = 1
        assert torch.equal(count, expected)
        assert halves[0].size + halves[1].size == node.size
        waiting.extend(halves)
    assert leaves == (image.numel() if tree == "axis" else image[0].numel())


def test_a_region_tree_keeps_a_coloured_square_together():
    image = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 0.05
    image[0, 10:25, 8:30] += 0.9
    first, second = trees.regions(image).halves()
    square = min(first, second, key=lambda node: node.size)
    found = torch.zeros(40, 40, dtype=torch.bool)
    found[square.index[1:]] = True
    assert torch.equal(found, image[0] > 0.5)
