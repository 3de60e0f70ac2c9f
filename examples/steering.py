"""Which pixels steer a car: a ResNet-18 with two outputs, DeepExplainer and GradientExplainer, as written for shap.

    SHAPSIGHT_SHARED=../shared python examples/steering.py --out pictures

SHAPSIGHT_SHARED names the folder with data/jetracer_office: photographs called X_Y_UUID.jpg, where (X, Y) is the pixel
to drive to. The network is trained on them for a few minutes. Only the line `import shapsight.compat.shap as shap`
would differ with shap (and shap stops at the ResNet's in-place ReLUs).
"""

import argparse
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import models, transforms

import shapsight.compat.shap as shap

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--references", type=int, default=40)
parser.add_argument("--images", type=int, default=3)
parser.add_argument("--samples", type=int, default=160, help="of GradientExplainer, for each image")
parser.add_argument("--size", type=int, default=224, help="pixels a side")
options = parser.parse_args()
torch.manual_seed(0)

# The photographs, and the pixel to drive to as two numbers from -1 to 1.
folder = (
    Path(os.environ.get("SHAPSIGHT_SHARED", Path(__file__).parents[2] / "shared"))
    / "data"
    / "jetracer_office"
)
files = sorted(folder.glob("*/*.jpg"))
to_tensor = transforms.Compose([transforms.Resize((options.size, options.size)), transforms.ToTensor()])
normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
photographs = torch.stack([to_tensor(Image.open(file).convert("RGB")) for file in files])
images = normalize(photographs)
points = torch.tensor([[float(part) for part in file.name.split("_")[:2]] for file in files])
targets = points / 112 - 1
order = torch.randperm(len(images))
held_out, train = order[: options.images], order[options.images :]

# A torchvision network, trained as usual.
model = models.resnet18(weights=None)
model.fc = nn.Linear(512, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(options.epochs):
    model.train()
    shuffled = train[torch.randperm(len(train))]
    losses = []
    for rows in shuffled.split(16):
        loss = nn.functional.mse_loss(model(images[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch + 1}: mean squared error {np.mean(losses):.4f}")
model.eval()

background = images[train[: options.references]]
test_images = images[held_out]
pixels = photographs[held_out].permute(0, 2, 3, 1).numpy()
options.out.mkdir(parents=True, exist_ok=True)

# DeepExplainer
explainer = shap.DeepExplainer(model, background)
shap_values = explainer.shap_values(test_images)
shap_numpy = np.array(shap_values).transpose(0, 1, 3, 4, 2)
with torch.no_grad():
    predictions = model(test_images).numpy()
missing = np.abs(shap_numpy.sum((2, 3, 4)).T + explainer.expected_value - predictions).max()
print(f"DeepExplainer: values {shap_numpy.shape}, sums differ from the predictions by at most {missing:.1e}")
shap.image_plot(list(shap_numpy), pixels, labels=["x", "y"], show=False)
plt.savefig(options.out / "steering_deep.png")
plt.close()

# GradientExplainer
explainer = shap.GradientExplainer(model, background)
shap_values = explainer.shap_values(test_images, nsamples=options.samples)
shap_numpy = np.array(shap_values).transpose(0, 1, 3, 4, 2)
print(f"GradientExplainer: values {shap_numpy.shape}")
shap.image_plot(list(shap_numpy), pixels, labels=["x", "y"], show=False)
plt.savefig(options.out / "steering_gradient.png")
plt.close()
print(f"pictures in {options.out}")
