"""Trees of pixels: `axis` halves rectangles, `regions` keeps together what looks alike and lies together.

    PartitionShap(model, "mean", tree="axis")
    root = trees.regions(images[0])
    PartitionShap(model, "mean", tree=root)             # one tree for every image

`PartitionShap` splits the nodes that matter most.
"""

from __future__ import annotations

from shapsight.attribution.trees.choice import as_tree
from shapsight.attribution.trees.node import Node, Tree
from shapsight.attribution.trees.rectangle import Rectangle, axis
from shapsight.attribution.trees.region import Region, region_map, regions

__all__ = ["Node", "Rectangle", "Region", "Tree", "as_tree", "axis", "region_map", "regions"]
