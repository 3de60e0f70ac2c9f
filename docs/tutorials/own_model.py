# %% [markdown]
# # Bring your own model
# You have a network, a transform, and folders of photographs. Nothing of your code changes.

# %%
from pathlib import Path

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

import shapsight as ss
from shapsight.data.rooms import write_world

# %% [markdown]
# ## What you have
# Photographs in a folder for each place, called `X_Y_anything`; (X, Y) is the pixel to drive to. Here they are
# rendered.

# %%
write_world(Path("world"), images_per_room=60, size=64)
(
    sorted(path.name for path in Path("world/images").iterdir()),
    next(Path("world/images/room_1").iterdir()).name,
)

# %% [markdown]
# A network and the transform that it is fed with:

# %%
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 12, 5, stride=2),
    nn.BatchNorm2d(12),
    nn.ReLU(inplace=True),
    nn.Conv2d(12, 24, 5, stride=2),
    nn.BatchNorm2d(24),
    nn.ReLU(inplace=True),
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Linear(384, 2),
)
transform = transforms.Compose(
    [
        transforms.Resize((64, 64)),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.25] * 3),
    ]
)

# %% [markdown]
# ## Wrap it, read the photographs
# `Bundle.wrap` asks the transform about probe pictures, so it knows by itself what the network sees and where that lies
# in a photograph.

# %%
bundle = ss.Bundle.wrap(network, transform, outputs=["x", "y"])
photos = ss.read_dataset("world/images", train_on=["room_1"], roi="world/roi")
for note in (*bundle.notes, *photos.notes):
    print(note)

# %% [markdown]
# ## Your own training
# As ever. `photos.split("train")` is a table of paths and targets.

# %%
train = photos.split("train")
inputs = bundle.prepare(bundle.load(photos, train["path"]))
targets = torch.tensor(train[["x", "y"]].to_numpy(), dtype=torch.float32)
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
network.train()
for _ in range(25):
    for rows in torch.randperm(len(inputs)).split(16):
        loss = nn.functional.mse_loss(network(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"loss {loss:.4f}")

# %% [markdown]
# ## Where does it fail?
# The wrapped network is always asked in eval mode, and left in the mode that it was in.

# %%
bundle = ss.Bundle.wrap(network, transform, outputs=["x", "y"])
found = ss.evaluate(bundle, photos, device="cpu", progress=False)
found.table[["environment", "split", "target", "images", "mse", "mse_low", "mse_high"]]

# %% [markdown]
# ## Which pixels?
# On the photographs' own pixels, by path:

# %%
files = sorted(Path("world/images/room_2").iterdir())[:2]
references = bundle.load(photos, train["path"][:20])
with_references = ss.Bundle.wrap(
    network, transform, outputs=["x", "y"], references=references
)
explanation = ss.explain(with_references, files, "deep", "x")
explanation.plot(width=7)

# %% [markdown]
# ## How much comes from the scene?
# The mask of the track cuts each picture in two, and the values of each part are summed: shares of the prediction, in
# its unit.

# %%
masks = [Path("world/roi/room_2", file.name).with_suffix(".png") for file in files]
tracks = torch.stack(
    [transforms.functional.pil_to_tensor(Image.open(mask))[0] > 127 for mask in masks]
)
for file, (scene, track) in zip(
    files, explanation.parts(tracks.long()).values[:, 0].tolist(), strict=True
):
    print(
        f"{file.name}: of x, {scene:+.2f} comes from the scene and {track:+.2f} from the track"
    )

# %% [markdown]
# Whether that is why it fails elsewhere, [`ss.diagnose(bundle, photos)`](../api/studies.md#shapsight.diagnose) tests,
# as in [the first tutorial](steering.md). More: [your own model](../own_model.md) has what can be wrapped (timm,
# Hugging Face, Keras, ONNX, scikit-learn, functions), and how.
