"""From what a user writes to a tree."""

from __future__ import annotations

import contextlib

from jaxtyping import Shaped
from torch import Tensor

from shapsight.attribution.trees.node import Node, Tree
from shapsight.attribution.trees.rectangle import axis
from shapsight.attribution.trees.region import regions
from shapsight.errors import ExplainerError

TREES: dict[str, Tree] = {"axis": axis, "regions": regions}


def as_tree(tree: str | Tree | Node) -> Tree:
    """A function from an image to the root of its tree.

        as_tree("axis");  as_tree("regions")
        as_tree(trees.regions(image))               # one tree for every image
        as_tree(lambda image: trees.axis(image))    # your own: any function from an image to a `Node`

    Raises `ExplainerError` for another name or object.
    """
    if isinstance(tree, str):
        if tree not in TREES:
            raise ExplainerError(f"tree={tree!r} is not one of {', '.join(map(repr, TREES))}")
        return TREES[tree]
    if isinstance(tree, Node):
        return _Covering(lambda _: tree)
    if callable(tree):
        return _Covering(tree)
    raise ExplainerError(
        f"tree is 'axis', 'regions', a Node or a function from an image to a Node, not {type(tree).__name__}"
    )


class _Covering:
    """A user's tree; refused where it is none or does not cover the image."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def __call__(self, image: Shaped[Tensor, "channels height width"]) -> Node:
        root = self.tree(image)
        if not isinstance(root, Node):
            raise ExplainerError(
                f"the tree's function returns a {type(root).__name__}; it must return a Node, with an index, a size "
                "and halves()"
            )
        covered = image.new_zeros(image.shape, dtype=bool)  # type: ignore[call-overload]
        with contextlib.suppress(IndexError, RuntimeError):
            covered[root.index] = True
        if not covered.all():
            raise ExplainerError(
                "the tree's root does not hold every pixel of an image of "
                f"{tuple(image.shape)} (channels first)"
            )
        return root
