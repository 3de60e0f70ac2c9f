from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shapsight import PartitionShap, trees


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


def test_specks_do_not_make_the_top_of_a_region_tree_a_chain():
    chance = torch.Generator().manual_seed(0)
    image = torch.full((3, 40, 40), 0.4) + 0.02 * torch.rand(3, 40, 40, generator=chance)
    image[:, :, 20:] += 0.1
    rows, columns = torch.randint(40, (2, 30), generator=chance)
    image[:, rows, columns] = torch.rand(30, generator=chance).round()
    root = trees.regions(image)
    assert min(half.size for half in root.halves()) > 0.4 * root.size


def test_regions_find_an_object_with_a_tenth_of_the_evaluations_of_rectangles():
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    where = (rows - 30) ** 2 + (columns - 37) ** 2 < 15**2 * (
        0.6 + 0.4 * torch.cos(5 * torch.atan2(rows - 30, columns - 37))
    )
    stripes = torch.stack([rows.sin(), columns.cos(), (rows + columns).sin()])
    image = torch.where(where, 0.65 + 0.15 * stripes, 0.3 + 0.25 * stripes.roll(1, 0) * (columns / 64))

    def visible_share(images):
        return (images[:, where] == image.permute(1, 2, 0).numpy()[where]).all(-1).mean(1)

    def overlap(tree, evaluations):
        explanation = PartitionShap(visible_share, -1.0, tree, evaluations)(image)
        found = torch.zeros(where.numel(), dtype=torch.bool)
        found[explanation.heatmap().flatten().topk(int(where.sum())).indices] = True
        both = (found.view_as(where) & where).sum()
        return both / (2 * where.sum() - both)

    assert overlap("regions", 100) > overlap("axis", 1000)
    assert overlap("regions", 300) > 0.9
