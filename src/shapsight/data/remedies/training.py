"""Remedies that leave images as they are: which images a training draws, and what it is punished for.

They are carried out where batches are drawn (`batches.py`) and where the loss is computed.
"""

from __future__ import annotations

from shapsight.data.remedies.remedy import Remedy

DRAWING = (
    Remedy("more-environments", "adds the images of other environments to the training images"),
    Remedy(
        "balance",
        "draws images so that environments and ranges of the target, or classes, come equally often",
    ),
)
LOSS = (
    Remedy(
        "right-reasons",
        "adds to the loss the squared gradients of the outputs by pixels outside the region (Ross et al. 2017)",
        needs_roi=True,
        options=("strength",),
    ),
)
