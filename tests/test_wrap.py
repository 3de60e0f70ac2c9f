"""`Bundle.wrap`: a user's own model, of any kind, with its own transform, asked as its owner would ask it."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torchvision import models, transforms
from torchvision.models import SqueezeNet1_1_Weights

import shapsight as ss
from shapsight.attribution.explain import attributions
from shapsight.errors import DataError, ExplainerError, ModelError

T48 = transforms.Compose(
    [
        transforms.Resize((40, 48)),
        transforms.ToTensor(),
        transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
    ]
)


def small(outputs: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()]
    return nn.Sequential(*body, nn.Dropout(0.5), nn.Linear(54, outputs)).eval()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[Path]:
    """Three photographs of other sizes."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    paths = []
    for number, (height, width) in enumerate([(60, 80), (90, 70), (64, 64)]):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3)).astype(np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        paths.append(folder / f"{number}.png")
    return paths


def asked_by_hand(model: nn.Module, transform, paths: list[Path]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(transform(Image.open(path).convert("RGB"))[None]) for path in paths])


def test_predictions_are_those_of_the_model_and_the_transform_themselves(photographs):
    model = small()
    bundle = ss.Bundle.wrap(model, T48, outputs=["x", "y"])
    torch.testing.assert_close(bundle.predict(photographs), asked_by_hand(model, T48, photographs))
    assert bundle.card.output_names == ("x", "y")
    assert bundle.card.task == "regression"
    assert bundle.seen.size == (40, 48)


def test_a_model_in_training_is_asked_in_eval_mode_and_left_in_training(photographs):
    model = small().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    bundle = ss.Bundle.wrap(model, T48, outputs=["x", "y"], references=photographs)
    predictions = bundle.predict(photographs)
    found = ss.explain(bundle, photographs[0])
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    torch.testing.assert_close(predictions, asked_by_hand(model.eval(), T48, photographs))
    torch.testing.assert_close(found.predictions, predictions[:1])


def test_an_explanation_lies_on_the_image_and_is_complete(photographs):
    bundle = ss.Bundle.wrap(small(), T48, outputs=["x", "y"], references=photographs[1:])
    found = ss.explain(bundle, photographs[0], outputs="y")
    assert found.values.shape == (1, 1, 3, 60, 80)
    sums = found.values.sum((2, 3, 4))
    torch.testing.assert_close(sums, found.predictions - found.base_values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.base_values[0], bundle.predict(photographs[1:]).mean(0)[1:])
    assert found.names() == [["y"]]


class Head(nn.Module):
    """Gives a dict, as networks with an auxiliary head do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pose": self.net(images), "aux": images.mean()}


def test_a_part_of_a_dict_is_meant_by_output(photographs):
    bundle = ss.Bundle.wrap(Head(), T48, outputs=["x", "y"], output="pose", references=photographs)
    expected = asked_by_hand(small(), T48, photographs)
    torch.testing.assert_close(bundle.predict(photographs), expected)
    assert float(ss.explain(bundle, photographs[0]).completeness_gap.abs().max()) < 1e-5
    with pytest.raises(ModelError, match="'pose', 'aux'; say with output="):
        ss.Bundle.wrap(Head(), T48, outputs=["x", "y"])


def test_a_function_of_arrays_gets_what_the_transform_made_and_is_explained_by_asking(photographs):
    model = small()

    def function(images: np.ndarray) -> np.ndarray:
        assert images.shape[1:] == (3, 40, 48)
        return model(torch.from_numpy(images)).detach().numpy()

    bundle = ss.Bundle.wrap(function, T48, outputs=["x", "y"], references=photographs)
    same = ss.Bundle.wrap(model, T48, outputs=["x", "y"])
    torch.testing.assert_close(bundle.predict(photographs), same.predict(photographs))
    assert not bundle.has_gradients
    assert any("PartitionSHAP" in note for note in bundle.notes)
    found = attributions(bundle, bundle.pictures(photographs[:1]), "x")
    assert found.method == "PartitionSHAP"
    behind = same.predict(photographs).mean(0)
    torch.testing.assert_close(found.base_values[0], behind[:1], atol=1e-5, rtol=1e-4)
    with pytest.raises(ExplainerError, match="can only be asked"):
        ss.explain(bundle, photographs[0], "deep")


def test_two_functions_have_other_fingerprints_and_the_same_one_has_the_same():
    one, other = (
        ss.Bundle.wrap(lambda images, n=n: images.mean((1, 2, 3))[:, None] * n, T48, outputs=["x"])
        for n in (1, 2)
    )
    assert one.fingerprint == one.fingerprint != other.fingerprint


def test_keras_gets_channels_last_and_probabilities_stay_probabilities(photographs):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = importlib.import_module("keras")
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3),
        keras.layers.GlobalAveragePooling2D(),
    ]
    model = keras.Sequential([keras.layers.Input((32, 48, 3)), *layers, keras.layers.Dense(2, "softmax")])
    resized = lambda image: np.asarray(image.resize((48, 32)), np.float32)  # noqa: E731
    bundle = ss.Bundle.wrap(model, resized, outputs=["cat", "dog"])
    arrays = np.stack([resized(Image.open(path)) for path in photographs])
    expected = model(arrays).detach()
    torch.testing.assert_close(bundle.predict(photographs), expected)
    assert (bundle.card.task, bundle.card.answers) == ("classification", "probabilities")
    torch.testing.assert_close(bundle.probabilities(bundle.predict(photographs)), expected)


def test_an_onnx_session_answers_as_the_network_that_it_was_exported_from(photographs, tmp_path):
    helper = onnx.helper
    weights = np.random.default_rng(0).normal(size=(3 * 40 * 48, 2)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["row"]), helper.make_node("MatMul", ["row", "w"], ["scores"])
    ]  # fmt: skip
    kinds = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", ["n", 3, 40, 48]), ("scores", ["n", 2]))
    ]
    graph = helper.make_graph(nodes, "g", kinds[:1], kinds[1:], [onnx.numpy_helper.from_array(weights, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    made.ir_version = 8
    onnx.save(made, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    bundle = ss.Bundle.wrap(session, T48, outputs=["x", "y"])
    prepared = torch.stack([T48(Image.open(path)) for path in photographs])
    expected = prepared.flatten(1) @ torch.from_numpy(weights)
    torch.testing.assert_close(bundle.predict(photographs), expected, atol=1e-2, rtol=1e-4)


def test_a_pipeline_of_scikit_learn_is_asked_for_probabilities_and_knows_its_classes(photographs):
    rows = np.random.default_rng(0).random((60, 14 * 14))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    pipeline.fit(rows, np.array(["cat", "dog", "hen"])[np.arange(60) % 3])
    grey = lambda image: np.asarray(image.convert("L").resize((14, 14)), np.float32) / 255  # noqa: E731
    bundle = ss.Bundle.wrap(pipeline, grey)
    expected = pipeline.predict_proba(np.stack([grey(Image.open(path)).ravel() for path in photographs]))
    np.testing.assert_allclose(bundle.predict(photographs).numpy(), expected, atol=1e-5)
    assert bundle.card.class_names == ("cat", "dog", "hen")


def test_torchvisions_weights_bring_transform_and_names(photographs):
    bundle = ss.Bundle.wrap(models.squeezenet1_1(), SqueezeNet1_1_Weights.DEFAULT)
    assert len(bundle.card.class_names) == 1000
    assert bundle.card.class_names[0] == "tench"
    preset = SqueezeNet1_1_Weights.DEFAULT.transforms()
    expected = asked_by_hand(bundle.model.eval(), preset, photographs)
    torch.testing.assert_close(bundle.predict(photographs), expected, atol=1e-4, rtol=1e-4)


def test_timm_and_hugging_face_models_come_back_from_a_folder(photographs, tmp_path):
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=3)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    bundles = {
        "timm": ss.Bundle.wrap(timm.create_model("test_resnet", num_classes=2), outputs=["x", "y"]),
        "vit": ss.Bundle.wrap(transformers.ViTForImageClassification(config), processor, references=photographs),
        "by name": ss.Bundle.wrap(models.squeezenet1_1(num_classes=2), "torchvision.transforms.functional:to_tensor",
                                  outputs=["x", "y"], size=(40, 40), arch="squeezenet1_1", scales={"x": "0:9:m"}),
    }  # fmt: skip
    square = [Image.open(path).resize((40, 40)) for path in photographs]
    for name, bundle in bundles.items():
        again = ss.load_bundle(bundle.save(tmp_path / name))
        torch.testing.assert_close(again.predict(square), bundle.predict(square))
        assert again.card.output_names == bundle.card.output_names
        assert torch.equal(again.references, bundle.references)
        assert again.fingerprint == bundle.fingerprint
    assert bundles["vit"].card.class_names == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert json.loads((tmp_path / "by name" / "card.json").read_text())["scales"] == {"x": [0.0, 9.0, "m"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "transform is no name|this one is an object of your program: pass it by name"),
        ({"transform": "no_such_module:t"}, "cannot be imported"),
        ({"transform": "torchvision.transforms.functional:to_tensor", "size": (40, 48)}, "can be made again.*arch="),
        ({"transform": "torchvision.transforms.functional:to_tensor", "size": (40, 48), "arch": "squeezenet1_1"},
         "makes another network"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_made_again_cannot_be_saved_and_it_is_said_what_to_give(
    options, message, tmp_path
):
    with pytest.raises(ModelError, match=message):
        ss.Bundle.wrap(small(), **{"transform": T48, "outputs": ["x", "y"], **options}).save(
            tmp_path / "bundle"
        )
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (small(), {"outputs": ["x"]}, "has 2 outputs, and outputs= names 1"),
        (small(), {"outputs": "xy"}, "give a list"),
        (small(), {"outputs": ["x", "x"]}, "more than once"),
        (small().half(), {}, "is in float16.*float"),
        (small().to("meta"), {}, "meta"),
        (small().double(), {}, "is in float64.*float"),
        (small(1), {"outputs": ["cat"], "task": "classification"}, "one for each class"),
        (3, {}, "a int is no model"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), {}, r"fails on images of \(3, 40, 48\)"),
        (lambda images: images.mean((1, 2, 3)) * np.nan, {}, "NaN"),
        (small(), {"transform": None}, "size=224"),
        (small(), {"transform": 3}, "cannot be called"),
        (small(), {"scales": {"z": "0:1:m"}}, "'z'"),
        (small(), {"task": "ranking"}, "'ranking'"),
    ],
)  # fmt: skip
def test_what_cannot_be_wrapped_says_why(model, options, message):
    with pytest.raises((ModelError, DataError, ExplainerError), match=message):
        ss.Bundle.wrap(model, **{"transform": T48, **options})


def test_a_bundle_without_references_says_how_to_give_some(photographs):
    bundle = ss.Bundle.wrap(small(), T48, outputs=["x", "y"])
    with pytest.raises(ModelError, match="references=photos"):
        ss.explain(bundle, photographs[0], "deep")
    given = ss.explain(bundle, photographs[0], "deep", references=photographs[1:])
    expected = ss.explain(
        ss.Bundle.wrap(small(), T48, outputs=["x", "y"], references=photographs[1:]), photographs[0], "deep"
    )
    torch.testing.assert_close(given.values, expected.values)


@pytest.mark.shared
def test_the_egret_is_known_from_its_file_in_its_own_size(shared):
    network = models.squeezenet1_1()
    weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    folder = shared / "data" / "imagenet50"
    pool = sorted(folder.glob("*.jpg"))[:8]
    bundle = ss.Bundle.wrap(network, SqueezeNet1_1_Weights.DEFAULT, references=pool)
    found = ss.explain(bundle, folder / "sim_n02010272_1613.jpg", outputs=ss.TopK(1))
    assert found.names() == [["American egret"]]
    assert found.values.shape[3:] == (500, 500)
    assert found.settings["seen"][0] > 0  # the transform crops


def test_every_explainer_takes_a_bundle_and_images_of_any_kind(photographs):
    bundle = ss.Bundle.wrap(small(), T48, outputs=["x", "y"], references=photographs)
    seen = bundle.pictures(photographs[:2])
    by_hand = {
        ss.DeepShap: ss.DeepShap(bundle.model, bundle.prepared_references())(bundle.prepare(seen)),
        ss.GradientShap: ss.GradientShap(bundle.model, bundle.prepared_references())(bundle.prepare(seen)),
        ss.PartitionShap: ss.PartitionShap(bundle.on_pictures, "mean", max_evals=30)(seen),
        ss.RegionShap: ss.RegionShap(bundle.on_pictures, "mean", "grid(2,2)")(seen),
    }
    arguments = {ss.PartitionShap: ("mean",), ss.RegionShap: ("mean", "grid(2,2)")}
    for kind, expected in by_hand.items():
        options = {"max_evals": 30} if kind is ss.PartitionShap else {}
        found = kind(bundle, *arguments.get(kind, ()), **options)(photographs[:2])
        torch.testing.assert_close(found.values, expected.values)
        assert found.output_names == ("x", "y")
        assert torch.equal(found.images, seen.float() / 255)


class OneNumber(nn.Module):
    """A network of one number for each image, in whatever form."""

    def __init__(self, form) -> None:
        super().__init__()
        self.network, self.form = small(1), form

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.form(self.network(images))


@pytest.mark.parametrize(
    "form",
    [lambda rows: rows.squeeze(1), lambda rows: rows[:, 0], lambda rows: rows.squeeze()],
    ids=["squeeze(1)", "column", "squeeze()"],
)
def test_a_model_of_one_number_for_each_image_is_explained_as_one_of_a_column(form, photographs):
    found = [
        ss.explain(
            ss.Bundle.wrap(model, T48, outputs=["s"], references=photographs),
            photographs[:count],
            on_image=False,
        )
        for model in (OneNumber(form).eval(), small(1))
        for count in (1, 2)
    ]
    torch.testing.assert_close(found[0].values, found[2].values)
    torch.testing.assert_close(found[1].values, found[3].values)


class Restless(nn.Module):
    """Drops half of what it is given, whatever its mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(nn.functional.dropout(images, 0.5))


def test_a_model_that_is_random_in_eval_mode_is_refused():
    with pytest.raises(ModelError, match=r"differently each time.*training=self\.training"):
        ss.Bundle.wrap(Restless(), T48, outputs=["x", "y"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 20, 24), np.uint8), "channels were first"),
        (torch.zeros(20, 24, 3, dtype=torch.uint8), "channels were last"),
    ],
)
def test_an_image_with_its_channels_at_the_other_end_is_not_taken_for_several(image, message):
    with pytest.raises(ss.ShapsightError, match=message):
        ss.Bundle.wrap(small(), T48, outputs=["x", "y"]).predict(image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": "huggingface:AutoConfig"}, "has no model AutoConfig"),
        (
            {"preprocessing": {"huggingface": {"class": "AutoConfig", "config": {}}}},
            "no image processor 'AutoConfig'",
        ),
        ({"preprocessing": {"import": "no_such_module:name"}}, "cannot be imported"),
    ],
)
def test_a_card_that_names_something_else_than_a_model_or_a_transform_is_refused(tmp_path, changes, message):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    config = transformers.ViTConfig(**sizes, image_size=16, patch_size=8, num_labels=2)
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16})
    folder = ss.Bundle.wrap(transformers.ViTForImageClassification(config), processor).save(tmp_path / "vit")
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    with pytest.raises(ModelError, match=message):
        ss.load_bundle(folder)
