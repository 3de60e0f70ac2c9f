"""Matrix products, convolutions and other sums of products: linear in each of their operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from shapsight.attribution.deep.rules.products import product
from shapsight.attribution.deep.rules.rule import followed, paired
from shapsight.attribution.shared.strided import convolve

if TYPE_CHECKING:
    from shapsight.attribution.deep.call import Call

MATMULS: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys("matmul bmm mm mv dot".split(), torch.matmul),
    **{name: getattr(torch, name) for name in "outer inner kron".split()},
}
MATMULS["_sparse_mm"] = torch.sparse.mm  # by a constant that is sparse; activations that are so are refused


@paired(*MATMULS, "rmatmul")
def matrix_multiply(call: Call, input: Tensor, other: Tensor) -> Tensor:
    """Both matmuls of an attention; linear where one side is a weight."""
    if call.name == "rmatmul":
        return product(call, torch.matmul, other, input)
    return product(call, MATMULS[call.name], input, other)


@paired("tensordot", "cross")
def tensor_multiply(call: Call, input: Tensor, other: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Products with further arguments, such as the dimensions that are summed over."""
    function: Callable[..., Tensor] = {"tensordot": torch.tensordot, "cross": torch.linalg.cross}[call.name]
    return product(call, lambda a, c: function(a, c, *args, **kwargs), input, other)


@followed("chain_matmul", "multi_dot")
def chain(_call: Call, *matrices: Any) -> Tensor:
    """A product of several matrices, from left to right."""
    operands: Sequence[Tensor] = matrices[0] if len(matrices) == 1 else matrices
    return reduce(torch.matmul, operands)


@paired("linear")
def linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Linear, also where the weight is made from the input."""
    if not call.depends(weight):
        return F.linear(input, weight, bias)
    y = product(call, F.linear, input, weight)
    return y if bias is None else y + bias


@paired("bilinear")
def bilinear(call: Call, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """`x₁ᵀ W x₂`, with a constant W."""
    if call.depends(weight):
        return NotImplemented
    y = product(call, lambda a, c: F.bilinear(a, c, weight), input1, input2)
    return y if bias is None else y + bias


@paired("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "conv")
def convolution(
    call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Any:
    """A convolution; with a weight that depends on the input (dynamic filters) a product."""
    function = torch.convolution if call.name == "conv" else getattr(F, call.name)
    if not call.depends(weight):
        if call.name == "conv2d" and not call.depends(bias):
            return convolve(input, weight, bias, *args, **kwargs)
        return function(input, weight, bias, *args, **kwargs)
    y = product(call, lambda a, c: function(a, c, None, *args, **kwargs), input, weight)
    return y if bias is None else y + bias.reshape(-1, *[1] * (weight.dim() - 2))


@paired("einsum")
def einsum(call: Call, equation: Any, *operands: Any) -> Any:
    """A sum of products; with three or more dependent operands one product after another."""
    if not isinstance(equation, str):  # the form of operands and lists of dimensions in turn
        return NotImplemented
    tensors = list(operands[0]) if isinstance(operands[0], list | tuple) else list(operands)
    dependent = [number for number, tensor in enumerate(tensors) if call.depends(tensor)]
    if len(dependent) < 2:
        return torch.einsum(equation, *tensors)
    if len(dependent) > 2:
        return _contract_in_turn(call, equation, tensors)
    first, second = dependent

    def function(a: Tensor, c: Tensor) -> Tensor:
        filled = [*tensors]
        filled[first], filled[second] = a, c
        return torch.einsum(equation, *filled)

    return product(call, function, tensors[first], tensors[second])


def _contract_in_turn(call: Call, equation: str, tensors: list[Tensor]) -> Any:
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or "." in equation:
        return NotImplemented
    term, result = terms[0], tensors[0]
    for number in range(1, len(tensors)):
        needed = set(output).union(*terms[number + 1 :])
        kept = "".join(sorted(set(term + terms[number]) & needed)) if number < len(tensors) - 1 else output
        step = partial(torch.einsum, f"{term},{terms[number]}->{kept}")
        result = product(call, step, result, tensors[number])
        term = kept
    return result


@followed("addmm", "baddbmm", "addmv", "addbmm", "addr")
def add_product(call: Call, input: Any, a: Tensor, c: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """`beta · input + alpha · (a @ c)`; addbmm sums over its batch, addr takes two vectors."""
    y = torch.outer(a, c) if call.name == "addr" else a @ c
    if call.name == "addbmm":
        y = y.sum(0)
    return y * alpha if beta == 0 else beta * input + alpha * y
