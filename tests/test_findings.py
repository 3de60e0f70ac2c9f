"""Sentences of a run: what they say where a number is not known."""

import math

from shapsight.diagnosis.estimate import Estimate
from shapsight.studies.shared.outcome import Measured


def test_an_error_of_a_single_image_is_said_without_an_interval():
    error = Measured("a", "unseen", 1, Estimate(2.74, math.nan, math.nan))
    assert error.said(".3g") == "2.74 (no interval, 1 image)"


def test_an_error_of_several_images_is_said_with_its_interval():
    error = Measured("b", "unseen", 8, Estimate(3.72, 1.73, 5.63))
    assert error.said(".3g") == "3.72 (95 % 1.73 to 5.63, 8 images)"
