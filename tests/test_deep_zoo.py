"""A representative third of the zoo (benchmarks/zoo.py), on the smallest images that each network takes."""

import importlib.util
import json
import sys
import warnings
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import functional as transforms

from shapsight import DeepShap, TopK

spec = importlib.util.spec_from_file_location("zoo", Path(__file__).parents[1] / "benchmarks" / "zoo.py")
zoo = importlib.util.module_from_spec(spec)
sys.modules["zoo"] = zoo
spec.loader.exec_module(zoo)

TORCHVISION = {"alexnet": 64, "inception_v3": 96}
for name in """densenet121 googlenet mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_y_400mf resnet18
shufflenet_v2_x0_5 squeezenet1_1 swin_t""".split():
    TORCHVISION[name] = 32
TIMM = """test_vit test_vit2 test_efficientnet test_efficientnet_evos test_efficientnet_gn test_byobnet test_resnet
test_convnext test_nfnet test_mambaout edgenext_xx_small mobilevit_xxs mobilevitv2_050 levit_128s
xcit_nano_12_p16_224 swinv2_cr_tiny_ns_224 pvt_v2_b0 poolformer_s12 efficientvit_b0 efficientvit_m0
repvit_m0_9 fastvit_t8 ghostnet_050 lcnet_050 starnet_s1 fasternet_t0 tinynet_e resnetv2_18 skresnet18
nf_regnet_b0 resmlp_12_224 gmlp_ti16_224 mixer_s32_224 botnet26t_256 lambda_resnet26t convit_tiny
coat_lite_tiny tnt_s_patch16_224 shvit_s1 efficientvim_m1""".split()


def torchvision_network(name, _size):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, num_classes=3, **options)


def timm_network(name, size):
    try:
        return timm.create_model(name, num_classes=3, img_size=size)
    except TypeError:
        return timm.create_model(name, num_classes=3)


def calibrated(build, name, size):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = torch.Generator().manual_seed(1)
        model = zoo.calibrate(build(name, size), size, generator).double()
    return model, zoo.pictures(1, size, generator).double(), zoo.pictures(2, size, generator).double()


def assert_exact(model, image, references):
    explanation = DeepShap(model, references)(image, outputs=0, on_gap="ignore")
    with torch.no_grad():
        # some networks go through float32 on the way, whatever their weights are; DeepShap does not follow them there
        torch.testing.assert_close(explanation.predictions, model(image)[:, :1], rtol=1e-4, atol=1e-4)
    change = explanation.predictions - explanation.base_values
    assert abs(explanation.values.sum() - change) < 1e-9 * abs(change)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks_are_explained_exactly_as_they_are(name):
    assert_exact(*calibrated(torchvision_network, name, TORCHVISION[name]))


@pytest.mark.parametrize("name", TIMM)
def test_timm_networks_are_explained_exactly_as_they_are(name):
    assert_exact(*calibrated(timm_network, name, 64))


FLAT = "test_efficientnet_evos test_efficientnet_gn test_nfnet test_vit regnetz_b16_evos resnetv2_50d_frn".split()


@pytest.mark.parametrize("name", FLAT)
def test_flat_references_are_exact_too(name):
    model, image, references = calibrated(timm_network, name, 64)
    assert_exact(model, image, torch.tensor([0.0, 0.5]).view(2, 1, 1, 1).expand_as(references).to(image))


def test_a_network_whose_tensors_have_other_shapes_in_a_batch_is_exact_one_by_one():
    model, image, references = calibrated(timm_network, "csatv2", 128)
    assert_exact(model, image, references)


@pytest.mark.shared
def test_the_top_classes_of_real_photographs_are_exact_on_squeezenet_with_imagenet_weights(shared):
    model = torchvision.models.squeezenet1_1(weights=None)
    weights = load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    paths = sorted((shared / "data" / "imagenet50").glob("*.jpg"))
    egret = next(path for path in paths if path.name == "sim_n02010272_1613.jpg")
    photographs = torch.stack([read(path) for path in [egret, *paths[:6]]])
    explanation = DeepShap(model, photographs[3:])(photographs[:3], outputs=TopK(4))
    change = (explanation.predictions - explanation.base_values).abs()
    assert (explanation.completeness_gap.abs() < 1e-4 * change).all()
    names = json.loads((shared / "models" / "imagenet_classes.json").read_text())
    best = str(int(explanation.output_index[0, 0]))
    assert "American egret" in str(names[best] if isinstance(names, dict) else names[int(best)])


def read(path):
    with Image.open(path) as file:
        pixels = transforms.to_tensor(file.convert("RGB").resize((224, 224)))
    return transforms.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
