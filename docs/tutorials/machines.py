# %% [markdown]
# # A data set on several machines
# Explaining ten thousand photographs takes hours, so it is shared out, stopped, and goes on. Everything ends in one
# store on disk, from which single explanations are read when they are wanted. Here two "machines" are two calls.

# %%
import subprocess
import sys
from pathlib import Path

import torch
from IPython.display import display
from torch import nn

import shapsight as ss
from shapsight.data.rooms import write_world

SIZE = 64
write_world(Path("world"), images_per_room=12, size=SIZE)
photos = ss.read_dataset("world/images", train_on=["room_1"])
photos.table.groupby("environment").size()

# %% [markdown]
# ## A model whose answer is known
# It compares the right with the left of the lower half of the picture. What stands above has no say, so the upper half
# must come out with 0 in every image of the data set.


# %%
class Lower(nn.Module):
    """How much brighter the lower half is on the right than on the left."""

    def forward(self, images):
        left, right = images[..., SIZE // 2 :, :].mean((1, 2)).chunk(2, dim=1)
        return torch.relu(right.mean(1) - left.mean(1) + 0.2)[:, None]


references = sorted(Path("world/images/room_1").iterdir())[:8]
bundle = ss.Bundle.wrap(
    Lower(), size=SIZE, outputs=["x"], task="regression", references=references
)

# %% [markdown]
# ## Each machine its shard
# `shard="1/2"` is the first of two. With a common disk all write into one store; here each has a store of its own. The
# first machine is stopped after four images and started again, with the same call: what is finished stays.

# %%
how = {
    "method": "deep",
    "roi": f"below:{SIZE // 2}",
    "device": "cpu",
    "progress": False,
}
for limit in (4, None):
    found = ss.explain_dataset(
        bundle, photos, store="machine_1.zarr", shard="1/2", limit=limit, **how
    )
    print(len(ss.open_store("machine_1.zarr")), "images finished")
found = ss.explain_dataset(bundle, photos, store="machine_2.zarr", shard="2/2", **how)
print(found.headline)

# %% [markdown]
# In a Slurm array the command is `shapsight explain ... --store all.zarr --shard $((SLURM_ARRAY_TASK_ID + 1))/8`.
#
# ## One store of both

# %%
merge = ["store", "merge", "all.zarr", "machine_1.zarr", "machine_2.zarr"]
print(
    subprocess.run(
        [sys.executable, "-m", "shapsight", *merge],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
)

# %%
store = ss.open_store("all.zarr")
store

# %% [markdown]
# ## Ask all of it
# `store.outputs` has a row for each image and output, with what the region of interest and the scene contribute:

# %%
store.outputs[["path", "prediction", "base_value", "part_scene", "part_region"]].head()

# %%
print(f"largest share of the upper half: {store.outputs['part_scene'].abs().max():.1e}")

# %% [markdown]
# Single images are read when they are asked for: those of room_2 that the model drives furthest to the right.

# %%
in_room_2 = store.select(environment="room_2")
rightmost = in_room_2.outputs["prediction"].to_numpy().argsort()[-2:]
for number in rightmost.tolist():
    display(in_room_2[number].plot(width=6))

# %% [markdown]
# [Whole data sets](../datasets.md) has the rest: several processes and cards on a machine, damaged files, what a store
# costs, and reading it as an xarray.
