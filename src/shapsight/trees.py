"""Partition trees of an image: `from shapsight.trees import axis`."""

from shapsight.attribution.trees import *
from shapsight.attribution.trees import __all__, __doc__
