# %% [markdown]
# # Fashion-MNIST with DeepSHAP
# Which pixels make a shirt a shirt? A small network in functional style (`F.relu`, dropout between), explained as
# it is.
#
# The data are the four files of Fashion-MNIST, where Debian's package `dataset-fashion-mnist` puts them, or where
# `SHAPSIGHT_FASHION_MNIST` says.

# %%
import gzip
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import shapsight as ss

FOLDER = Path(
    os.environ.get("SHAPSIGHT_FASHION_MNIST", "/usr/share/datasets/fashion-mnist")
)
NAMES = [
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
]


def read(name, header):
    with gzip.open(FOLDER / name) as file:
        return torch.from_numpy(
            np.frombuffer(file.read(), np.uint8, offset=header).copy()
        )


train_images = (
    read("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:12000].float() / 255
)
train_labels = read("train-labels-idx1-ubyte.gz", 8)[:12000].long()
test_images = (
    read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:1000].float() / 255
)
test_labels = read("t10k-labels-idx1-ubyte.gz", 8)[:1000].long()


# %%
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.dropout(F.relu(self.fc1(x.flatten(1))), training=self.training)
        return self.fc2(x)


torch.manual_seed(0)
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(3):
    for rows in torch.randperm(len(train_images)).split(64):
        loss = F.cross_entropy(model(train_images[rows]), train_labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
model.eval()
with torch.no_grad():
    print(
        f"right: {(model(test_images).argmax(1) == test_labels).float().mean():.0%} of 1,000"
    )

# %% [markdown]
# ## References
# A value answers "compared with what?". Here: with the training images. 25 chosen ones stand for 1,000, so that their
# mean of what the network sees is that of all.

# %%
chosen = ss.choose_references(model, train_images[:1000], 25)

# %% [markdown]
# ## Explain
# The first image of some classes, and the three likeliest classes of each. Red pixels speak for a class, blue ones
# against it. Missing pixels count, too: that a trouser leaves its middle empty is evidence.

# %%
first = [int((test_labels == label).nonzero()[0]) for label in (1, 5, 6, 8)]
explanation = ss.DeepShap(model, chosen, output_names=NAMES)(
    test_images[first], outputs=ss.TopK(3)
)
explanation.plot(true_labels=[NAMES[test_labels[number]] for number in first], width=8)

# %% [markdown]
# ## Check the sum
# The values of each heatmap sum to what the network says, less what it says of the references on average.

# %%
missing = explanation.completeness_gap.abs().max()
change = (explanation.predictions - explanation.base_values).abs().max()
print(f"missing: {missing:.0e}, of changes up to {change:.0f}")

# %% [markdown]
# ## Sum over parts
# What do the upper and the lower half say? Sums need no noise to be averaged away: they are exact shares.

# %%
halves = torch.zeros(28, 28, dtype=torch.long)
halves[14:] = 1
for image, values in enumerate(explanation.parts(halves).values):
    print(
        f"{explanation.name_of(image, 0):8} upper half {values[0, 0]:+6.2f}, lower half {values[0, 1]:+6.2f}"
    )

# %% [markdown]
# ## How sure are the values?
# `std_errors` say how far a value may be off because 25 references stand for 1,000.

# %%
share = explanation.std_errors.mean() / explanation.values.abs().mean()
print(f"standard error of a single pixel: {share:.0%} of the mean absolute value")

# %% [markdown]
# The whole study in one command, with a trained network, errors by class and a page:
#
# ```console
# shapsight debug idx:/usr/share/datasets/fashion-mnist \
#   --task classification --out runs/fashion
# ```
