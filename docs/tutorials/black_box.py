# %% [markdown]
# # A black box
# No gradients, no layers: only a function from images to numbers. Here a random forest, which says where to drive from
# 16 × 16 grey pixels of a rendered picture.

# %%
import numpy as np
from sklearn.ensemble import RandomForestRegressor

import shapsight as ss
from shapsight.data.rooms import drive

SIZE = 64
frames = list(drive("room_1", 150, size=SIZE))
pictures = np.stack([frame.image for frame in frames]).astype(float)
targets = np.array([2 * frame.target[0] / SIZE - 1 for frame in frames])


def features(images):
    """(images, 64, 64, 3) -> (images, 256): means of cells of 4 x 4 pixels."""
    return (
        images.reshape(len(images), 16, 4, 16, 4, 3)
        .mean((2, 4, 5))
        .reshape(len(images), -1)
    )


forest = RandomForestRegressor(60, random_state=0).fit(
    features(pictures[:120]), targets[:120]
)


def predict(images):
    return forest.predict(features(images))


error = np.mean((predict(pictures[120:]) - targets[120:]) ** 2)
print(f"mean squared error {error:.3f}, of targets with variance {targets.var():.3f}")

# %% [markdown]
# ## Hide and ask
# `PartitionShap` hides regions of the picture and asks what the answer is then. The budget goes where the answer reacts
# most. The masker says what stands in place of what is hidden.

# %%
sharp = (
    120 + np.argsort(-np.abs(targets[120:]))[:2]
)  # the sharpest bends that the forest was not trained on
shown = pictures[sharp]
explanation = ss.PartitionShap(
    predict, "blur(32,32)", max_evals=500, output_names=["x"]
)(shown)
explanation.plot(roi=np.stack([frames[number].roi for number in sharp]), width=7)

# %% [markdown]
# Values sum to the change of the answer, whatever the budget:

# %%
print(
    "answer",
    explanation.predictions[:, 0].numpy().round(3),
    "all hidden",
    explanation.base_values[:, 0].numpy().round(3),
)
print("sum of values", explanation.values.sum((2, 3, 4))[:, 0].numpy().round(3))

# %% [markdown]
# ## The masker is part of the question
# Blurred, filled in from around, or grey: three meanings of "absent", three answers. Where they agree, the answer does
# not hang on the choice.

# %%
for masker in ("blur(32,32)", "inpaint_diffuse", "mean"):
    found = ss.PartitionShap(predict, masker, max_evals=300)(shown)
    heat = found.heatmap()[:, 0]
    upper, whole = (
        each.sum((1, 2)).numpy().round(3) for each in (heat[:, : SIZE // 2], heat)
    )
    print(f"{masker:16} upper half {upper}, all {whole}")

# %% [markdown]
# ## Check against exact values
# Of a few regions all coalitions can be asked about. `RegionShap` does so: 3 × 3 cells, 512 questions, exact.

# %%
exact = ss.RegionShap(predict, "blur(32,32)", "grid(3,3)").by_region(shown)
cells = ss.PartitionShap(predict, "blur(32,32)", max_evals=1000)(shown).parts(
    exact.labels
)
agreement = np.corrcoef(exact.values.flatten(), cells.values.flatten())[0, 1]
print("exact    ", exact.values[0, 0].numpy().round(3))
print("partition", cells.values[0, 0].numpy().round(3))
print(f"correlation over both pictures: {agreement:.2f}")

# %% [markdown]
# ## Does it need both?
# Two regions may say more together than each alone: the interaction index.

# %%
together = ss.RegionShap(predict, "blur(32,32)", "grid(2,2)").interactions(shown)
print(together.values[0, 0].numpy().round(3))

# %% [markdown]
# An ImageNet classifier is asked in the same way, `predict` being the network on photographs of shape
# (images, height, width, 3):
#
# ```console
# shapsight explain --arch squeezenet1_1 --weights squeezenet1_1.safetensors --classes classes.json egret.jpg \
#   --method partition --masker inpaint_telea --max-evals 500 --outputs top4 --out runs/egret
# ```
#
# More: [which masker](../howto/choices.md#which-masker), [what a budget buys](../partition.md).
