"""What is explained, as an object: `from shapsight.targets import Box`."""

from shapsight.attribution.targets import *
from shapsight.attribution.targets import __all__, __doc__
