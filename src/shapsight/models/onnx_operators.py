"""ONNX in the words that onnx2torch knows: newer operators, and constants where it looks for them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from torch import Tensor, nn

FAR = (
    2**31 - 1
)  # farther than any tensor reaches: ONNX writes "to the end" with larger numbers than PyTorch takes
# Whose axes are an attribute in the versions that onnx2torch knows, and an input since 18.
REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod SumSquare".split()


def to_torch(model: Any, *, frees_batch: bool = False) -> nn.Module:
    """An ONNX model as a network of PyTorch. Raises whatever onnx2torch raises where it cannot make one.

    `frees_batch`: of one that was exported for one image at a time, make a network that takes several. That is a guess
    at which of its shapes grow with them: try whether it answers the same.
    """
    from onnx import inliner
    from onnx2torch import convert

    _learn()
    content = model.SerializeToString()
    copy = inliner.inline_local_functions(model) if model.functions else type(model).FromString(content)
    _fold_constants(copy.graph)
    if frees_batch:
        _free_batch(copy)
    network: nn.Module = convert(copy)
    for name, layer in list(network.named_modules()):
        if isinstance(
            layer, nn.LayerNorm
        ):  # it reads them off the input's shape, which a file may leave open
            layer.normalized_shape = tuple(layer.weight.shape)
        if type(layer).__name__ == "OnnxSlice":
            network.set_submodule(name, _Sliced())
        if frees_batch and type(layer).__name__ == "OnnxConcat":
            network.set_submodule(name, _Joined(layer))
    return network.eval()


class _Sliced(nn.Module):
    """What onnx2torch indexes with a list, which PyTorch will read otherwise one day."""

    def forward(
        self,
        tensor: Tensor,
        starts: Tensor,
        ends: Tensor,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        """The tensor from starts to ends along the axes; with a step below 0, backwards."""
        index, backwards = [slice(None)] * tensor.dim(), []
        numbers = range(len(starts)) if axes is None else axes.tolist()
        strides = [1] * len(starts) if steps is None else steps.tolist()
        firsts, lasts = (side.clamp(-FAR, FAR).tolist() for side in (starts, ends))
        for axis, start, end, step in zip(numbers, firsts, lasts, strides, strict=True):
            if step > 0:
                index[axis] = slice(start, end, step)
                continue
            backwards.append(axis)
            index[axis] = slice(-start - 1, -end - 1, -step)
        return tensor.flip(backwards)[tuple(index)] if backwards else tensor[tuple(index)]


class _Joined(nn.Module):
    """Tensors joined, of which those that do not depend on the images, such as a class token, go with each of them."""

    def __init__(self, concat: nn.Module) -> None:
        super().__init__()
        self.concat = concat

    def forward(self, *tensors: Tensor) -> Tensor:
        """The tensors joined, the first dimension of all being the longest one's."""
        longest = max(len(tensor) for tensor in tensors)
        # All of them, also where that changes nothing: DeepSHAP compares the calls of one image with those of several.
        alike = (t if t.dim() == 1 else t.expand(longest, *t.shape[1:]) for t in tensors)
        joined: Tensor = self.concat(*alike)
        return joined


def _free_batch(model: Any) -> None:
    """Let the first dimension of what is reshaped grow with the images."""
    from onnx import numpy_helper, shape_inference

    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.output)
    }
    for node in graph.node:
        shape = shapes.get(node.output[0], [])
        if node.op_type == "Reshape" and node.input[0] not in weights and shape and all(shape):
            free = numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), f"{node.output[0]} freed")
            graph.initializer.append(free)
            node.input[1] = free.name
    graph.ClearField("value_info")
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "images"


def _fold_constants(graph: Any) -> None:
    """Constants, and other names of the same weights, become weights: layers look for theirs only there."""
    from onnx import numpy_helper

    weights = {weight.name: weight for weight in graph.initializer}
    kept = []
    for node in graph.node:
        value = None
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            value = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in weights:
            value = weights[node.input[0]]
        if value is None:
            kept.append(node)
            continue
        named = type(value).FromString(value.SerializeToString())
        named.name = node.output[0]
        weights[named.name] = named
    for node in kept:
        zeroes = [attribute for attribute in node.attribute if attribute.name == "allowzero"]
        shape = weights.get(node.input[1]) if zeroes else None
        if shape is not None and numpy_helper.to_array(shape).all():  # it has no say where nothing is 0
            node.attribute.remove(zeroes[0])
    for name in ("node", "initializer"):
        graph.ClearField(name)
    graph.node.extend(kept)
    graph.initializer.extend(weights.values())


@functools.cache
def _learn() -> None:
    """Teach onnx2torch newer operators.

    A version of an operator that it does not know is taken for the last one before that it does: most differ by the
    types that they take. Where one differs by more, the network answers otherwise than onnxruntime, and is not used.
    """
    from onnx import defs
    from onnx2torch.node_converters.registry import add_converter, get_converter

    add_converter("Gelu", 20)(_gelu)
    for reduction in REDUCTIONS:
        add_converter(f"Reduce{reduction}", 18)(_reduction)
    history: dict[str, list[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            history.setdefault(schema.name, []).append(schema.since_version)
    for name, versions in history.items():
        known = None
        for version in sorted(versions):
            try:
                known = get_converter(name, version)
            except NotImplementedError:
                if known is not None:
                    add_converter(name, version)(known)


def _gelu(node: Any, graph: Any) -> Any:
    from onnx2torch.utils.common import OperationConverterResult, onnx_mapping_from_node

    layer = nn.GELU(node.attributes.get("approximate", "none"))
    return OperationConverterResult(torch_module=layer, onnx_mapping=onnx_mapping_from_node(node=node))


def _reduction(node: Any, graph: Any) -> Any:
    from onnx2torch.node_converters.reduce import OnnxReduceStaticAxes
    from onnx2torch.utils.common import OnnxMapping, OperationConverterResult, get_const_value

    has_axes = len(node.input_values) > 1 and node.input_values[1]
    axes = get_const_value(node.input_values[1], graph).tolist() if has_axes else None
    keeps = node.attributes.get("keepdims", 1)
    layer = OnnxReduceStaticAxes(operation_type=node.operation_type, axes=axes, keepdims=keeps)
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        layer = nn.Identity()
    return OperationConverterResult(
        torch_module=layer, onnx_mapping=OnnxMapping(inputs=node.input_values[:1], outputs=node.output_values)
    )
