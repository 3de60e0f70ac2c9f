"""PartitionShap: Owen values of any model, over a tree of pixels."""

from __future__ import annotations

from shapsight.attribution.partition.explainer import PartitionShap

__all__ = ["PartitionShap"]
