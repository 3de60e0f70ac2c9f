"""Where the examples of the documentation run: a folder with small pictures and runs, and the names that they use."""

from __future__ import annotations

import ast
import functools
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import captum.attr
import numpy as np
import pandas as pd
import PIL.Image
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import datasets, transforms, tv_tensors
from torchvision.transforms import v2

import shapsight as ss
from discs import WALLS, disc
from shapsight.data.manifest import Manifest
from shapsight.data.remedies.colours import recoloured

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap

SIZE = 128  # of the pictures: examples name row 112
SEEN = 64  # what the networks see of them
CLASSES = ("American egret", "sofa", "cat", "dog", "x", "y")
ROOMS = ("room_1", "room_2", "lockers", "hall")
SMALL = {
    "arch": "small_cnn", "epochs": 1, "image_size": SEEN, "batch_size": 8, "references": 4, "device": "cpu",
    "progress": False,
}  # fmt: skip


RESIZED = transforms.Compose([transforms.Resize((SEEN, SEEN)), transforms.ToTensor()])


class Network(nn.Module):
    """A small network with a layer3, from (N, 3, H, W) to a number for each output."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 4), nn.ReLU())
        self.layer3 = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(32, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer3(self.stem(images)).flatten(1))


class Detector(nn.Module):
    """Finds one thing in each image, always in the same place, and is the surer the brighter it is there."""

    def forward(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        box, label = torch.tensor([[16.0, 16.0, 48.0, 40.0]]), torch.tensor([1])
        return [
            {"boxes": box, "labels": label, "scores": image[:, 16:40, 16:48].mean()[None]} for image in images
        ]


def write_world(folder: Path) -> None:
    """Photographs of four rooms, a table, class folders, bundles and two runs."""
    generator = np.random.default_rng(0)
    for room, wall in zip(ROOMS, (*WALLS.values(), (90, 90, 90)), strict=True):
        (folder / "photos" / room).mkdir(parents=True)
        places = [(112, 98), *generator.integers(20, SIZE - 20, (7, 2)).tolist()]
        for number, (x, y) in enumerate(places):
            noise = generator.integers(0, 24, (SIZE, SIZE, 3))
            picture = np.clip(disc(x, y, SIZE, SIZE, wall) * 0.9 + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / "photos" / room / f"{x}_{y}_{'abcdefgh'[number]}.jpg")
    for name in ("data", "new_photos"):
        (folder / name).symlink_to(folder / "photos")
    for name in ("photographs", "other_photographs"):
        (folder / name).symlink_to(folder / "photos" / "hall")
    files = sorted((folder / "photos").glob("*/*.jpg"))
    for name in ("a.jpg", "b.jpg"):
        Image.open(files[ord(name[0]) - ord("a")]).save(folder / name)
    for name, kept in {"birds/egret": files[:8], "birds/heron": files[8:16]}.items():
        (folder / name).mkdir(parents=True)
        for file in kept:
            (folder / name / file.name).symlink_to(file)
    table = pd.DataFrame({"path": [str(file.relative_to(folder)) for file in files]})
    table["steering"] = np.linspace(-1, 1, len(files))
    table["drive"] = [file.parent.name for file in files]
    table.to_csv(folder / "drives.csv", index=False)
    (folder / "speeds").mkdir()
    for number, file in enumerate(files[:12]):
        (folder / "speeds" / f"{number}_{number / 10}_{number}.jpg").symlink_to(file)
    ss.train(folder / "photos", folder / "runs" / "lockers", train_on=["lockers"], roi="below:112", **SMALL)
    ss.train(folder / "photos", folder / "runs" / "all", train_on="all", roi="below:112", **SMALL)
    ss.load_bundle(folder / "runs" / "lockers" / "model").save(folder / "run" / "model")


@functools.cache
def _pictures() -> torch.Tensor:
    files = sorted(Path("photos").glob("*/*.jpg"))
    shown = np.stack([np.asarray(Image.open(file).convert("RGB").resize((SEEN, SEEN))) for file in files])
    return torch.from_numpy(shown).permute(0, 3, 1, 2).contiguous()


@functools.cache
def _photos() -> Manifest:
    return ss.read_dataset("photos", train_on="lockers", roi="below:112")


@functools.cache
def _explanation(outputs: tuple[str, ...]) -> ss.Explanation:
    images = _pictures().float() / 255
    return ss.DeepShap(network(len(outputs)), images[-4:], output_names=outputs)(images[:6])


def network(outputs: int) -> nn.Module:
    """A trained network, as far as anybody can tell: large answers."""
    torch.manual_seed(0)
    model = Network(outputs).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
    return model


def plain(side: int) -> nn.Module:
    """A network that shap and captum can explain: no module in place, or used twice."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (side // 4) ** 2, 2)
    ).eval()


def names(example: str) -> dict[str, Any]:
    """What the examples of a public name take for given. Models are made anew, so that none sees another's."""
    files = sorted(Path("photos").glob("*/*.jpg"))
    pictures = _pictures()
    pool = pictures.float() / 255
    images = pool[:6].clone()
    roi = torch.zeros(6, SEEN, SEEN, dtype=torch.bool)
    roi[:, SEEN // 2 :] = True
    found = {name: getattr(ss, name) for name in ss.__all__ if name not in ("open", "__version__")}
    for module in (ss.remedies, ss.maskers, ss.trees):
        found |= {name: value for name, value in vars(module).items() if not name.startswith("_")}
    found |= {name: getattr(ss, name) for name in ("remedies", "maskers", "trees")}
    found |= {
        "np": np, "torch": torch, "nn": nn, "v2": v2, "tv_tensors": tv_tensors, "transforms": transforms, "PIL": PIL,
        "ImageFolder": datasets.ImageFolder, "shapsight": small(), "ss": small(),
        "model": network(len(CLASSES)), "network": network(2), "plain": plain(SEEN),
        "bundle": ss.load_bundle("run/model"),
        "images": images, "image": images[0], "references": pool[-4:], "pool": pool, "photos": _photos(),
        "environments": [file.parent.name for file in files], "black": torch.zeros(3, SEEN, SEEN),
        "explanation": _explanation(CLASSES), "roi": roi, "mask": roi[0], "recipe": ss.remedies.read_recipe("flip"),
        "names": [f"class {number}" for number in range(7)],
        "predict": lambda given: given.reshape(len(given), -1, 3)[:, :2000:300].mean(2),
        "photographs": pictures[:2].permute(0, 2, 3, 1).numpy().astype(float),
        "array": pictures[0].permute(1, 2, 0).numpy(),
        "pil_image": Image.open(files[0]).convert("RGB"),
        "transform": RESIZED, "validation_transform": RESIZED,
    }  # fmt: skip
    return found | _given(example, pictures, found)


def _small_vit() -> nn.Module:
    small = {"img_size": SEEN, "embed_dim": 48, "depth": 2, "num_classes": 2}
    return timm.create_model("vit_tiny_patch16_224", **small).eval()


def _given(example: str, pictures: torch.Tensor, found: Mapping[str, Any]) -> dict[str, Any]:
    """Names that mean something else in some examples, or occur in one."""
    two = {"model": found["network"], "explanation": _explanation(("x", "y"))}
    labels = torch.arange(SEEN).repeat(SEEN, 1) // 16
    cat, sofa = torch.zeros(2, SEEN, SEEN, dtype=torch.bool)
    cat[:8], sofa[20:] = True, True
    shown = {"room_1": two["explanation"], "all": two["explanation"]}
    sample = {
        "image": tv_tensors.Image(pictures[0]), "mask": tv_tensors.Mask(found["roi"][0]), "x": 0.2, "y": -0.1,
        "points": ss.remedies.as_points(torch.tensor([0.2, -0.1]), (SEEN, SEEN)), "target": torch.tensor([0.2, -0.1]),
        "images": pictures, "masks": found["roi"][:1].expand(len(pictures), -1, -1), "model": found["network"],
        "environments": torch.arange(len(pictures)) % 4, "criterion": nn.MSELoss(), "seeds": range(len(pictures)),
        "scenes": ss.remedies.Scenes.of(pictures), "recoloured": recoloured,
        "transform": v2.Compose([ss.remedies.Flip()]),
    }  # fmt: skip
    if example.startswith(("gallery", "howto/figures")):
        region = found["mask"].clone()
        return {
            "images": found["images"] if example.startswith("howto") else found["images"][:1],
            "detector": Detector(),
            "segmenter": nn.Conv2d(3, 2, 3, padding=1),
            "region": region,
            "row": 60,
            "column": 48,
            "track": region.repeat(2, 2)[:SIZE],
            "embedding": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "crop": found["images"][1:2],
            "vit": _small_vit(),
            "network_of_bands": nn.Sequential(nn.Conv2d(11, 2, 16), nn.Flatten()),
            "scenes": torch.rand(3, 11, 16, 16),
            "network_of_volumes": nn.Sequential(nn.AvgPool3d((6, 16, 16)), nn.Flatten()),
            "volumes": torch.rand(3, 1, 6, 16, 16),
        }
    if example == "remedies.right_reasons":
        return sample | {"images": found["images"], "masks": found["roi"], "targets": torch.zeros(6, 2)}
    if example.startswith("remedies"):
        return sample
    if example in ("Explanation.select", "Explanation.concatenate"):
        both = _explanation(("American egret", "x"))
        return {
            "explanation": both,
            "wrong": [True, False] * 3,
            "first_half": both[:3],
            "second_half": both[3:],
        }
    if example == "Explanation.from_shap":  # of a network that shap can explain, and few pixels
        small_images = found["images"][:, :, ::4, ::4].contiguous()
        return {"model": plain(16), "x": small_images[:2], "background": small_images[2:], "shap": shap,
                "f": lambda given: given.reshape(len(given), -1)[:, :600:100],
                "photographs": found["photographs"][:, ::4, ::4],
                "masker": shap.maskers.Image("blur(3,3)", (16, 16, 3))}  # fmt: skip
    if example == "Explanation.view":
        return {
            "explanation": two["explanation"][:1],
            "before": two["explanation"],
            "after": two["explanation"],
        }
    if example == "Explanation.from_captum":
        model = found["network"]
        gradients = captum.attr.IntegratedGradients(model)
        a0, a1 = (gradients.attribute(found["images"], target=target) for target in (0, 1))
        return {"model": network(5), "x": found["images"], "IntegratedGradients": captum.attr.IntegratedGradients,
                "a0": a0, "a1": a1}  # fmt: skip
    if example.startswith("Explanation"):
        return two | {"before": shown["room_1"], "after": shown["all"], "cat": cat, "sofa": sofa, "slic_labels": labels,
                      "shap": shap}  # fmt: skip
    if example == "RegionShap":
        cheap = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(48, 2))  # 65,536 coalitions
        return {"labels": labels, "roi": found["mask"], "model": cheap, "images": found["images"][:1]}
    if example == "explain":
        return {
            "photos": pictures[:4],
            "images": found["images"][:1],
            "image": found["pil_image"],
            "network": found["network"],
        }
    if example == "compare":
        return {"before": found["bundle"], "after": found["bundle"]}
    if example == "choose_references":
        return {"images": pictures}
    if example == "Bundle":
        return two
    if example == "maskers.Tokens":
        return {"vit": _small_vit()}
    if example == "read_dataset":
        numbers = np.linspace(-0.9, 0.9, len(pictures))
        rows = [{"image": each.permute(1, 2, 0).numpy(), "x": number, "y": -number, "room": "hall",
                 "mask": found["mask"].numpy()} for each, number in zip(pictures, numbers, strict=True)]  # fmt: skip
        frame = pd.DataFrame({"path": sorted(map(str, Path("photos").glob("*/*.jpg"))), "steering": 0.1})
        return {"torch_dataset": [(row["image"], np.array([row["x"], row["y"]])) for row in rows],
                "rooms": found["environments"],
                "dicts": rows, "frame": frame.assign(night=["day", "night"] * 16, steering=np.linspace(-1, 1, 32)),
                "images": pictures.numpy().transpose(0, 2, 3, 1), "targets": np.linspace(-1, 1, 32)}  # fmt: skip
    return {}


def small() -> Any:
    """shapsight whose trainings are short: one epoch of a small network, where the example does not say."""
    shown = types.SimpleNamespace(**{name: getattr(ss, name) for name in ss.__all__})
    quiet = {"progress": False, "device": "cpu"}
    shown.train = _with(ss.train, SMALL | {"overwrite": True})
    shown.debug = _with(ss.debug, SMALL | {"overwrite": True, "explain": 2})
    shown.training = _with(ss.training, {key: SMALL[key] for key in ("image_size", "batch_size", "device")})
    shown.check = _with(ss.check, {"progress": False})
    shown.evaluate = _with(ss.evaluate, quiet)
    shown.diagnose = _with(ss.diagnose, quiet | {"images": 4, "references": 2})
    shown.compare = _with(ss.compare, quiet | {"explain": 2})
    return shown


def _with(function: Any, defaults: Mapping[str, Any]) -> Any:
    """A function with other defaults, which still refuses what the real one refuses."""

    @functools.wraps(function)
    def called(*arguments: Any, **given: Any) -> Any:
        return function(*arguments, **(defaults | given))

    return called


def statements(code: str) -> Iterator[tuple[str, Any]]:
    """Each statement of an example: its text, and what `exec` takes."""
    for node in ast.parse(code).body:
        yield ast.get_source_segment(code, node) or "", compile(ast.Module([node], []), "<example>", "exec")
