"""What an ImageNet classifier sees, as a black box: Explainer with an image masker, as written for shap.

    SHAPSIGHT_SHARED=../shared python examples/imagenet_black_box.py --out pictures

SHAPSIGHT_SHARED names the folder with data/imagenet50 and models/ (weights of SqueezeNet 1.1 and the names of the
classes). Only the line `import shapsight.compat.shap as shap` would differ with shap.
"""

import argparse
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

import shapsight.compat.shap as shap

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures")
parser.add_argument("--evaluations", type=int, default=5000, help="of the second, finer explanation")
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)
shared = Path(os.environ.get("SHAPSIGHT_SHARED", Path(__file__).parents[2] / "shared"))
os.environ.setdefault("SHAPSIGHT_DATA", str(shared))  # where shap.datasets looks before it downloads

# The model and the data.
weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
model = squeezenet1_1()
model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
model.eval()
X, y = shap.datasets.imagenet50()
with open(shared / "models" / "imagenet_classes.json") as file:
    class_names = json.load(file)


def f(x):
    tmp = x.copy()
    tmp = (tmp / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.no_grad():
        return model(torch.from_numpy(tmp).float().permute(0, 3, 1, 2)).numpy()


# A quick look with few evaluations.
masker = shap.maskers.Image("inpaint_telea", X[0].shape)
explainer = shap.Explainer(f, masker, output_names=class_names)
shap_values = explainer(X[1:3], max_evals=100, batch_size=50, outputs=shap.Explanation.argsort.flip[:4])
print(f"values {shap_values.shape} of {np.array(shap_values.output_names).tolist()}")
shap.image_plot(shap_values, show=False)
plt.savefig(options.out / "imagenet_inpaint.png")
plt.close()

# A finer one, with pixels hidden by blurring.
masker_blur = shap.maskers.Image("blur(128,128)", X[0].shape)
explainer_blur = shap.Explainer(f, masker_blur, output_names=class_names)
shap_values_fine = explainer_blur(
    X[1:3], max_evals=options.evaluations, batch_size=50, outputs=shap.Explanation.argsort.flip[:4]
)
shap.image_plot(shap_values_fine, show=False)
plt.savefig(options.out / "imagenet_blur.png")
plt.close()
print(f"pictures in {options.out}")
