"""Every explainer on a device without float64: the values are the processor's, and come back where the images are."""

import pytest
import software_device
import torch

from deep_models import CASES
from deep_parts import TwoInputs, pictures
from shapsight import DeepShap, Explanation, GradientShap, PartitionShap, RegionShap, TopK
from shapsight.attribution.shared.placement import has_float64, wide, widest
from shapsight.errors import ExplainerError
from small_networks import convolutional
from small_networks import pictures as photographs

DEVICE = software_device.installed()
PROCESSOR = torch.device("cpu")
# One names the processor inside, one keeps a float64 tensor that no .to() moves: neither runs in float32 at all.
NOT_MOVABLE = ("autocast inside", "a tensor with a gradient that is no parameter")
FAILS_IN_ITS_HOOK = ("hooks on an activation, as Grad-CAM sets them", "gradient")

EXPLAINERS = {
    "deep": DeepShap,
    "gradient": lambda model, references: GradientShap(model, references, 6),
    "partition": lambda model, _: PartitionShap(model, "mean", max_evals=12),
    "regions": lambda model, _: RegionShap(model, "mean", (2, 1)),
}


def assert_same(on_device, on_processor, where=PROCESSOR):
    """The same numbers but for rounding in another order, all of them on one device."""
    for name in ("values", "base_values", "predictions", "std_errors", "unresolved"):
        found, expected = getattr(on_device, name, None), getattr(on_processor, name, None)
        assert (found is None) == (expected is None), name
        if found is not None:
            assert found.device.type == where.type, name
            close = 1e-4 * float(expected.nan_to_num(posinf=0.0).abs().max()) + 1e-7
            torch.testing.assert_close(found.cpu(), expected, rtol=2e-3, atol=close)
    assert {t.device.type for t in vars(on_device).values() if isinstance(t, torch.Tensor)} == {where.type}


def test_the_device_is_as_strict_as_apples():
    on_device = torch.ones(2, device=DEVICE)
    with pytest.raises(TypeError, match="float64"):
        on_device.double()
    with pytest.raises(TypeError, match="numpy"):
        on_device.numpy()
    with pytest.raises(RuntimeError, match="two devices"):
        on_device + torch.ones(2)
    torch.testing.assert_close((on_device * 3 + 1).cpu(), torch.full((2,), 4.0))


def test_a_sum_is_kept_in_float64_where_that_is():
    assert (has_float64(DEVICE), has_float64(PROCESSOR)) == (False, True)
    assert (widest(DEVICE), widest(PROCESSOR)) == (torch.float32, torch.float64)
    ones = torch.full((10_000_000,), 0.1)
    exact = 0.1 * len(ones)
    assert abs(float(wide(ones.to(DEVICE)).sum()) - exact) < 1e-6 * exact
    assert wide(ones.to(DEVICE)).device.type == "cpu"


def made(name):
    torch.manual_seed(0)
    return CASES[name]().float().eval()


@pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad",
    "ignore:the attributions miss",
    "ignore:LSTM with projections is not supported with oneDNN",
)
@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        (name, explainer)
        for name in CASES
        for explainer in EXPLAINERS
        if name not in NOT_MOVABLE and (name, explainer) != FAILS_IN_ITS_HOOK
    ],
)
def test_whatever_a_network_does_is_explained_on_a_device_as_on_the_processor(name, explainer):
    make = EXPLAINERS[explainer]
    images, references = pictures(2, seed=3).float(), pictures(3, seed=4).float()
    try:
        expected = make(made(name), references)(images)
    except (ExplainerError, RuntimeError) as refusal:
        if (
            explainer == "gradient"
        ):  # autograd cannot go back through the network, and says so in a backward pass
            return
        with pytest.raises(type(refusal)):
            make(made(name).to(DEVICE), references)(images)
        return
    assert_same(make(made(name).to(DEVICE), references)(images), expected)


OPTIONS = {
    "deep, a layer": lambda m, r: DeepShap(m, r, layer="4"),
    "deep, a layer in its own shape": lambda m, r: DeepShap(m, r, layer="4", spread_layer=False),
    "deep, weights": lambda m, r: DeepShap(m, r, weights=range(1, len(r) + 1)),
    "deep, a few references at a time": lambda m, r: DeepShap(m, r, max_memory=10**6),
    "deep, names": lambda m, r: DeepShap(m, r, output_names=("a", "b", "c")),
    "gradient, smoothing": lambda m, r: GradientShap(m, r, 12, smoothing=0.1),
    "gradient, gauss": lambda m, r: GradientShap(m, r, 36, positions="gauss"),
    "gradient, a layer": lambda m, r: GradientShap(m, r, 24, layer="4"),
    **{
        f"partition, {masker}": lambda m, r, masker=masker: PartitionShap(m, masker, max_evals=20)
        for masker in ("blur(5,5)", "inpaint_telea", "inpaint_ns", "inpaint_diffuse", "mean", 0.5, (0, 0, 1))
    },
    "partition, references": lambda m, r: PartitionShap(m, r, max_evals=20),
    "partition, regions": lambda m, r: PartitionShap(m, "mean", tree="regions", max_evals=40),
    "partition, axis": lambda m, r: PartitionShap(m, "mean", tree="axis", max_evals=40),
    "partition, both contexts": lambda m, r: PartitionShap(m, "mean", contexts="both", max_evals=40),
    "partition, a tolerance": lambda m, r: PartitionShap(m, "mean", max_evals=None, tolerance=0.2),
    "regions, exact": lambda m, r: RegionShap(m, "blur(5,5)", "grid(2,3)"),
    "regions, kernel": lambda m, r: RegionShap(m, "mean", "grid(4,4)", "kernel", max_evals=100),
    "regions, permutation": lambda m, r: RegionShap(m, r, (2, 4), "permutation", max_evals=100),
    "regions, superpixels": lambda m, r: RegionShap(m, "mean", "slic(60)", "kernel", max_evals=200),
    "regions, a mask": lambda m, r: RegionShap(m, "mean", torch.eye(16).bool()),
}


@pytest.mark.filterwarnings("ignore:the attributions miss")
@pytest.mark.parametrize("images_on", ["cpu", DEVICE.type])
@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_works_on_a_device_and_values_are_where_the_images_are(name, images_on):
    model, references, images = convolutional(), photographs(6, seed=1), photographs(2)
    expected = OPTIONS[name](model, references)(images, TopK(2))
    found = OPTIONS[name](model.to(DEVICE), references)(images.to(images_on), TopK(2))
    assert_same(found, expected, torch.device(images_on))


@pytest.mark.parametrize("images_on", ["cpu", DEVICE.type])
def test_values_and_interactions_of_regions_are_where_the_images_are(images_on):
    model, images = convolutional(), photographs(2)
    for ask in (RegionShap.by_region, RegionShap.interactions):
        expected = ask(RegionShap(model, "mean", "grid(2,2)"), images)
        found = ask(RegionShap(model.to(DEVICE), "mean", "grid(2,2)"), images.to(images_on))
        assert_same(found, expected, torch.device(images_on))
        model.to("cpu")


def test_a_tolerance_stops_at_the_same_reference():
    model, references, images = convolutional(), photographs(24, seed=1), photographs(1)
    expected = DeepShap(model, references)(images, tolerance=0.6)
    found = DeepShap(model.to(DEVICE), references)(images, tolerance=0.6)
    assert_same(found, expected)
    assert found.settings["references"] == expected.settings["references"] < 24


@pytest.mark.parametrize("kind", [DeepShap, GradientShap])
def test_several_inputs_may_be_on_other_devices_than_the_model(kind):
    model = TwoInputs()
    images, references = (photographs(2), torch.randn(2, 5)), (photographs(5, seed=1), torch.randn(5, 5))
    expected = kind(model, references)(images)
    found = kind(model.to(DEVICE), references)((images[0].to(DEVICE), images[1].to(DEVICE)))
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, DEVICE)


def test_a_function_that_computes_on_a_device_itself_is_asked_by_arrays():
    model, images = convolutional(), photographs(2)
    expected = PartitionShap(model, "mean", max_evals=20)(images)
    on_device = convolutional().to(DEVICE)

    def predict(arrays):
        return on_device(torch.from_numpy(arrays).permute(0, 3, 1, 2).to(DEVICE))

    assert_same(PartitionShap(predict, "mean", max_evals=20)(images), expected)
    assert_same(PartitionShap(predict, "mean", max_evals=20)(images.to(DEVICE)), expected, DEVICE)


def test_an_explanation_on_a_device_does_all_that_one_on_the_processor_does(tmp_path):
    model, references, images = convolutional(), photographs(4, seed=1), photographs(2)
    expected = DeepShap(model, references)(images)
    found = DeepShap(model.to(DEVICE), references)(images.to(DEVICE))
    for reduce in ("sum", "abs", "positive"):
        torch.testing.assert_close(
            found.heatmap(reduce).cpu(), expected.heatmap(reduce), rtol=1e-3, atol=1e-6
        )
    assert_same(found.select([1], [0, 2]), expected.select([1], [0, 2]), DEVICE)
    assert_same(Explanation.load(found.save(tmp_path / "e.safetensors")), expected)
    assert_same(Explanation.concatenate([found, found]), Explanation.concatenate([expected] * 2), DEVICE)
    assert float((found - found).values.abs().max()) == 0
    assert found.plot() is not None


def test_a_network_on_a_device_is_left_there():
    model = convolutional().to(DEVICE)
    before = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
    for make in (EXPLAINERS[name] for name in ("deep", "partition", "regions")):
        make(model, photographs(3, seed=1))(photographs(1))
    GradientShap(model, photographs(3, seed=1), 60)(photographs(1))
    assert {tensor.device.type for tensor in model.state_dict().values()} == {DEVICE.type}
    torch.testing.assert_close({n: t.cpu() for n, t in model.state_dict().items()}, before, rtol=0, atol=0)
