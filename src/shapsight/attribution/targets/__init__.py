"""What is explained, as an object: a box, a mask, a pixel, a likeness, a contrast, any function of the answer.

    PartitionShap(detector, "blur(64,64)")(images, targets.Box(18, (10, 20, 120, 200)))
    DeepShap(model, references)(images, [targets.Contrast(0, 1), 0])

They stand in `outputs=` of every explainer beside names and numbers, alone or several in a list. An explanation has one
output for each, bears its name and draws its box or region.
"""

from shapsight.attribution.targets.aim import Aim
from shapsight.attribution.targets.boxes import Box
from shapsight.attribution.targets.contrasts import Contrast, Entropy
from shapsight.attribution.targets.dense import Mask, Pixel, Region
from shapsight.attribution.targets.embeddings import Similarity, Text
from shapsight.attribution.targets.function import Target

__all__ = ["Aim", "Box", "Contrast", "Entropy", "Mask", "Pixel", "Region", "Similarity", "Target", "Text"]
