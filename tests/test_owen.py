"""PartitionShap over a tree whose leaves are the regions of RegionShap: the two agree with each other and with Owen."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from shapsight import PartitionShap, RegionShap

X = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 1], [3, 2, 2, 4], [3, 3, 4, 4]])
LABELS = LABELS.repeat_interleave(2, 0).repeat_interleave(2, 1)


class Nested:
    """Regions in nested pairs, such as ((0, 1), (2, (3, 4))): a tree of pixels whose leaves are the regions."""

    def __init__(self, nested, labels=LABELS):
        self.nested, self.labels = nested, labels
        mask = torch.isin(labels, torch.tensor(leaves_of(nested)))
        self.rows, self.columns = mask.nonzero(as_tuple=True)

    @property
    def index(self):
        return slice(None), self.rows, self.columns

    @property
    def size(self):
        return len(self.rows)

    def halves(self):
        return (
            None if isinstance(self.nested, int) else tuple(Nested(half, self.labels) for half in self.nested)
        )


def leaves_of(nested):
    return [nested] if isinstance(nested, int) else [leaf for half in nested for leaf in leaves_of(half)]


def orders_that_keep_together(nested):
    """Every order of the leaves in which those of each node follow one another."""
    if isinstance(nested, int):
        return [(nested,)]
    first, second = map(orders_that_keep_together, nested)
    pairs = list(itertools.product(first, second))
    return [one + other for one, other in pairs] + [other + one for one, other in pairs]


def model():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 2))
    return nn.Sequential(*layers).double()


def owen_values(network, nested):
    """Owen 1977: the mean gain of each region over the orders that keep every node together; hidden pixels are 0.5."""

    def worth(visible):
        mask = torch.isin(LABELS, torch.tensor(visible, dtype=torch.long))
        return network(torch.where(mask, X, 0.5))[0].detach()

    orders = orders_that_keep_together(nested)
    values = torch.zeros(len(leaves_of(nested)), 2, dtype=torch.float64)
    for order in orders:
        for place, region in enumerate(order):
            values[region] += (worth(order[: place + 1]) - worth(order[:place])) / len(orders)
    return values


def sums_by_region(explanation, labels=LABELS):
    heatmap = explanation.heatmap()[0]
    return torch.stack([heatmap[:, labels == region].sum(1) for region in range(int(labels.max()) + 1)])


@pytest.mark.parametrize("contexts", ["both", "auto"])
@pytest.mark.parametrize("nested", [((0, 1), (2, (3, 4))), ((((0, 1), 2), 3), 4), (((3, 1), (0, 4)), 2)])
def test_partition_values_are_the_mean_over_all_orders_that_keep_nodes_together(nested, contexts):
    network = model()
    explanation = PartitionShap(network, 0.5, Nested(nested), max_evals=10_000, contexts=contexts)(X)
    torch.testing.assert_close(
        sums_by_region(explanation).double(), owen_values(network, nested), atol=1e-6, rtol=1e-5
    )


def test_with_two_regions_partition_and_exact_values_are_the_same():
    network, roi = model(), LABELS < 2
    regions = RegionShap(network, 0.5, roi).by_region(X).values[0].T
    explanation = PartitionShap(network, 0.5, Nested((0, 1), roi.long()), contexts="both")(X)
    torch.testing.assert_close(
        sums_by_region(explanation, roi.long()).double(), regions, atol=1e-6, rtol=1e-5
    )


def test_with_more_regions_a_tree_gives_other_values_than_all_orders_but_the_same_sum():
    network = model()
    exact = RegionShap(network, 0.5, LABELS).by_region(X).values[0].T
    owen = owen_values(network, ((0, 1), (2, (3, 4))))
    torch.testing.assert_close(exact.sum(0), owen.sum(0))
    assert (exact - owen).abs().max() > 1e-4
