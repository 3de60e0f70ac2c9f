# %% [markdown]
# # A detector
# A detector answers with boxes, so first it has to be said which number is explained: here how sure it is of one box.
# The detector is made by hand, so that the right answer is known: it finds red squares, and is twice as sure of one
# where there is something green anywhere in the picture.

# %%
import torch
from torch import Tensor, nn

import shapsight as ss
from shapsight import targets

SIDE, CELL = 64, 8


class Detector(nn.Module):
    """Answers as torchvision's detectors do: boxes, labels and scores of each image."""

    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        red, green, blue = nn.functional.avg_pool2d(images, CELL).unbind(1)
        is_green = ((green - (red + blue) / 2).flatten(1).amax(1) > 0.3).float()
        answers = []
        for redness, sure in zip(red - (green + blue) / 2, is_green, strict=True):
            rows, columns = (redness > 0.3).nonzero(as_tuple=True)
            if len(rows) == 0:
                answers.append(
                    {
                        "boxes": torch.zeros(0, 4),
                        "labels": torch.zeros(0, dtype=torch.long),
                        "scores": torch.zeros(0),
                    }
                )
                continue
            corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            answers.append(
                {
                    "boxes": torch.stack(corners)[None] * float(CELL),
                    "labels": torch.ones(1, dtype=torch.long),
                    "scores": (0.45 + 0.45 * sure)[None],
                }
            )
        return answers


# %% [markdown]
# A picture with a sign, and with grass:

# %%
generator = torch.Generator().manual_seed(0)
image = 0.5 + 0.1 * torch.rand(1, 3, SIDE, SIDE, generator=generator)
image[0, :, 8:24, 32:48] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
image[0, :, 48:, :] = torch.tensor([0.2, 0.7, 0.2])[:, None, None]
detector = Detector()
detector(image)

# %% [markdown]
# ## Which box?
# `Box.of` takes one from an answer. The number that is explained is the overlap of the box with what the detector finds
# in a picture of which parts are hidden, times its score (D-RISE): 0 where nothing is found.

# %%
box = targets.Box.of(detector(image), k=0)
explanation = ss.PartitionShap(detector, 0.5, max_evals=600)(image, box)
explanation.plot(width=7)

# %% [markdown]
# The sign, of course. But also the grass, which is no part of any sign: this is what a shortcut of a detector looks
# like.
#
# ## How much is the grass?
# Three regions are few enough for exact values. The sign alone gives a score of 0.45, sign and grass 0.90, and the
# grass alone nothing. Shapley shares the 0.45 that it takes both for equally, so the sign gets 0.675 and the grass
# 0.225.

# %%
regions = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
regions[0, 8:24, 32:48] = 1
regions[0, 48:] = 2
exact = ss.RegionShap(detector, 0.5, regions)(image, box)
for name, value in zip(
    ["the rest", "sign", "grass"],
    exact.parts(regions).values[0, 0].tolist(),
    strict=True,
):
    print(f"{name:9} {value:+.3f}")

# %% [markdown]
# ## A detector of yours
# torchvision's, Hugging Face's and Ultralytics' answers are read as they are, and so is any function that returns rows
# of x1, y1, x2, y2, score, label. Networks in one stage and those of the DETR family can be explained with DeepSHAP,
# too: name the query. [Targets](../targets.md) says how, and what else than a box can be explained.
