"""Sentences of a run: what they say where a number is not known."""

import math

from shapsight.studies.shared.error_words import ErrorInEnvironment


def test_an_error_of_a_single_image_is_said_without_an_interval():
    assert (
        str(ErrorInEnvironment("a", "unseen", 1, 2.74, math.nan, math.nan)) == "2.74 (no interval, 1 image)"
    )


def test_an_error_of_several_images_is_said_with_its_interval():
    error = ErrorInEnvironment("b", "unseen", 8, 3.72, 1.73, 5.63)
    assert str(error) == "3.72 (95 % 1.73 to 5.63, 8 images)"
