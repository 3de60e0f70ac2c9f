"""Small models, one for each thing that a network may do; DeepShap must be exact on all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
import torchvision
from torch import Tensor, nn

from deep_parts import Body, Small, block, conv

SIZE = 8


CASES: dict[str, Callable[[], nn.Module]] = {}


def case(name: str, **parts: Callable[[], nn.Module]) -> Callable[[Body], Body]:
    def enter(body: Body) -> Body:
        CASES[name] = lambda: Small(body, **{part: make() for part, make in parts.items()})
        return body

    return enter


def square(x: Tensor, size: int = 8) -> Tensor:
    """A mask of ones, where the activations are."""
    return torch.ones(size, size, dtype=torch.bool, device=x.device)


ACTIVATIONS = """relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh softplus softsign
logsigmoid tanhshrink hardshrink softshrink""".split()
FUNCTIONS = "sigmoid tanh exp expm1 square abs erf sin cos atan sinh asinh sinc nan_to_num sign round".split()
FUNCTIONS_OF_POSITIVES = "log log2 log1p sqrt rsqrt reciprocal".split()
for name in ACTIVATIONS:
    case(name)(lambda m, x, name=name: getattr(F, name)(x))
for name in FUNCTIONS:
    case(name)(lambda m, x, name=name: getattr(torch, name)(x))
for name in FUNCTIONS_OF_POSITIVES:
    case(name)(lambda m, x, name=name: getattr(torch, name)(x.abs() + 0.1))
case("gelu tanh")(lambda m, x: F.gelu(x, approximate="tanh"))
case("softplus with beta")(lambda m, x: F.softplus(x, 2.0))
case("threshold")(lambda m, x: F.threshold(x, 0.1, 0.0))
case("clamp")(lambda m, x: x.clamp(-0.5, max=0.7))
case("clamp with a bound that depends")(lambda m, x: torch.clamp(x, min=x.flip(1)))
case("prelu", p=nn.PReLU)(lambda m, x: m.p(x))
case("rrelu")(lambda m, x: F.rrelu(x))
case("power")(lambda m, x: x.abs() ** 2.5 + (x.abs() + 1) ** -0.5 + x**3 + 2**x)
case("power with a learned exponent", q=lambda: nn.PReLU(init=2.5))(lambda m, x: x.abs() ** m.q.weight)
case("one over")(lambda m, x: 1 / (x.exp() + 1) + 1 - x)

case("product of two")(lambda m, x: x * x.flip(2).tanh())
case("quotient of two")(lambda m, x: x / (x.flip(2).square() + 1))
case("matmul and bmm")(
    lambda m, x: x @ x.transpose(2, 3) + torch.bmm(x.flatten(0, 1), x.flatten(0, 1)).view_as(x)
)
case("einsum of two")(lambda m, x: torch.einsum("bchw,bcwk->bchk", x, x.tanh()))
case("einsum of three")(lambda m, x: torch.einsum("bchw,bchw,bcwk->bhk", x, x.tanh(), x.sigmoid()))
case("einsum of operator list")(lambda m, x: torch.einsum("bchw,bcwk->bchk", [x, x]))
case("prod")(lambda m, x: x.prod(1).repeat(1, 2, 1))
case("addcmul addcdiv lerp")(
    lambda m, x: (
        torch.addcmul(x, x, x.tanh(), value=0.5) + torch.addcdiv(x, x, x.exp()) + torch.lerp(x, x * x, x)
    )
)
case("addmm baddbmm")(
    lambda m, x: (
        torch.baddbmm(x[:, 0], x[:, 1], x[:, 2], beta=0.5, alpha=2.0)
        + torch.addmm(x[:, 0].reshape(-1, 8), x[:, 1].reshape(-1, 8), torch.eye(8).to(x)).view(-1, 8, 8)
    )
)
case("bilinear", b=lambda: nn.Bilinear(8, 8, 8))(lambda m, x: m.b(x, x.tanh()))
case("glu")(lambda m, x: F.glu(x, 3))
case("dynamic convolution, grouped by batch", f=lambda: nn.Linear(3, 3))(
    lambda m, x: F.conv2d(
        x.reshape(1, -1, 8, 8), m.f(x.mean((2, 3))).reshape(-1, 1, 1, 1), groups=x.shape[0] * 3
    ).reshape(x.shape)
)
case("convolution transposed, with filters made from the input", f=lambda: nn.Linear(3, 3))(
    lambda m, x: F.conv_transpose2d(
        x.reshape(1, -1, 8, 8), m.f(x.mean((2, 3))).reshape(-1, 1, 1, 1), groups=x.shape[0] * 3
    ).reshape(x.shape)
)
case("convolution 1d, with filters made from the input", f=lambda: nn.Linear(3, 3))(
    lambda m, x: F.conv1d(
        x.flatten(2).reshape(1, -1, 64), m.f(x.mean((2, 3))).reshape(-1, 1, 1), groups=3 * len(x)
    ).reshape(x.shape)
)
case("convolutions mixed by a gate", a=conv, b=conv, g=lambda: nn.Linear(3, 2))(
    lambda m, x: (
        m.g(x.mean((2, 3))).softmax(1)[:, :, None, None, None] * torch.stack([m.a(x), m.b(x)], 1)
    ).sum(1)
)
case("convolution with a standardised weight", c=conv)(
    lambda m, x: F.gelu(
        F.conv2d(x, F.batch_norm(m.c.weight.reshape(1, 3, -1), None, None, training=True).view_as(m.c.weight))
    )
)
case("linear with a weight that depends on the input", f=lambda: nn.Linear(8, 5))(
    lambda m, x: F.linear(m.f.weight, x.square().reshape(-1, 8)).reshape(5, -1, 24).transpose(0, 1)
)
case("linear with a weight and a bias that depend on the input", f=lambda: nn.Linear(8, 5))(
    lambda m, x: (
        F.linear(m.f.weight, x.tanh().reshape(-1, 8), x.exp().sum(3).flatten())
        .reshape(5, -1, 24)
        .transpose(0, 1)
        .square()
    )
)
case("linear by weights of the image's own", f=lambda: nn.Linear(3, 24))(
    lambda m, x: torch.bmm(x.flatten(2).transpose(1, 2), m.f(x.mean((2, 3))).view(-1, 3, 8))
)
case("fft filter")(lambda m, x: torch.fft.irfft2(torch.fft.rfft2(x) * (1.5 + 0.3j)))
case("fft product")(lambda m, x: torch.fft.irfft2(torch.fft.rfft2(x) * torch.fft.rfft2(x.tanh())))
case("fft size")(lambda m, x: torch.fft.rfft2(x).abs())

case("softmax")(lambda m, x: x.softmax(1) * x)
case("softmax with a wide spread")(lambda m, x: (30 * x).softmax(3))
case("log_softmax")(lambda m, x: x.log_softmax(1))
case("softmin")(lambda m, x: F.softmin(x, 1))
case("logsumexp")(lambda m, x: x.logsumexp((2, 3)).repeat(1, 8) + x.logsumexp(3).flatten(1))
case("logaddexp")(lambda m, x: torch.logaddexp(x, x.flip(1)))

case("max pooling with overlap after relu")(lambda m, x: F.max_pool2d(F.relu(x), 3, 2, 1, ceil_mode=True))
case("max pooling with dilation")(lambda m, x: F.max_pool2d(x, 2, 1, dilation=2))
case("max pooling 1d")(lambda m, x: F.max_pool1d(x.flatten(2), 3, 2))
case("max pooling 3d")(lambda m, x: F.max_pool3d(x.unsqueeze(1), (1, 2, 2)))
case("max pooling with places")(lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0])
case("adaptive max pooling")(lambda m, x: F.adaptive_max_pool2d(x, 3))
case("adaptive max pooling with places")(lambda m, x: F.adaptive_max_pool2d(x, 3, return_indices=True)[0])
case("amax over two dimensions")(lambda m, x: x.amax((2, 3), keepdim=True).expand(-1, -1, 4, 4))
case("amax of ties")(lambda m, x: F.relu(x - 3).amax((2, 3)).repeat(1, 8) + x.mean((2, 3)).repeat(1, 8))
case("max over a dimension")(lambda m, x: x.max(2)[0] + torch.max(x, dim=3).values + x.min(2).values)
case("amin")(lambda m, x: x.amin((1, 2)).repeat(1, 2))
case("maximum and minimum of two")(lambda m, x: torch.maximum(x, x.flip(1)) * torch.min(x, x.flip(2)))
case("maximum with a constant")(
    lambda m, x: torch.maximum(x, torch.tensor(0.2)) + torch.max(x, torch.zeros(8, device=x.device))
)
case("lp pooling")(lambda m, x: F.lp_pool2d(x, 2.0, 2))
case("generalised mean pooling")(lambda m, x: F.avg_pool2d(x.clamp(min=1e-6).pow(3), 2).pow(1 / 3))

case("batch norm", n=lambda: nn.BatchNorm2d(3))(lambda m, x: m.n(x))
case("layer norm", n=lambda: nn.LayerNorm([8, 8]))(lambda m, x: m.n(x))
case("group norm", n=lambda: nn.GroupNorm(3, 3))(lambda m, x: m.n(x))
case("instance norm", n=lambda: nn.InstanceNorm2d(3, affine=True))(lambda m, x: m.n(x))
case("instance norm with running statistics", n=lambda: nn.InstanceNorm2d(3, track_running_stats=True))(
    lambda m, x: m.n(x).relu()
)
case("rms norm", n=lambda: nn.RMSNorm(8))(lambda m, x: m.n(x))
case("local response norm")(lambda m, x: F.local_response_norm(x, 2))
case("conditional batch norm")(
    lambda m, x: F.batch_norm(x, torch.zeros(3).to(x), torch.ones(3).to(x)) * x.mean((2, 3), keepdim=True)
)
case("normalize")(lambda m, x: F.normalize(x, dim=1) + F.normalize(x, p=1.0, dim=2))
case("cosine similarity")(lambda m, x: F.cosine_similarity(x, x.flip(2), dim=1))
case("vector norms")(
    lambda m, x: (
        x.norm(dim=1) + torch.linalg.vector_norm(x, 3, dim=1) + x.norm(p=1, dim=(1,)) + torch.norm(x, dim=1)
    )
)
case("infinity norm and matrix norm")(
    lambda m, x: (
        torch.linalg.vector_norm(x, float("inf"), dim=2) + torch.linalg.norm(x, dim=(2, 3))[..., None]
    )
)
case("distances")(lambda m, x: torch.cdist(x, x.flip(1)) + F.pairwise_distance(x, x.flip(2)).unsqueeze(-1))
case("standard deviation")(
    lambda m, x: x / (x.std((1, 2, 3), keepdim=True) + 0.1) + torch.var_mean(x, 1, keepdim=True)[0]
)
case("norm by hand: rsqrt")(lambda m, x: x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-6))
case("norm by hand: power")(lambda m, x: x * (x.var((2, 3), keepdim=True) + 1e-6) ** -0.5)
case("norm by hand: quotient")(
    lambda m, x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-6).sqrt()
)
case("norm by hand: expanded")(
    lambda m, x: x * (0.5 * torch.rsqrt(x.var((2, 3)) + 1e-6))[:, :, None, None].expand(x.shape)
)
case("norm by hand: one over")(lambda m, x: x * (1 / (x.var((2, 3), keepdim=True) + 1e-6).sqrt()))

case("attention")(lambda m, x: F.scaled_dot_product_attention(x, x.tanh(), x))
case("attention, causal")(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.7))
case("attention with a mask")(lambda m, x: F.scaled_dot_product_attention(x, x, x, square(x).tril(2)))
case("attention with a bias")(lambda m, x: F.scaled_dot_product_attention(x, x, x, x.tanh()))
case("attention in groups")(
    lambda m, x: F.scaled_dot_product_attention(x.repeat(1, 2, 1, 1), x, x, enable_gqa=True)
)
case("MultiheadAttention", a=lambda: nn.MultiheadAttention(64, 4, batch_first=True))(
    lambda m, x: m.a(x.flatten(2), x.flatten(2), x.flatten(2))[0]
)
case("MultiheadAttention without weights", a=lambda: nn.MultiheadAttention(64, 4, batch_first=True))(
    lambda m, x: m.a(x.flatten(2), x.flatten(2), x.flatten(2), need_weights=False)[0]
)
case("MultiheadAttention, sequence first", a=lambda: nn.MultiheadAttention(64, 4))(
    lambda m, x: m.a(*[x.flatten(2).transpose(0, 1)] * 3)[0].transpose(0, 1)
)
case("attention where some see nothing")(
    lambda m, x: F.scaled_dot_product_attention(x, x, x, square(x).tril(-1))
)
case("attention where some see nothing, by a bias")(
    lambda m, x: F.scaled_dot_product_attention(
        x, x, x, x.new_zeros(8, 8).masked_fill(square(x).triu(), -torch.inf)
    )
)
case("attention by hand where some see nothing")(
    lambda m, x: (x @ x.mT).masked_fill(square(x).triu(), -torch.inf).softmax(-1).nan_to_num() @ x
)


def last_hidden(x: Tensor) -> Tensor:
    """A key-padding mask that hides the last of three positions."""
    return torch.tensor([[False, False, True]], device=x.device).expand(len(x), 3)


for needs_weights in (False, True):
    case(
        f"MultiheadAttention with a key-padding mask, weights {needs_weights}",
        a=lambda: nn.MultiheadAttention(64, 4, batch_first=True),
    )(
        lambda m, x, needs=needs_weights: m.a(
            *[x.flatten(2)] * 3, key_padding_mask=last_hidden(x), need_weights=needs
        )[0]
    )
case("MultiheadAttention with key-padding and causal masks", a=lambda: nn.MultiheadAttention(64, 4))(
    lambda m, x: m.a(
        *[x.flatten(2).transpose(0, 1)] * 3,
        key_padding_mask=last_hidden(x),
        attn_mask=square(x, 3).triu(1),
    )[0].transpose(0, 1)
)
case(
    "MultiheadAttention with biases of keys and values, and a zero to look at",
    a=lambda: nn.MultiheadAttention(64, 4, batch_first=True, add_bias_kv=True, add_zero_attn=True),
)(lambda m, x: m.a(*[x.flatten(2)] * 3)[0])
case(
    "MultiheadAttention with keys and values of other sizes",
    a=lambda: nn.MultiheadAttention(64, 4, kdim=32, vdim=16, batch_first=True),
)(lambda m, x: m.a(x.flatten(2), x.flatten(2)[..., :32], x.flatten(2)[..., :16])[0])
case("MultiheadAttention's weights", a=lambda: nn.MultiheadAttention(64, 4, batch_first=True))(
    lambda m, x: m.a(*[x.flatten(2)] * 3, average_attn_weights=False)[1]
)
case(
    "TransformerEncoder with norms first and a key-padding mask",
    a=lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(64, 4, 64, activation="gelu", norm_first=True, batch_first=True),
        2,
        enable_nested_tensor=False,
    ),
)(lambda m, x: m.a(x.flatten(2), src_key_padding_mask=last_hidden(x)))
case(
    "TransformerDecoder",
    a=lambda: nn.TransformerDecoder(
        nn.TransformerDecoderLayer(64, 4, 64, batch_first=True), 2, norm=nn.LayerNorm(64)
    ),
)(
    lambda m, x: m.a(
        x.flatten(2),
        x.flatten(2).tanh(),
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(3).to(x),
        memory_key_padding_mask=last_hidden(x),
    )
)
case("Transformer", a=lambda: nn.Transformer(64, 4, 1, 1, 64, batch_first=True))(
    lambda m, x: m.a(x.flatten(2), x.flatten(2).flip(1))
)
case(
    "TransformerEncoder",
    a=lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 64, batch_first=True), 2),
)(lambda m, x: m.a(x.flatten(2)))
case("LSTM", a=lambda: nn.LSTM(64, 8, 2, batch_first=True, bidirectional=True))(
    lambda m, x: m.a(x.flatten(2))[0]
)
case(
    "LSTM with projections", a=lambda: nn.LSTM(64, 16, 2, batch_first=True, proj_size=8, bidirectional=True)
)(lambda m, x: m.a(x.flatten(2))[0])
case("GRU", a=lambda: nn.GRU(64, 8, batch_first=True))(lambda m, x: m.a(x.flatten(2))[1][0])
case("RNN", a=lambda: nn.RNN(8, 8, batch_first=True))(lambda m, x: m.a(x.mean(1))[0])
case("LSTMCell", a=lambda: nn.LSTMCell(64, 16))(
    lambda m, x: m.a(x[:, 1].flatten(1), m.a(x[:, 0].flatten(1)))[0]
)

case("mask times x")(lambda m, x: x * (x > 0))
case("mask as a number times x")(lambda m, x: (x > 0).to(x.dtype) * x + x * (x.lt(0).type_as(x) * 0.1))
case("where on x")(lambda m, x: torch.where(x > 0, x, 0.1 * x))
case("where on x, method")(lambda m, x: x.where(x > 0, x.exp() - 1))
case("masked_fill on x")(lambda m, x: x.masked_fill(x < 0, 0.0))
case("masked_fill on x, in place", c=conv)(lambda m, x: (lambda y: y.masked_fill_(y < 0, 0.5))(m.c(x)))
case("smooth absolute value by hand")(lambda m, x: torch.where(x.abs() < 1, x * x / 2, x.abs() - 0.5))
case("combined masks")(lambda m, x: x * ((x > -0.5) & ~(x > 0.5)))
case("where with a constant condition")(
    lambda m, x: torch.where(square(x).tril(), x.exp(), x).masked_fill(
        torch.eye(8, dtype=torch.bool, device=x.device), 0.0
    )
)


@case("assigning by a mask", c=conv)
def assign_by_mask(m: Any, x: Tensor) -> Tensor:
    y = m.c(x)
    y[y < 0] = 0.0
    return y


@case("a check that is only asked")
def checked(m: Any, x: Tensor) -> Tensor:
    assert x.isfinite().all()
    return F.gelu(x)


@case("result of an in-place call dropped")
def dropped(m: Any, x: Tensor) -> Tensor:
    y = x * 2
    y.relu_()
    return y


@case("alias sees an in-place call", c=conv)
def alias(m: Any, x: Tensor) -> Tensor:
    y = m.c(x)
    z = y
    F.relu(y, inplace=True)
    return z + y


@case("kept, then written over", c=conv)
def written_over(m: Any, x: Tensor) -> Tensor:
    y = m.c(x)
    gate = F.gelu(y)
    y += 1.0
    y *= x
    y /= 2.0 + x.square()
    return gate * y


@case("in-place on views", c=conv)
def on_views(m: Any, x: Tensor) -> Tensor:
    y = m.c(x)
    y[:, 0].relu_()
    y[:, 1:].sigmoid_()
    return F.gelu(y)


@case("assigning into zeros", c=conv)
def into_zeros(m: Any, x: Tensor) -> Tensor:
    y = x.new_zeros(x.shape[0], 3, 8, 8)
    y[:, :2] = m.c(x)[:, :2].tanh()
    y[:, 2] = x[:, 0].exp()
    return y.softmax(1)


@case("in-place on a view of zeros")
def view_of_zeros(m: Any, x: Tensor) -> Tensor:
    y = x.new_zeros(x.shape[0], 3, 8, 8)
    v = y[:, 0]
    v.copy_(x[:, 0] * x[:, 1])
    v.relu_()
    return F.gelu(y) + y.exp()


@case("out=")
def with_out(m: Any, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    torch.mul(x, x, out=y)
    return torch.add(y, x, out=torch.empty_like(x))


case("writing into the input")(lambda m, x: F.gelu(x.sub_(0.5).div_(2.0)))
case("softmax_ and friends in place", c=conv)(
    lambda m, x: m.c(x).mul_(x).clamp_(-1, 1).exp_().add_(x).tanh_().addcmul_(x, x).neg_().abs_()
)
case("batch folded innermost", f=lambda: nn.Linear(3, 3))(
    lambda m, x: F.gelu(m.f(x.flatten(2).permute(2, 0, 1).reshape(-1, 3))).reshape(64, -1, 3).permute(1, 2, 0)
)
case("batch folded innermost, beside a large offset", f=lambda: nn.Linear(3, 3))(
    lambda m, x: (
        F.gelu(m.f(x.flatten(2).permute(2, 0, 1).reshape(-1, 3)) / 100 + 20)
        .reshape(64, -1, 3)
        .permute(1, 2, 0)
        .sub(20)
    )
)
case("batch folded in the middle", f=lambda: nn.Linear(8, 8))(
    lambda m, x: (
        F.gelu(m.f(x.permute(1, 0, 2, 3).reshape(-1, 8))).reshape(3, x.shape[0], 8, 8).transpose(0, 1)
    )
)
case("batch in dimension one")(lambda m, x: F.gelu(x.permute(1, 0, 2, 3)).permute(1, 0, 2, 3))
case("detach")(lambda m, x: F.gelu(x) * F.gelu(x).detach() + x.data.sigmoid())
case("rounding, straight through")(lambda m, x: x + (x.round() - x).detach())


@case("a gate under no_grad")
def gate_without_gradient(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        weight = x.mean((2, 3), keepdim=True).sigmoid()
    return x * weight


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return a * a.sigmoid()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        s = a.sigmoid()
        return g * (s * (1 + a * (1 - s)))


class SwishWithSetup(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor) -> Tensor:
        return a * a.sigmoid()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    backward = Swish.backward


case("custom autograd.Function")(lambda m, x: Swish.apply(x))
case("custom autograd.Function with setup_context")(lambda m, x: SwishWithSetup.apply(x))
for reentrant in (False, True):
    case(f"checkpoint, reentrant {reentrant}", c=conv)(
        lambda m, x, r=reentrant: torch.utils.checkpoint.checkpoint(
            lambda q: F.gelu(m.c(q)) * q, x, use_reentrant=r
        )
    )
case("torch.ops.aten")(lambda m, x: torch.ops.aten.gelu.default(torch.ops.aten.relu(x) + x))
case("pixel shuffle, roll, flip, unfold")(
    lambda m, x: (
        F.pixel_unshuffle(x, 2).flatten(1)
        + F.unfold(x.roll(1, 2).flip(3).relu(), 2, stride=2).flatten(1)
        + F.pixel_shuffle(F.pixel_unshuffle(x, 4), 4).exp().flatten(1)
    )
)
for mode in ("constant", "reflect", "replicate", "circular"):
    case(f"pad {mode}")(lambda m, x, mode=mode: F.gelu(F.pad(x, (1, 1, 1, 1), mode=mode)))
for mode in ("nearest", "bilinear", "bicubic", "area"):
    case(f"interpolate {mode}")(lambda m, x, mode=mode: F.gelu(F.interpolate(x, scale_factor=2, mode=mode)))
case("grid_sample with a constant grid")(
    lambda m, x: F.gelu(
        F.grid_sample(
            x,
            torch.linspace(-1, 1, 32).to(x).view(1, 4, 4, 2).expand(len(x), -1, -1, -1),
            align_corners=False,
        )
    )
)
case(
    "stochastic depth and dropout",
    d=lambda: nn.Dropout(0.5),
    s=lambda: torchvision.ops.StochasticDepth(0.5, "row"),
)(lambda m, x: m.s(F.gelu(m.d(x))))
case("half precision inside")(lambda m, x: F.gelu(x.half().to(x.dtype)) * x.to(torch.bfloat16))


@case("autocast inside", c=conv)
def autocast(m: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return F.gelu(m.c(x)) @ x


@case(
    "spectral norm and weight norm",
    c=lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 1)),
    d=lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)),
)
def reparametrised(m: Any, x: Tensor) -> Tensor:
    return m.d(F.gelu(m.c(x)))


class PlainTensor(nn.Module):
    """A tensor with a gradient that is no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(3, 1, 1, dtype=torch.float64, requires_grad=True)
        self.made = self.scale * 2

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x * self.scale.tanh() * self.made.to(x.dtype))


case("a tensor with a gradient that is no parameter", c=PlainTensor)(lambda m, x: m.c(x))
case("indexing with constants")(
    lambda m, x: F.gelu(x[:, :, [1, 3, 5]][..., torch.tensor([True, False] * 4)]).repeat(1, 2, 1, 1)
)
case("iterating over the channels")(lambda m, x: torch.stack([q.relu() * q for q in x.unbind(1)], 1))


def _hooked() -> nn.Module:
    module = block()
    module[1].register_forward_hook(lambda _module, _inputs, output: output * output)  # type: ignore[index]
    return module


case("forward hook that returns another tensor", c=_hooked)(lambda m, x: m.c(x))


def _watched() -> nn.Module:
    module = block()
    module.register_full_backward_hook(lambda *_: 1 / 0)  # type: ignore[arg-type,return-value]
    module.register_full_backward_pre_hook(lambda *_: 1 / 0)  # type: ignore[arg-type,return-value]
    return module


case("backward hooks, which are not for multipliers", c=_watched)(lambda m, x: m.c(x).relu())


@case("hooks on an activation, as Grad-CAM sets them", c=conv)
def watched_activation(m: Any, x: Tensor) -> Tensor:
    y = m.c(x)
    if y.requires_grad:
        y.register_hook(lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
        y.retain_grad()
    return F.gelu(y)


case("parts of a complex number, a Hermitian transform and an integral")(
    lambda m, x: (
        torch.complex(x, x.tanh()).abs().flatten(1)[:, :16]
        + torch.fft.hfft(x).tanh().flatten(1)[:, :16]
        + torch.trapezoid(x.tanh(), dim=3).square().flatten(1)[:, :16]
    )
)
case("reused module", c=block)(lambda m, x: m.c(m.c(x)))

for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        case(f"grid_sample with a computed grid, {mode}, {padding}")(
            lambda m, x, mode=mode, padding=padding: F.grid_sample(
                x, 1.3 * x[:, :2].permute(0, 2, 3, 1), mode, padding, align_corners=padding == "border"
            )
        )
case("grid_sample of a constant, where the image says")(
    lambda m, x: F.grid_sample(
        torch.arange(192).view(1, 3, 8, 8).to(x).sin().expand(len(x), -1, -1, -1),
        x[:, :2].permute(0, 2, 3, 1),
        align_corners=False,
    )
)
case("grid_sample of a volume with a computed grid")(
    lambda m, x: F.grid_sample(
        x.unsqueeze(2).repeat(1, 1, 3, 1, 1), x.permute(0, 2, 3, 1).unsqueeze(1), align_corners=False
    )
)
case("spatial transformer", f=lambda: nn.Linear(3, 6))(
    lambda m, x: F.grid_sample(
        x,
        F.affine_grid(
            m.f(x.mean((2, 3))).view(-1, 2, 3) + torch.eye(2, 3).to(x), list(x.shape), align_corners=False
        ),
        align_corners=False,
    )
)


def offsets(groups: int = 1) -> nn.Module:
    return nn.Conv2d(3, 18 * groups, 3, padding=1)


case("deformable convolution", o=offsets, c=lambda: nn.Conv2d(3, 6, 3))(
    lambda m, x: torchvision.ops.deform_conv2d(x, 3 * m.o(x), m.c.weight, m.c.bias, padding=1)
)
case(
    "deformable convolution with a mask",
    o=offsets,
    k=lambda: nn.Conv2d(3, 9, 3, padding=1),
    c=lambda: nn.Conv2d(3, 6, 3),
)(lambda m, x: torchvision.ops.deform_conv2d(x, m.o(x), m.c.weight, padding=1, mask=m.k(x).sigmoid()).relu())
case("deformable convolution in groups", o=lambda: offsets(3), c=lambda: nn.Conv2d(3, 6, 3, groups=3))(
    lambda m, x: torchvision.ops.deform_conv2d(x, m.o(x)[..., ::2, ::2], m.c.weight, stride=2, padding=1)
)
case("deformable convolution with constant offsets", c=lambda: nn.Conv2d(3, 6, 3))(
    lambda m, x: torchvision.ops.deform_conv2d(
        x,
        torch.full((len(x), 18, 6, 6), 0.3).to(x),
        m.c.weight,
        m.c.bias,
        mask=torch.full((len(x), 9, 6, 6), 0.7).to(x),
    ).tanh()
)
case("roi_align with constant boxes")(
    lambda m, x: (
        torchvision.ops.roi_align(
            x.tanh(), [torch.tensor([[1.0, 2.0, 6.0, 7.0], [0.5, 0.5, 3.0, 4.0]]).to(x)] * len(x), 4
        )
        .reshape(len(x), -1)
        .square()
    )
)
case("a loop over the images")(lambda m, x: torch.cat([F.gelu(i) for i in x.split(1)]))
case("cat of as many tensors as images")(lambda m, x: F.gelu(torch.cat(x.split(1))))
case("squeeze that drops a batch of one")(
    lambda m, x: F.gelu(F.adaptive_avg_pool2d(x, 1).squeeze()).reshape(x.shape[0], -1).repeat(1, 8)
)
