"""Networks from everywhere: the small one, timm's, and the user's own by import path."""

import pytest
import torch

import tiny_networks
from shapsight.errors import MissingDependency, ModelError
from shapsight.models.build import build_model, head_name
from shapsight.models.bundle import Bundle, load_bundle, weights_hash
from shapsight.models.card import Card
from shapsight.models.small_cnn import SmallCnn

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def bundle_of(built, outputs: int = 3) -> Bundle:
    names = tuple(f"target {n}" for n in range(outputs))
    return Bundle(built.model, Card(built.arch, names, {}, 64, built.mean, built.std), IMAGES)


@pytest.mark.parametrize(
    "arch",
    [
        "small_cnn",
        "timm:mobilenetv3_small_050",
        "mobilenetv3_small_050",
        "tiny_networks:Tiny",
        "tiny_networks:made",
    ],
)
def test_any_network_is_built_saved_and_loaded_with_the_same_predictions(arch, tmp_path):
    built = build_model(arch, 3, weights="none")
    bundle = bundle_of(built)
    assert bundle.predict(IMAGES).shape == (2, 3)
    assert torch.equal(load_bundle(bundle.save(tmp_path)).predict(IMAGES), bundle.predict(IMAGES))


@pytest.mark.parametrize("arch", ["small_cnn", "tiny_networks:Tiny", "timm:mobilenetv3_small_050"])
def test_the_seed_draws_the_weights_and_the_global_generator_is_left_alone(arch):
    state = torch.random.get_rng_state()
    hashes = [weights_hash(build_model(arch, 2, weights="none", seed=seed).model) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_local_weights_go_into_own_and_timm_networks_with_another_head(tmp_path):
    from safetensors.torch import save_file

    for arch in ("tiny_networks:Tiny", "timm:mobilenetv3_small_050"):
        source = build_model(arch, 3, weights="none", seed=5).model
        save_file(source.state_dict(), tmp_path / "w.safetensors")
        same = build_model(arch, 3, weights=tmp_path / "w.safetensors")
        assert weights_hash(same.model) == weights_hash(source)
        assert same.weights_used == "local: w.safetensors"
    other = build_model("timm:mobilenetv3_small_050", 7, weights=tmp_path / "w.safetensors").model
    assert torch.equal(other.conv_stem.weight, source.conv_stem.weight)
    assert other.classifier.weight.shape[0] == 7


def test_own_networks_say_how_they_want_their_images():
    built = build_model("tiny_networks:Tiny", 2, weights="none")
    assert (built.mean, built.std) == (tiny_networks.Tiny.mean, tiny_networks.Tiny.std)
    noted = build_model("tiny_networks:Tiny", 2)
    assert noted.notes == (
        "There are no ImageNet weights for tiny_networks:Tiny: training starts from scratch.",
    )


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("nowhere:Net", "cannot be imported: No module named 'nowhere'"),
        ("tiny_networks:Huge", "no module class or function of its own called 'Huge'"),
        ("tiny_networks:NUMBER", "no module class or function of its own"),
        ("tiny_networks:torch", "no module class or function of its own"),
        ("os:getcwd", "no module class or function of its own"),
        ("tiny_networks:no_network", "gives a int, not a torch.nn.Module"),
        (":x", "is no import path"),
        ("timm:resnet81", "timm has no model called 'resnet81'. There are resnet"),
        ("torch.nn:Linear", r"torch\.nn:Linear\(2\) failed"),
    ],
)
def test_a_name_that_is_no_network_is_refused(arch, message):
    with pytest.raises(ModelError, match=message):
        build_model(arch, 2, weights="none")


def test_timm_without_timm_names_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependency, match="pip install timm"):
        build_model("timm:resnet18", 2)
    with pytest.raises(ModelError, match="torchvision has no classification model"):
        build_model("mobilenetv3_small_050", 2)


def test_without_a_network_timms_weights_are_noted_as_missing(monkeypatch):
    import timm

    create = timm.create_model

    def offline(name, *, pretrained, **options):
        if pretrained:
            raise OSError("no route to the hub")
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    built = build_model("timm:mobilenetv3_small_050", 2)
    assert built.weights_used == "none (from scratch)"
    assert "no route to the hub" in built.notes[0]


def test_the_small_network_takes_any_size_and_its_head_is_found():
    model = SmallCnn(5).eval()
    for side in (12, 28, 65):
        assert model(torch.zeros(2, 3, side, side)).shape == (2, 5)
    assert head_name(model, 5) == "head"
    assert head_name(torch.nn.ReLU(), 5) is None
