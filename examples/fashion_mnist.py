"""Which pixels make a shirt: a small CNN on Fashion-MNIST, DeepExplainer with 100 references, as written for shap.

    SHAPSIGHT_DATA=folder python examples/fashion_mnist.py --out pictures

The folder holds the four files of Fashion-MNIST, such as train-images-idx3-ubyte.gz. Debian's package
dataset-fashion-mnist installs them (`dpkg -L dataset-fashion-mnist` says where); elsewhere they are downloaded. The
network is written twice, from modules and in functional style; `shap` would explain only the first.
"""

import argparse
import gzip
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import shapsight.compat.shap as shap

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--out", type=Path, default=Path(), help="folder for the pictures")
parser.add_argument("--train", type=int, default=60000, help="images to train on")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--references", type=int, default=100)
parser.add_argument("--images", type=int, default=4)
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)

SOURCE = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


def read(name, header):
    with gzip.open(shap.datasets.cache(SOURCE + name)) as file:
        return torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=header).copy())


train_images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[: options.train].float() / 255
train_labels = read("train-labels-idx1-ubyte.gz", 8)[: options.train].long()
test_images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).float() / 255
test_labels = read("t10k-labels-idx1-ubyte.gz", 8).long()


class FromModules(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_layers = nn.Sequential(
            nn.Conv2d(1, 10, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, kernel_size=5),
            nn.Dropout(),
            nn.MaxPool2d(2),
            nn.ReLU(),
        )
        self.fc_layers = nn.Sequential(nn.Linear(320, 50), nn.ReLU(), nn.Dropout(), nn.Linear(50, 10))

    def forward(self, x):
        x = self.conv_layers(x)
        x = x.view(-1, 320)
        return self.fc_layers(x)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 320)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


for network in (FromModules, Functional):
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(options.epochs):
        for rows in torch.randperm(len(train_images)).split(64):
            loss = F.cross_entropy(model(train_images[rows]), train_labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()

    background = train_images[torch.randperm(len(train_images))[: options.references]]
    images, labels = test_images[: options.images], test_labels[: options.images]
    e = shap.DeepExplainer(model, background)
    shap_values = e.shap_values(images)

    with torch.no_grad():
        predictions = model(images).numpy()
    sums = np.array([values.sum((1, 2, 3)) for values in shap_values]).T
    missing = np.abs(sums + e.expected_value - predictions).max()
    print(
        f"{network.__name__}: accuracy {accuracy:.3f}, {len(shap_values)} outputs of {shap_values[0].shape}, "
        f"sums differ from the predictions by at most {missing:.1e}"
    )

    shap_numpy = [np.swapaxes(np.swapaxes(s, 1, -1), 1, 2) for s in shap_values]
    test_numpy = np.swapaxes(np.swapaxes(images.numpy(), 1, -1), 1, 2)
    shap.image_plot(
        shap_numpy, -test_numpy, labels=NAMES, true_labels=[NAMES[label] for label in labels], show=False
    )
    plt.savefig(options.out / f"fashion_mnist_{network.__name__.lower()}.png")
    plt.close()

    # The three likeliest classes of each image.
    shap_values, indexes = e.shap_values(images, ranked_outputs=3)
    shap_numpy = [s.transpose(0, 2, 3, 1) for s in shap_values]
    index_names = np.vectorize(lambda number: NAMES[number])(indexes)
    shap.image_plot(shap_numpy, -test_numpy, index_names, show=False)
    plt.savefig(options.out / f"fashion_mnist_{network.__name__.lower()}_ranked.png")
    plt.close()
print(f"pictures in {options.out}")
