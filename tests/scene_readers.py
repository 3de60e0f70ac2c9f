"""Models that read known parts of a picture, and cases of them: what changing the picture does is known exactly."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from shapsight.attribution.explanation import Explanation
from shapsight.data.manifest import Manifest
from shapsight.models.bundle import Bundle
from shapsight.models.card import Card
from shapsight.studies.diagnose.case import Case

SIDE, HORIZON = 32, 16


class Reader(nn.Module):
    """`of_region` times the mean of the lower rows plus `of_scene` times that of the top rows, around a middle grey.

    Rows near the horizon are not read, so that feathered edges say nothing.
    """

    def __init__(
        self, of_region: float, of_scene: float, combine: Callable[[Tensor, Tensor], Tensor] | None = None
    ):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([of_region, of_scene]))
        self.combine = combine

    def forward(self, images: Tensor) -> Tensor:
        region, scene = images[:, :, HORIZON:].mean((1, 2, 3)), images[:, :, : HORIZON // 2].mean((1, 2, 3))
        if self.combine is not None:
            return self.combine(region, scene)
        return (self.weights[0] * region + self.weights[1] * scene)[:, None]


def pictures(count: int, seed: int = 0) -> Tensor:
    """Each with one brightness below the horizon and another above it, with some grain."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(20, 236, (count, 2), generator=generator)
    images = torch.empty(count, 3, SIDE, SIDE)
    images[:, :, :HORIZON] = levels[:, 1, None, None, None]
    images[:, :, HORIZON:] = levels[:, 0, None, None, None]
    grain = torch.randint(-15, 16, images.shape, generator=generator)
    return (images + grain).clamp(0, 255).to(torch.uint8)


def case_of(
    model: nn.Module,
    count: int = 24,
    *,
    class_names: tuple[str, ...] = (),
    environments: tuple[str, ...] = ("home", "away"),
    masks: np.ndarray | None = None,
    labels: list[str] | None = None,
) -> Case:
    """Pictures of some environments, the first trained on; the target is what the region shows."""
    images = pictures(count)
    names = class_names or ("x",)
    card = Card("tiny", names, {}, SIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), class_names=class_names,
                task="classification" if class_names else "regression")  # fmt: skip
    bundle = Bundle(model, card, images[:4])
    rows = pd.DataFrame({"path": [f"{n}.png" for n in range(count)]})
    rows["environment"] = [environments[n % len(environments)] for n in range(count)]
    rows["split"] = ["validation" if place == environments[0] else "unseen" for place in rows["environment"]]
    rows = rows.assign(width=SIDE, height=SIDE)
    if class_names:
        rows["label"] = labels or [class_names[n % len(class_names)] for n in range(count)]
    else:
        rows["x"] = bundle.prepare(images)[:, :, HORIZON:].mean((1, 2, 3)).numpy().astype(float)
    skipped = pd.DataFrame({"path": [], "reason": []})
    manifest = Manifest(
        root=".", table=rows, targets=() if class_names else ("x",), skipped=skipped,
        train_on=environments[:1], class_names=class_names,
    )  # fmt: skip
    if masks is None:
        masks = np.broadcast_to(np.arange(SIDE)[:, None] >= HORIZON, (count, SIDE, SIDE)).copy()
    nothing = torch.empty(count, 0)
    explanation = Explanation(
        torch.empty(count, 0, 3, SIDE, SIDE), nothing, nothing, nothing, nothing.long(), images / 255
    )
    return Case(bundle, manifest, rows, images, masks, explanation, () if class_names else ("x",))
