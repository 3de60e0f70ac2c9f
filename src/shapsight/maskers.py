"""What stands where pixels are hidden: `from shapsight.maskers import Blur`."""

from shapsight.attribution.maskers import *
from shapsight.attribution.maskers import __all__, __doc__
