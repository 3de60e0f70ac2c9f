"""What a user's mistake gets: one small family of exceptions, each saying what was wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ShapsightError(Exception):
    """Root of every error that shapsight raises on purpose.

        try:
            photos = read_dataset("no such folder")
        except ShapsightError as error:
            print(error)                    # what was wrong, which file or argument, what to do

    The kinds of errors, such as `DataError`, are in `shapsight.errors`.
    """


class DataError(ShapsightError):
    """A dataset, an image, a mask or a region of interest cannot be used as it is."""


class NoImagesError(DataError):
    """A place that was named as a dataset cannot be read, or holds no image at all, however it is read."""


class ModelError(ShapsightError):
    """An architecture, its weights or a bundle cannot be used as it is."""


class ExplainerError(ShapsightError):
    """An explainer was given a model, references, images or outputs that it cannot explain."""


class UnsupportedOperation(ExplainerError):
    """The model makes a call that has no attribution rule; names the function and the module it was called in."""


class CompletenessError(ExplainerError):
    """The attributions do not sum to prediction - base value within the tolerance (`on_gap="raise"`)."""


class RunError(ShapsightError):
    """A run folder exists already, is missing a part, or was made by something else."""


class StoreError(ShapsightError):
    """A store of explanations is damaged, of another version, or was begun with something else."""


class SettingError(ShapsightError, TypeError):
    """A study was asked for something that it does not have, or with a value that it cannot be."""


class MissingDependency(ShapsightError):
    """An optional library is needed for this; the message names the extra that installs it."""


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Put the name of what is read before an error that does not say it."""
    try:
        yield
    except ShapsightError as error:
        if str(source) not in str(error):
            error.args = (f"{source}: {error}",)
        raise
