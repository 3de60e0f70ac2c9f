"""What kind of number a user's argument is, whatever its annotation says."""

from __future__ import annotations

from numbers import Integral, Real


def is_whole(value: object) -> bool:
    """A whole number of Python's or numpy's, and no boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> bool:
    """A number of Python's or numpy's that is not complex, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)
