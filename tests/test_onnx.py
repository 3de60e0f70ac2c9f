"""ONNX files as models: networks of PyTorch where they answer as onnxruntime does, functions elsewhere."""

import contextlib
import io
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import shapsight as ss
from shapsight.cli import app
from shapsight.errors import MissingDependency, ModelError
from shapsight.models import onnx_file
from shapsight.models.functions import Asked
from shapsight.studies.shared.subject import opened

SIZE = 32
IMAGES = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
REFERENCES = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def lively(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            deviation = 0.3 if parameter.dim() < 2 else parameter[0].numel() ** -0.5 * 1.5
            parameter.normal_(0, deviation, generator=generator)
    return model.eval()


def convolutions() -> nn.Module:
    body = [
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Hardswish(),
    ]
    return lively(
        nn.Sequential(*body, nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    )


def transformer() -> nn.Module:
    sizes = {"img_size": SIZE, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 3}
    return lively(timm.models.VisionTransformer(**sizes))


NETWORKS = {"convolutions": convolutions, "transformer": transformer}
EXPORTS = {
    "the default": {},  # a batch of one
    "any batch": {"dynamic_shapes": ({0: "images"},)},
    "the old exporter": {"dynamo": False, "opset_version": 17, "dynamic_axes": {"images": {0: "n"}}},
    "the old exporter, one image": {"dynamo": False, "opset_version": 16},
}


def exported(model: nn.Module, path, **options):
    rows = 2 if "dynamic_shapes" in options else 1
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(model, (IMAGES[:rows],), path, input_names=["images"], verbose=False, **options)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    made = {}

    def file(network: str, export: str):
        if (network, export) not in made:
            (folder / f"{len(made)}").mkdir()
            path = folder / f"{len(made)}" / f"{network}.onnx"
            made[network, export] = exported(NETWORKS[network](), path, **EXPORTS[export])
        return made[network, export]

    return file


def of_onnxruntime(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return torch.cat([torch.from_numpy(session.run(None, {name: one[None].numpy()})[0]) for one in images])


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_deepshap_on_an_onnx_file_is_exact_and_what_it_is_on_the_network_it_was_exported_from(
    files, network, export
):
    path = files(network, export)
    bundle = ss.Bundle.wrap(path, outputs=["a", "b", "c"])
    assert "runs as a network of PyTorch" in bundle.notes[0]
    found = ss.DeepShap(bundle.model, REFERENCES)(IMAGES)
    predictions, base = of_onnxruntime(path, IMAGES), of_onnxruntime(path, REFERENCES).mean(0)
    torch.testing.assert_close(found.values.sum((2, 3, 4)), predictions - base, rtol=1e-4, atol=1e-5)
    if network == "convolutions":  # the exporter may write a network's norms and gates in parts
        original = ss.DeepShap(NETWORKS[network](), REFERENCES)(IMAGES)
        torch.testing.assert_close(found.values, original.values, rtol=1e-3, atol=1e-5)


def graph(
    nodes, path, weights=(), shape=("n", 3, SIZE, SIZE), kind=TensorProto.FLOAT, outputs=("y",), opset=18
):
    """A file of a few nodes from x to y."""
    given = helper.make_tensor_value_info("x", kind, shape)
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", 3)) for name in outputs]
    content = helper.make_graph(nodes, "g", [given], made, list(weights))
    domains = [helper.make_opsetid("", opset)] + [
        helper.make_opsetid(domain, 1) for domain in {node.domain for node in nodes} - {""}
    ]
    onnx.save(helper.make_model(content, opset_imports=domains, ir_version=10), path)
    return path


def mean(name="x", axes=(2, 3), output="y"):
    """Nodes and weights that make the mean over some axes."""
    node = helper.make_node("ReduceMean", [name, "axes"], [output], keepdims=0)
    return node, numpy_helper.from_array(np.array(axes), "axes")


def test_an_operator_that_is_not_known_is_named_and_the_file_asked_through_onnxruntime(tmp_path):
    node, axes = mean(output="z")
    path = graph([node, helper.make_node("Hardmax", ["z"], ["h"]), helper.make_node("Add", ["z", "h"], ["y"])],
                 tmp_path / "m.onnx", [axes])  # fmt: skip
    bundle = ss.Bundle.wrap(path, size=SIZE, outputs=["r", "g", "b"], task="regression")
    assert isinstance(bundle.model, Asked)
    assert "the operator Hardmax of opset 18; another opset may do" in bundle.notes[0]
    picture = (IMAGES[:1] * 255).to(torch.uint8)
    means = (picture.float() / 255).mean((2, 3))
    torch.testing.assert_close(bundle.predict(picture), means + nn.functional.one_hot(means.argmax(1), 3))
    found = ss.explain(bundle, picture, outputs="g", max_evals=20, masker="mean")
    assert found.method == "PartitionSHAP"


def test_a_network_that_answers_otherwise_is_not_trusted(tmp_path):
    scales = numpy_helper.from_array(np.array([1, 1, 0.25, 0.25], np.float32), "scales")
    resized = helper.make_node("Resize", ["x", "", "scales"], ["s"], mode="linear", antialias=1)
    largest = helper.make_node("ReduceMax", ["s", "axes"], ["y"], keepdims=0)
    path = graph([resized, largest], tmp_path / "m.onnx", [scales, mean()[1]])
    bundle = ss.Bundle.wrap(path, size=SIZE, task="regression")
    assert not bundle.has_gradients
    assert "answers otherwise" in bundle.notes[0]
    picture = (IMAGES * 255).to(torch.uint8)
    torch.testing.assert_close(bundle.predict(picture), of_onnxruntime(path, picture.float() / 255))


def test_channels_last_half_precision_and_bytes_are_fed_as_the_file_says(tmp_path):
    picture = (IMAGES * 255).to(torch.uint8)
    means = (picture.float() / 255).mean((2, 3))
    node, axes = mean(axes=(1, 2))
    last = ss.Bundle.wrap(
        graph([node], tmp_path / "last.onnx", [axes], ("n", SIZE, SIZE, 3)), task="regression"
    )
    assert last.has_gradients
    torch.testing.assert_close(last.predict(picture), means)

    node, axes = mean("f")
    cast = helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)
    for kind, said, scale in ((TensorProto.FLOAT16, "float16", 1), (TensorProto.UINT8, "uint8", 255)):
        path = graph([cast, node], tmp_path / f"{said}.onnx", [axes], ("n", 3, SIZE, SIZE), kind)
        bundle = ss.Bundle.wrap(path, task="regression")
        assert f"it takes {said}" in bundle.notes[0]
        torch.testing.assert_close(bundle.predict(picture), means * scale, rtol=1e-3, atol=1e-3)


def test_one_of_several_outputs_is_meant_by_its_name_or_place(tmp_path):
    node, axes = mean()
    twice = helper.make_node("Add", ["y", "y"], ["z"])
    path = graph([node, twice], tmp_path / "m.onnx", [axes], outputs=("y", "z"))
    with pytest.raises(ModelError, match=r"2 outputs \(y, z\): say with output="):
        ss.Bundle.wrap(path, size=SIZE)
    with pytest.raises(ModelError, match="none is called 'w'"):
        ss.Bundle.wrap(path, size=SIZE, output="w")
    picture = (IMAGES * 255).to(torch.uint8)
    one = ss.Bundle.wrap(path, size=SIZE, output="y", task="regression")
    two = ss.Bundle.wrap(path, size=SIZE, output=1, task="regression")
    assert one.has_gradients and two.has_gradients
    torch.testing.assert_close(2 * one.predict(picture), two.predict(picture))
    again = ss.load_bundle(two.save(tmp_path / "bundle"))
    torch.testing.assert_close(again.predict(picture), two.predict(picture))


@pytest.mark.parametrize("kind", ["network", "function"])
def test_a_saved_bundle_holds_the_file(tmp_path, kind):
    node, axes = mean(output="z")
    last = helper.make_node("Relu" if kind == "network" else "Hardmax", ["z"], ["y"])
    path = graph([node, last], tmp_path / "m.onnx", [axes])
    bundle = ss.Bundle.wrap(path, size=SIZE, outputs=["r", "g", "b"], task="regression")
    folder = bundle.save(tmp_path / "bundle")
    path.unlink()
    again = ss.load_bundle(folder)
    picture = (IMAGES * 255).to(torch.uint8)
    assert again.has_gradients == (kind == "network")
    torch.testing.assert_close(again.predict(picture), bundle.predict(picture))
    assert again.fingerprint == bundle.fingerprint
    torch.testing.assert_close(
        ss.load_bundle(again.save(tmp_path / "twice")).predict(picture), again.predict(picture)
    )
    graph([node, last, helper.make_node("Neg", ["z"], ["u"])], folder / "model.onnx", [axes])
    with pytest.raises(ModelError, match=r"not the file that card\.json was written for"):
        ss.load_bundle(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx is not there"):
        ss.load_bundle(folder)


def test_weights_beside_a_file_are_read_and_those_outside_its_folder_are_not(tmp_path, files):
    inside = tmp_path / "inside"
    inside.mkdir()
    node = helper.make_node("Conv", ["x", "w"], ["c"])
    model = onnx.load(graph([node, mean("c")[0]], inside / "m.onnx", [mean()[1]]))
    weights = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(model, inside / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert (inside / "w.bin").is_file()
    assert ss.Bundle.wrap(inside / "m.onnx", size=SIZE, task="regression").has_gradients

    (inside / "w.bin").rename(tmp_path / "w.bin")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        ss.Bundle.wrap(inside / "m.onnx", size=SIZE)
    model = onnx.load(inside / "m.onnx", load_external_data=False)
    for weight in model.graph.initializer:
        for entry in weight.external_data:
            if entry.key == "location":
                entry.value = "../w.bin"
    onnx.save(model, inside / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        ss.Bundle.wrap(inside / "m.onnx", size=SIZE)


def test_files_that_cannot_be_used_are_refused_with_the_reason(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx is not there"):
        ss.Bundle.wrap(tmp_path / "none.onnx", size=SIZE)
    (tmp_path / "text.onnx").write_text("this is no model")
    with pytest.raises(ModelError, match=r"text\.onnx is damaged or no ONNX file"):
        ss.Bundle.wrap(tmp_path / "text.onnx", size=SIZE)
    node, axes = mean()
    path = graph([node], tmp_path / "m.onnx", [axes])
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"cut\.onnx is damaged"):
        ss.Bundle.wrap(cut, size=SIZE)
    own = graph([helper.make_node("Magic", ["x"], ["y"], domain="of.mine")], tmp_path / "own.onnx")
    with pytest.raises(ModelError, match=r"onnxruntime cannot run this model: .*Magic"):
        ss.Bundle.wrap(own, size=SIZE)
    flat = graph([helper.make_node("Relu", ["x"], ["y"])], tmp_path / "flat.onnx", shape=("n", 3))
    with pytest.raises(ModelError, match="a batch of images has four dimensions"):
        ss.Bundle.wrap(flat, size=SIZE)
    with pytest.raises(ModelError, match="without a transform, say the side"):
        ss.Bundle.wrap(graph([node], tmp_path / "open.onnx", [axes], ("n", 3, "h", "w")))
    with pytest.raises(ModelError, match="takes images of 32 × 32 pixels, and is given 16 × 16"):
        ss.Bundle.wrap(path, size=16)


def test_several_inputs_are_refused_with_the_way_round(tmp_path):
    path = graph([helper.make_node("Add", ["x", "b"], ["y"])], tmp_path / "m.onnx", opset=17)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, (1,)))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"2 inputs \(x, b\).*pass a function of the images"):
        ss.Bundle.wrap(path, size=SIZE)


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    node, axes = mean()
    path = graph([node], tmp_path / "m.onnx", [axes])
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(MissingDependency, match=r"pip install 'shapsight\[onnx\]'"):
        ss.Bundle.wrap(path, size=SIZE)


def test_studies_and_the_command_line_take_the_file_by_its_path(tmp_path):
    node, axes = mean()
    path = graph([node], tmp_path / "m.onnx", [axes])
    name, bundle, *_ = opened(str(path))
    assert (name, bundle.name) == ("m.onnx", "onnx:m.onnx")
    assert bundle.seen.size == (SIZE, SIZE)
    assert "given as numbers from 0 to 1" in bundle.notes[1]
    assert onnx_file.file_of(bundle.model).layout == "channels first"


def test_shapsight_explain_takes_the_file_and_says_how_it_is_fed(tmp_path):
    node, axes = mean()
    path = graph([node], tmp_path / "m.onnx", [axes])
    Image.fromarray((IMAGES[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()).save(tmp_path / "a.png")
    given = ["explain", path, tmp_path / "a.png", "--outputs", "1", "--masker", "mean", "--max-evals", "10"]
    result = CliRunner().invoke(app, [str(one) for one in [*given, "--out", tmp_path / "run"]])
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    assert "m.onnx runs as a network of PyTorch" in said
    assert "given as numbers from 0 to 1" in said
    table = pd.read_csv(tmp_path / "run" / "explanations.csv")
    assert table["prediction"][0] == pytest.approx(float(IMAGES[0, 1].mean()), abs=3e-3)
