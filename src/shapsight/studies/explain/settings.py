"""What `shapsight explain` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExplainSettings:
    """What `shapsight explain` was asked to do; see its help."""

    method: str = "partition"
    outputs: str = "top4"
    masker: str = "inpaint_telea"
    tree: str = "regions"
    contexts: str = "auto"
    max_evals: int = 500
    regions: str = "grid(4,4)"
    estimator: str = "exact"
    samples: int = 200
    references: Path | None = None
    references_drawn: bool = False
    arch: str | None = None
    weights: str = "imagenet"
    classes: Path | None = None
    as_probability: bool = False
    detail: str = "auto"
    cmap: str | None = None
    show_noise: bool = False
    image_size: int | None = None
    seed: int = 0
    device: str = "auto"
