"""Transforms against shortcuts: `from shapsight.remedies import SwapScene`."""

from shapsight.data.remedies import *
from shapsight.data.remedies import __all__, __doc__
