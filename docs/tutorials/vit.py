# %% [markdown]
# # A vision transformer
# A transformer cuts a picture into patches and makes a token of each. To ask it what it says without a patch, nothing
# has to be painted over: the token can be left out.

# %%
import timm
import torch
from torch import nn

import shapsight as ss

SIDE, PATCH = 32, 4
NAMES = ["red", "green", "blue", "yellow"]
COLOURS = torch.tensor(
    [[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.15, 0.2, 0.9], [0.95, 0.85, 0.1]]
)


# %% [markdown]
# ## A task with a known answer
# Blotches of dull colours, and one patch of a bright colour, which the transformer is to name. So the right explanation
# is that patch, and nothing else.


# %%
def pictures(count, generator):
    """Images, the number of the colour, and the patch that has it."""
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    images = nn.functional.interpolate(coarse, size=SIDE, mode="bilinear") * 0.5 + 0.25
    images += 0.05 * torch.randn(images.shape, generator=generator)
    colour = torch.randint(0, 4, (count,), generator=generator)
    place = torch.randint(0, 64, (count,), generator=generator)
    for image, which, patch in zip(images, colour, place, strict=True):
        top, left = patch // 8 * PATCH, patch % 8 * PATCH
        image[:, top : top + PATCH, left : left + PATCH] = COLOURS[which][:, None, None]
    return images.clamp(0, 1), colour, place


torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)
vit = timm.models.VisionTransformer(
    img_size=SIDE, patch_size=PATCH, embed_dim=32, depth=2, num_heads=2, num_classes=4
)
optimiser = torch.optim.AdamW(vit.parameters(), lr=3e-3)
for _ in range(400):
    images, colour, _ = pictures(32, generator)
    loss = nn.functional.cross_entropy(vit(images), colour)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
vit.eval()
images, colour, place = pictures(8, torch.Generator().manual_seed(1))
print(
    f"right on {int((vit(images).argmax(1) == colour).sum())} of {len(images)} new pictures"
)

# %% [markdown]
# ## Leave tokens out
# The masker `"tokens"` finds out by itself what the tokens of this model are. Each of the 64 patches is a region, and
# 400 evaluations estimate what each contributes to the colour that is there.

# %%
without_tokens = ss.RegionShap(
    vit, "tokens", "patches", "kernel", max_evals=400, output_names=NAMES
)
explanation = without_tokens(images, colour)
explanation[:3].plot(width=6)


# %%
def found(explanation):
    """How often the patch with the largest value is the planted one."""
    cells = nn.functional.avg_pool2d(
        explanation.heatmap()[:, 0].float()[:, None], PATCH
    )
    return int((cells.flatten(1).argmax(1) == place).sum())


print(f"{found(explanation)} of {len(images)} planted patches have the largest value")

# %% [markdown]
# ## The same by DeepSHAP
# Attention, softmax and layer norms have exact rules, so that DeepSHAP's values of a transformer sum to what they
# should. References here are other pictures of the kind.

# %%
references, _, _ = pictures(20, torch.Generator().manual_seed(2))
deep = ss.DeepShap(vit, references, output_names=NAMES)(images, colour)
print(f"{found(deep)} of {len(images)} planted patches have the largest value")
print(f"missing in the sums: {float(deep.completeness_gap.abs().max()):.1e}")
deep[:3].plot(width=6)

# %% [markdown]
# The faint squares are where references have their bright patch: that another colour is not there speaks for this one.
# Where the two disagree, look at the question that each answers: what the model says without a patch, or what it says
# of other pictures. Swin, BEiT and others know their patches by place, and are asked with `"tokens(zero)"`:
# [tokens](../inputs.md#tokens-patches-of-a-vision-transformer-taken-away).
