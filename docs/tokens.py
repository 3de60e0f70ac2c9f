"""docs/inputs_tokens.png: a patch planted in a photograph-like picture, and how a small transformer is explained.

    python docs/tokens.py

Trains a vision transformer of 64 patches, for some seconds, to tell which colour a planted patch has; then explains it
by taking tokens away and by inpainting, and says how often the planted patch has the largest value.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import timm
import torch
from torch import Tensor, nn

import shapsight as ss
from shapsight.attribution.maskers import Masker

COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.15, 0.2, 0.9], [0.95, 0.85, 0.1]])
NAMES = ["red", "green", "blue", "yellow"]
SIDE, PATCH = 32, 4
STEPS, TESTED = 400, 20


def pictures(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Blotches of dull colours, one patch of a bright colour, and which colour and patch that is."""
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    images = nn.functional.interpolate(coarse, size=SIDE, mode="bilinear") * 0.5 + 0.25
    images += 0.05 * torch.randn(images.shape, generator=generator)
    colour = torch.randint(0, 4, (count,), generator=generator)
    place = torch.randint(0, 64, (count,), generator=generator)
    for image, which, patch in zip(images, colour.tolist(), place.tolist(), strict=True):
        row, column = patch // 8 * PATCH, patch % 8 * PATCH
        image[:, row : row + PATCH, column : column + PATCH] = COLOURS[which][:, None, None]
    return images.clamp(0, 1), colour, place


def trained() -> nn.Module:
    """A small vision transformer that tells the colour."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=SIDE, patch_size=PATCH, embed_dim=32, depth=2, num_heads=2, num_classes=4
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        images, colour, _ = pictures(32, generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), colour).backward()
        optimiser.step()
    return model.eval()


def found(model: nn.Module, masker: str | Masker, images: Tensor, colour: Tensor) -> ss.Explanation:
    """What each of 64 patches contributes to the colour that is there."""
    explainer = ss.RegionShap(model, masker, "grid(8,8)", "kernel", max_evals=400, output_names=NAMES)
    explanation: ss.Explanation = explainer(images, colour)
    return explanation


def explanation_of_nothing(explanation: ss.Explanation) -> dict[str, float]:
    """Each colour's base value, averaged over the pictures that show it."""
    bases, which = explanation.base_values[:, 0], explanation.output_index[:, 0]
    return {name: round(float(bases[which == n].mean()), 1) for n, name in enumerate(NAMES)}


def main() -> None:
    """Train, measure, draw."""
    model = trained()
    images, colour, place = pictures(TESTED, torch.Generator().manual_seed(7))
    with torch.no_grad():
        accuracy = (model(images).argmax(1) == colour).float().mean()
    print(f"{accuracy:.0%} of the colours are told")
    shown = {}
    for masker in ("tokens", "tokens(zero)", "inpaint_diffuse"):
        shown[masker] = found(model, masker, images, colour)
        cells = shown[masker].heatmap()[:, 0].unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH).sum((3, 4))
        values = cells.flatten(1)
        is_hit = values.argmax(1) == place
        hits = is_hit.float().mean()
        share = (values.gather(1, place[:, None]) / values.abs().sum(1, keepdim=True)).mean()
        change = (shown[masker].predictions - shown[masker].base_values)[:, 0]
        of_change = (values.gather(1, place[:, None])[:, 0] / change).median()
        print(
            f"{masker}: the planted patch has the largest value in {hits:.0%} of {TESTED} pictures, {share:.0%} of the "
            f"absolute values, {of_change:.0%} of prediction - base value (median); missed: "
            f"{[NAMES[which] for which in colour[~is_hit].tolist()]}; with nothing visible the answer is "
            f"{explanation_of_nothing(shown[masker])}"
        )
    joined = [shown[masker][:3] for masker in ("tokens", "inpaint_diffuse")]
    figure, axes = plt.subplots(3, 3, figsize=(6.6, 6.8), layout="constrained")
    for row in range(3):
        axes[row, 0].imshow(images[row].permute(1, 2, 0))
        for column, explanation in enumerate(joined, 1):
            heat = explanation.heatmap()[row, 0] * PATCH**2
            most = float(torch.stack([e.heatmap()[row, 0] for e in joined]).abs().max()) * PATCH**2
            drawn = axes[row, column].imshow(heat, cmap="RdBu_r", vmin=-most, vmax=most)
        figure.colorbar(
            drawn, ax=axes[row, :], label=f"a patch's share of “{NAMES[int(colour[row])]}”", shrink=0.8
        )
    for axis, title in zip(axes[0], ["picture", "tokens taken away", "patches inpainted"], strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(Path(__file__).parent / "inputs_tokens.png", dpi=90)


if __name__ == "__main__":
    main()
