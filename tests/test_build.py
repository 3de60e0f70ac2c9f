"""Building networks: the right number of outputs for every family, and weights that fit or are refused."""

import pickle
import re
import socket
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from shapsight.errors import ModelError
from shapsight.models.build import build_classifier, build_model
from shapsight.models.weights import read_state, unwrapped

# the smallest of each torchvision classification family
FAMILIES = {
    "alexnet": 224,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_0": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11": 64,
    "vgg11_bn": 64,
    "vit_b_16": 224,
    "wide_resnet50_2": 64,
}
ARCH = "shufflenet_v2_x0_5"  # quick to build
DRAWS_BLOCK_WIDTHS = ("regnet",)  # computes them with tensors, so it cannot be built without values


def small_state(outputs: int = 1000) -> dict[str, torch.Tensor]:
    """A small network's weights with values that are easy to recognise."""
    state = models.shufflenet_v2_x0_5(num_classes=outputs).state_dict()
    return {
        key: torch.full_like(value, 0.5 if value.is_floating_point() else 3) for key, value in state.items()
    }


def test_every_torchvision_family_is_in_the_list_of_this_test():
    stems = {re.match(r"[a-z]+(_v\d|_[xy])?", name).group() for name in models.list_models(module=models)}
    assert stems == {re.match(r"[a-z]+(_v\d|_[xy])?", name).group() for name in FAMILIES}


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_gets_the_right_number_of_outputs(arch):
    with torch.device("cpu" if arch.startswith(DRAWS_BLOCK_WIDTHS) else "meta"):
        built = build_model(arch, 3, weights="none")
        outputs = built.model.eval()(torch.zeros(2, 3, FAMILIES[arch], FAMILIES[arch]))
    assert outputs.shape == (2, 3)
    assert built.weights_used == "none (from scratch)"


@pytest.mark.parametrize("arch", ["googlenet", "inception_v3"])
def test_no_auxiliary_head_is_left_in_training_mode(arch):
    with torch.device("meta"):
        model = build_model(arch, 2, weights="none").model.train()
        assert model(torch.zeros(2, 3, 96, 96)).shape == (2, 2)


def test_a_squeezenet_can_predict_a_negative_number():
    built = build_model("squeezenet1_1", 2, weights="none")
    nn.init.constant_(built.model.classifier[1].bias, -5)
    assert (built.model.eval()(torch.zeros(1, 3, 64, 64)) < 0).all()
    assert any("ReLU" in note for note in built.notes)


def test_no_other_family_needs_its_head_freed():
    with torch.device("meta"):
        assert all(
            not build_model(arch, 2, weights="none").notes for arch in ("resnet18", "mobilenet_v2", "alexnet")
        )


def test_the_seed_fixes_the_weights_and_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    first, second, other = (
        build_model("shufflenet_v2_x0_5", 2, weights="none", seed=s).model for s in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.fc.weight, second.fc.weight)
    assert torch.equal(first.conv1[0].weight, second.conv1[0].weight)
    assert not torch.equal(first.conv1[0].weight, other.conv1[0].weight)


def test_an_unknown_architecture_is_answered_with_the_nearest_names():
    with pytest.raises(ModelError, match=r"'resnet-18'.*Did you mean resnet18"):
        build_model("resnet-18", 2)
    with pytest.raises(ModelError, match=r"Did you mean .*squeezenet1_1"):
        build_model("SqueezeNet11", 2)
    with pytest.raises(ModelError, match=r"called 'qqq'\. There are resnet18"):
        build_model("qqq", 2)
    with pytest.raises(ModelError, match="0 outputs"):
        build_model("resnet18", 0)


def test_local_weights_of_1000_classes_are_loaded_and_the_head_is_new(tmp_path):
    save_file(small_state(), tmp_path / "w.safetensors")
    built = build_model(ARCH, 2, weights=tmp_path / "w.safetensors")
    assert built.weights_used == "local: w.safetensors"
    assert (built.model.conv5[0].weight == 0.5).all()
    assert built.model.fc.weight.shape == (2, 1024)
    assert (built.model.fc.weight != 0.5).all()


def test_local_weights_with_the_right_head_are_kept_whole(tmp_path):
    torch.save(small_state(2), tmp_path / "w.pth")
    built = build_model(ARCH, 2, weights=str(tmp_path / "w.pth"))
    assert (built.model.fc.weight == 0.5).all()


def test_half_precision_becomes_float32(tmp_path):
    half = {key: value.half() if value.is_floating_point() else value for key, value in small_state().items()}
    save_file(half, tmp_path / "w.safetensors")
    model = build_model(ARCH, 2, weights=tmp_path / "w.safetensors").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (model.conv1[0].weight == 0.5).all()


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"module." + k: v for k, v in s.items()}]
)
def test_a_checkpoint_and_a_parallel_model_are_unwrapped(tmp_path, wrap):
    torch.save(wrap(small_state()), tmp_path / "w.pth")
    assert (build_model(ARCH, 2, weights=tmp_path / "w.pth").model.conv1[0].weight == 0.5).all()


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.", "net.", "module.model.", "model._orig_mod."])
def test_what_training_code_puts_before_names_is_taken_off_and_said(tmp_path, prefix):
    state = {prefix + key: value for key, value in small_state().items()}
    torch.save({"state_dict": state | {"criterion.weight": torch.ones(3)}}, tmp_path / "w.pth")
    built = build_model(ARCH, 2, weights=tmp_path / "w.pth")
    assert (built.model.conv1[0].weight == 0.5).all()
    assert (
        f"begin with {prefix}, which was taken off, and criterion.weight beside them left out"
        in built.notes[0]
    )
    whole = build_classifier(ARCH, weights=tmp_path / "w.pth")
    assert (whole.model.fc.weight == 0.5).all()
    assert whole.notes == built.notes[:1]


def test_a_prefix_that_is_the_networks_own_stays():
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 1)

    state = Wrapped().state_dict()
    assert unwrapped(state, Wrapped()) == (state, ())
    outer = {f"model.{key}": value for key, value in state.items()}
    assert unwrapped(outer, Wrapped())[0] == state
    strange = {"model.a": torch.zeros(1)}
    assert unwrapped(strange, Wrapped()) == (strange, ())


def test_a_last_layer_of_another_size_is_drawn_anew_and_a_classifier_asks_for_its_classes(tmp_path):
    torch.save(small_state(outputs=2), tmp_path / "w.pth")
    built = build_model(ARCH, 5, weights=tmp_path / "w.pth")
    assert (built.model.conv1[0].weight == 0.5).all()
    assert built.model.fc.weight.shape[0] == 5
    assert any("weights have 2 outputs: their last layer was not taken" in note for note in built.notes)
    with pytest.raises(
        ModelError, match="have 2 outputs, not 1000: name these with --classes FILE"
    ) as refused:
        build_classifier(ARCH, weights=tmp_path / "w.pth")
    assert "another architecture" not in str(refused.value)
    assert (build_classifier(ARCH, 2, weights=tmp_path / "w.pth").model.fc.weight == 0.5).all()


def test_weights_without_batch_counters_or_layer_versions_fit(tmp_path):
    state = models.mnasnet0_5().state_dict()
    save_file(
        {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, tmp_path / "w.safetensors"
    )
    model = build_model("mnasnet0_5", 2, weights=tmp_path / "w.safetensors").model
    assert torch.equal(model.layers[0].weight, state["layers.0.weight"])


def test_weights_with_auxiliary_heads_fit_a_network_without_them(tmp_path):
    with torch.device("meta"):
        whole = models.googlenet(init_weights=False, aux_logits=True).state_dict()
    torch.save({key: torch.ones(value.shape) for key, value in whole.items()}, tmp_path / "w.pth")
    model = build_model("googlenet", 2, weights=tmp_path / "w.pth").model
    assert (model.conv1.conv.weight == 1).all()


def test_the_old_names_of_densenet_weights_are_understood(tmp_path):
    with torch.device("meta"):
        names = models.densenet121().state_dict().keys()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): torch.zeros(1) for name in names
    }
    assert old.keys() != names
    torch.save(old, tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == names


def test_weights_that_do_not_fit_are_refused_with_the_first_keys_that_differ(tmp_path):
    state = small_state()
    del state["conv5.0.weight"]
    state["stranger"] = torch.zeros(2)
    state["conv1.0.weight"] = torch.zeros(24, 3, 7, 7)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        build_model(ARCH, 2, weights=tmp_path / "w.safetensors")
    message = str(caught.value)
    assert "w.safetensors do not fit" in message
    assert "Missing: conv5.0.weight;" in message
    assert "unexpected: stranger;" in message
    assert "of another shape: conv1.0.weight (24, 3, 7, 7) instead of (24, 3, 3, 3)" in message
    with pytest.raises(
        ModelError, match=r"Missing: .* and \d+ more; unexpected: .*another architecture than squeezenet1_1"
    ):
        build_model("squeezenet1_1", 2, weights=tmp_path / "w.safetensors")


class Code:
    """What a malicious file holds: reading it by unpickling would run something."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"weights": Code()}, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"w\.pth was not read: it is a pickle that would run code.*safetensors"
    ):
        build_model(ARCH, 2, weights=tmp_path / "w.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Code()))
    with pytest.raises(ModelError, match=r"plain\.pkl was not read"):
        build_model(ARCH, 2, weights=tmp_path / "plain.pkl")
    assert "never" not in capsys.readouterr().out


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"torch\.save\(model\.state_dict\(\), path\)"):
        build_model(ARCH, 2, weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"\x10\0\0\0\0\0\0\0{", r"w\.safetensors is damaged or not a safetensors file"),
        ("w.safetensors", b"", r"w\.safetensors is damaged"),
        ("w.pth", b"", r"w\.pth"),
        ("w.pth", b"PK\x03\x04 not a zip", r"w\.pth"),
        ("w.pth", b"I am a text", r"w\.pth"),
        (None, None, "are not there"),
    ],
)
def test_a_damaged_or_missing_file_of_weights_is_named(tmp_path, name, content, message):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        build_model(ARCH, 2, weights=tmp_path / (name or "w.pth"))


def test_a_file_without_named_tensors_is_refused(tmp_path):
    torch.save({"accuracy": 0.9}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no state dict"):
        build_model(ARCH, 2, weights=tmp_path / "w.pth")


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), RuntimeError("invalid hash")]
)
def test_without_a_network_training_starts_from_scratch_and_says_how_to_pass_weights(monkeypatch, error):
    waits = []

    def fail(*_, **__):
        waits.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    built = build_model(ARCH, 2)
    assert built.weights_used == "none (from scratch)"
    assert any("--weights PATH" in note and "from scratch" in note for note in built.notes)
    assert waits[0] is not None
    assert socket.getdefaulttimeout() is None


def test_imagenet_weights_are_used_where_they_can_be_had_and_never_unpickled(monkeypatch):
    options = {}

    def give(url, **given):
        options.update(given)
        return small_state()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", give)
    built = build_model(ARCH, 2)
    assert built.weights_used == "ImageNet (IMAGENET1K_V1)"
    assert (built.model.conv1[0].weight == 0.5).all()
    assert options["weights_only"]
    assert options["check_hash"]


def test_the_normalisation_is_that_of_the_architecture():
    with torch.device("meta"):
        assert build_model("resnet18", 2, weights="none").mean == (0.485, 0.456, 0.406)
        assert build_model("efficientnet_v2_l", 2, weights="none").mean == (0.5, 0.5, 0.5)


@pytest.mark.shared
def test_the_real_squeezenet_weights_fit(shared):
    path = shared / "models" / "squeezenet1_1_imagenet.safetensors"
    built = build_model("squeezenet1_1", 2, weights=path)
    assert built.weights_used == "local: squeezenet1_1_imagenet.safetensors"
    assert built.model.features[0].weight.dtype == torch.float32
    with pytest.raises(ModelError, match="do not fit"):
        build_model("squeezenet1_0", 2, weights=path)


def test_the_new_last_layer_of_a_timm_network_begins_with_small_answers():
    """timm draws an EfficientNet's with 1 / √outputs, which is 25 times as wide for two outputs of 1,280 features."""
    built = build_model("timm:tf_efficientnet_lite0", 2, weights="none")
    head = built.model.get_submodule("classifier")
    assert head.weight.abs().max() <= head.in_features**-0.5
    assert 0.9 < head.weight.std() * (3 * head.in_features) ** 0.5 < 1.1
