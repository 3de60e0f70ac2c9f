"""What makes DeepShap quick changes no number: phases of strided convolutions, and work in pieces."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shapsight import DeepShap
from shapsight.attribution.deep.rules import pieces
from shapsight.attribution.deep.rules.elementwise import Elementwise, relu_slope
from shapsight.attribution.deep.rules.norms import Normalised
from shapsight.attribution.deep.rules.pooling import MaxPooling2d
from shapsight.attribution.deep.rules.rule import Pair
from shapsight.attribution.deep.rules.softmax import Softmax
from shapsight.attribution.shared.memory import LARGEST_BLOCK, LARGEST_CHUNK, SMALLEST_CHUNK, Need, budget
from shapsight.attribution.shared.strided import StridedConvolution, convolve

CPU = torch.device("cpu")


@settings(max_examples=80, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.integers(2, 5),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    size=st.tuples(st.integers(8, 17), st.integers(8, 17)),
    channels=st.integers(1, 4),
    has_bias=st.booleans(),
)
def test_the_gradient_by_phases_is_that_of_the_convolution(
    kernel: tuple[int, int],
    stride: int,
    padding: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    has_bias: bool,
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(5, channels, *kernel, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64) if has_bias else None
    expected = F.conv2d(images, weight, bias, stride, padding)
    found = convolve(images, weight, bias, stride, padding)
    g = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    assert type(found.grad_fn).__name__.startswith(StridedConvolution.__name__)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, images, g)[0], torch.autograd.grad(expected, images, g)[0]
    )


@pytest.mark.parametrize(
    "options",
    [{"groups": 3}, {"dilation": 2}, {"padding": "valid"}, {"stride": (2, 1)}, {"stride": 1}],
    ids=str,
)
def test_other_convolutions_stay_with_autograd(options: dict[str, object]) -> None:
    images, weight = torch.randn(1, 3, 12, 12).requires_grad_(), torch.randn(6, 3, 3, 3)
    weight = weight[:, :1] if "groups" in options else weight
    settings = {"stride": 2, **options}
    if options.get("padding") == "valid":
        settings["stride"] = 2
    found = convolve(images, weight, None, **settings)
    assert not type(found.grad_fn).__name__.startswith(StridedConvolution.__name__)
    torch.testing.assert_close(found, F.conv2d(images, weight, None, **settings))


def test_filters_made_from_the_input_stay_with_autograd() -> None:
    images, weight = torch.randn(1, 3, 12, 12).requires_grad_(), torch.randn(6, 3, 3, 3).requires_grad_()
    found = convolve(images, weight, None, 2)
    expected = torch.autograd.grad(F.conv2d(images, weight, None, 2).square().sum(), weight)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), weight), expected)


def _pair(x: Tensor, b: Tensor, rule: object) -> Pair:
    (y_x, notes_x), (y_b, notes_b) = rule.run(x), rule.run(b)
    return Pair(
        (x,), (b,), y_x, y_b, tuple(n.expand_as(m) for n, m in zip(notes_x, notes_b, strict=True)), notes_b
    )


RULES = {
    "gelu": Elementwise(F.gelu),
    "layer norm": Normalised((-1,), 1e-5),
    "group norm's dimensions": Normalised((-2, -1), 1e-5),
    "norm over channels": Normalised((-3,), 1e-5),
    "RMS norm": Normalised((-1,), 1e-5, is_centred=False),
    "softmax": Softmax(-1),
    "max pooling": MaxPooling2d([3, 3], [2, 2], [1, 1], [1, 1], True),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_multipliers_in_pieces_are_those_of_the_whole(
    rule: object, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(1, 5, 9, 11, dtype=torch.float64).to(memory_format=layout)
    b = torch.randn(7, 5, 9, 11, dtype=torch.float64).to(memory_format=layout)
    x[0, 0, 0, :3] = b[0, 0, 0, :3]
    g = torch.randn_like(rule.run(b)[0])
    (whole,) = rule.multipliers(g, _pair(x, b, rule))
    monkeypatch.setattr(pieces, "PER_THREAD", 40)
    (in_pieces,) = rule.multipliers(g, _pair(x, b, rule))
    torch.testing.assert_close(in_pieces, whole, rtol=1e-9, atol=1e-12)
    last = _pair(x, b, rule)
    last.is_last = True  # what nobody needs again is not kept, and is computed in one go with the multipliers
    torch.testing.assert_close(rule.multipliers(g, last)[0], whole, rtol=1e-9, atol=1e-12)
    change = rule.run(x)[0] - rule.run(b)[0]
    torch.testing.assert_close((in_pieces * (x - b)).sum(), (g * change).sum(), rtol=1e-9, atol=1e-9)


def test_relu_slopes_are_the_same_whatever_the_memory_order_of_image_and_references() -> None:
    x, b = torch.randn(1, 4, 300, 300), torch.randn(5, 4, 300, 300)
    expected = (x.relu() - b.relu()) / (x - b)
    for order_x in (torch.contiguous_format, torch.channels_last):
        for order_b in (torch.contiguous_format, torch.channels_last):
            slope = relu_slope(x.to(memory_format=order_x), b.to(memory_format=order_b))
            torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-4)


def test_the_chunk_of_references_shrinks_with_the_largest_tensor_but_not_below_ten() -> None:
    def chunk(largest: int) -> int:
        return budget(Need(1000, 1000, largest), None, CPU).chunk

    assert chunk(1) == LARGEST_CHUNK
    assert chunk(LARGEST_BLOCK // 12) == 12
    assert chunk(LARGEST_BLOCK) == SMALLEST_CHUNK
    assert budget(Need(1000, 1000, LARGEST_BLOCK), 4000, CPU).chunk == 2


def test_a_patch_embedding_whose_last_pixels_are_under_no_window_is_exact() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(8 * 9, 2)
    ).double()
    references, images = torch.randn(5, 3, 14, 15).double(), torch.randn(2, 3, 14, 15).double()
    explanation = DeepShap(model, references)(images)
    assert explanation.completeness_gap.abs().max() < 1e-9
    assert not explanation.values[..., 12:, :].any()
    assert not explanation.values[..., 12:].any()


def test_constants_that_differ_by_channel_stay_with_their_channel_where_image_and_reference_agree() -> None:
    class Floor(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lowest = torch.nn.Parameter(torch.tensor([-0.5, 0.0, 0.5]).double().reshape(1, 3, 1, 1))
            self.slopes = torch.nn.PReLU(3).double()

        def forward(self, images: Tensor) -> Tensor:
            return torch.maximum(self.slopes(images), self.lowest).square().sum((2, 3))

    references, images = torch.randn(4, 3, 5, 5).double(), torch.randn(1, 3, 5, 5).double()
    references[:, :, 1:3] = images[:, :, 1:3]
    explanation = DeepShap(Floor(), references)(images)
    assert explanation.completeness_gap.abs().max() < 1e-9
    assert not explanation.values[..., 1:3, :].any()


def test_every_output_of_an_image_gets_together_with_others_what_it_gets_alone() -> None:
    """Only what is computed for an image's last output may be written over."""

    class Mixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = torch.nn.Conv2d(3, 6, 3), torch.nn.Linear(6, 3)

        def forward(self, images: Tensor) -> Tensor:
            y = F.max_pool2d(F.relu(self.first(images)), 2)
            y = F.instance_norm(F.gelu(y) * y.sigmoid()).flatten(2)
            return self.head((y.transpose(1, 2).softmax(1) @ y).logsumexp(1)[..., :6])

    model = Mixed().double()
    references, images = torch.randn(4, 3, 8, 8).double(), torch.randn(2, 3, 8, 8).double()
    explainer = DeepShap(model, references)
    together = explainer(images, [0, 1, 2])
    for number in range(3):
        alone = explainer(images, number).values[:, 0]
        torch.testing.assert_close(together.values[:, number], alone, rtol=1e-12, atol=1e-14)
