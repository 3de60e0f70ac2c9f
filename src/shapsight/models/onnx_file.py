"""An ONNX file as a model: a network of PyTorch where that answers alike, otherwise asked through onnxruntime."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from shapsight.errors import MissingDependency, ModelError
from shapsight.models.columns import as_columns
from shapsight.models.functions import Asked, Layout, in_batches_of
from shapsight.models.modes import in_eval_mode
from shapsight.models.onnx_operators import to_torch

AGREES = 1e-4  # of the largest answer: what two libraries' roundings differ by
PROBES = 3
NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """What an ONNX file says of itself, and its content, which a saved bundle holds.

    Attributes
        layout: of the images that it takes.
        size: their height and width; None where the file leaves them open.
        numbers: their type.
        batch: how many it takes at a time; None for any number.
        output: the name of the output that is explained.
    """

    name: str
    content: bytes
    input: str
    layout: Layout
    channels: int
    size: tuple[int, int] | None
    numbers: Any
    batch: int | None
    output: str
    session: Any

    @classmethod
    def read(cls, path: str | os.PathLike[str], output: str | int | None = None) -> OnnxFile:
        """Read a file with the weights beside it.

        Raises `ModelError` for a file that is missing, damaged, needs other files than those in its folder, has an
        operator that onnxruntime does not know, or takes something else than one batch of images.
        """
        path = Path(path)
        return cls.of(_content(path), path.name, output)

    @classmethod
    def of(cls, content: bytes, name: str, output: str | int | None = None) -> OnnxFile:
        """The same of a file's content with all weights in it."""
        _, onnxruntime = _libraries()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each of its causes
            raise ModelError(f"{name}: onnxruntime cannot run this model: {_first_line(error)}") from error
        given = session.get_inputs()
        if len(given) != 1:
            raise ModelError(
                f"{name} has {len(given)} inputs ({', '.join(i.name for i in given)}), and one batch of images is "
                "given: pass a function of the images that fills in the others, Bundle.wrap(lambda images: "
                "session.run(None, {...})[0], ...)"
            )
        layout, channels, size, batch = _shape(name, given[0])
        if given[0].type not in NUMBERS:
            raise ModelError(f"{name} takes {given[0].type}, which are no numbers of images")
        outputs = [one.name for one in session.get_outputs()]
        return cls(
            name, content, given[0].name, layout, channels, size, NUMBERS[given[0].type], batch,
            _named_output(name, outputs, output), session,
        )  # fmt: skip

    @property
    def sha256(self) -> str:
        """Of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pixels as they are decoded, from 0 to 255."""
        return bool(self.numbers == np.uint8)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """What onnxruntime answers, as many images at a time as the file takes."""
        if self.takes_bytes:
            images = np.clip(images.round(), 0, 255)
        given = images.astype(self.numbers)
        parts = [given] if self.batch is None else in_batches_of(self.batch, given)
        answers = [self.session.run([self.output], {self.input: part})[0] for part in parts]
        return np.concatenate(answers)[: len(images)]


class OnnxNetwork(nn.Module):
    """A network of PyTorch that was made of an ONNX file. It takes images with channels first."""

    def __init__(self, network: nn.Module, file: OnnxFile) -> None:
        super().__init__()
        self.network, self.file = network, file

    def forward(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images outputs"]:
        """A row for each image."""
        given = images.permute(0, 2, 3, 1) if self.file.layout == "channels last" else images
        return as_columns(self.network(given), len(images))


def as_module(file: OnnxFile, size: tuple[int, ...]) -> tuple[nn.Module, str]:
    """The file as a network of PyTorch that answers as onnxruntime does, or else as a function; and a line on which.

    Arguments
        size: height and width of the images that both are tried on.
    """
    if len(size) != 2 or file.size not in (None, size):
        takes = "images" if file.size is None else f"images of {file.size[0]} × {file.size[1]} pixels"
        raise ModelError(
            f"{file.name} takes {takes}, and is given {' × '.join(map(str, size))}: "
            "let the transform make them, or export the model for any size"
        )
    asked = Asked(file, file.layout, name=file.name)
    network, reason = _network(file, asked, size)
    if network is not None:
        return network, (
            f"{file.name} runs as a network of PyTorch, made by onnx2torch, with the answers of onnxruntime: DeepSHAP "
            "and GradientSHAP look inside."
        )
    return asked, f"{file.name} is asked through onnxruntime, because {reason}."


def file_of(model: nn.Module) -> OnnxFile | None:
    """The ONNX file that a module was made of; None for others."""
    for module in model.modules():
        for held in (getattr(module, "file", None), getattr(module, "function", None)):
            if isinstance(held, OnnxFile):
                return held
    return None


def _network(file: OnnxFile, asked: Asked, size: tuple[int, ...]) -> tuple[nn.Module | None, str]:
    if file.numbers != np.float32:
        kind = np.dtype(file.numbers).name
        return None, f"it takes {kind}, and a network that gradients pass is in float32: export it in float32"
    onnx, _ = _libraries()
    model = onnx.load_from_string(file.content)
    for one in [one for one in model.graph.output if one.name != file.output]:
        model.graph.output.remove(one)
    probes = torch.rand(PROBES, file.channels, *size, generator=torch.Generator().manual_seed(0))
    expected = asked(probes)
    reason = ""
    for frees_batch in (False, True) if file.batch == 1 else (False,):
        try:
            network = OnnxNetwork(to_torch(model, frees_batch=frees_batch), file)
        except NotImplementedError as error:
            return None, f"onnx2torch does not know all of it ({_unknown(model, error)})"
        except Exception as error:  # whatever it meets in a graph of others
            return None, f"onnx2torch cannot read it ({type(error).__name__}: {_first_line(error)})"
        reason = _difference(network, probes, expected)
        if not reason:
            return network, ""
    fixed = (
        f"; it was exported for {file.batch} at a time: export it with a dynamic batch" if file.batch else ""
    )
    return None, f"the network that onnx2torch makes of it {reason}{fixed}"


def _difference(network: nn.Module, probes: Tensor, expected: Tensor) -> str:
    """How a network answers otherwise than expected; nothing where it does not."""
    try:
        with torch.no_grad(), in_eval_mode(network):
            found = network(probes)
    except Exception as error:
        return f"fails on several images ({_first_line(error)})"
    off = float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
    return "" if off <= AGREES else f"answers otherwise (by {off:.2g} of the answer)"


def _unknown(model: Any, error: Exception) -> str:
    """The operator that is not known, and the way round."""
    text = str(error)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if "operation_type='" not in text:
        return f"{_first_line(error)}, opset {opset}; another opset may do: torch.onnx.export(..., opset_version=17)"
    operator = text.partition("operation_type='")[2].partition("'")[0]
    return f"the operator {operator} of opset {opset}; another opset may do: torch.onnx.export(..., opset_version=17)"


def _content(path: Path) -> bytes:
    """The file with the weights that lie beside it. No code is run, and no file outside its folder is read."""
    onnx, _ = _libraries()
    from google.protobuf.message import DecodeError, EncodeError

    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "not there"
        raise ModelError(f"the ONNX file {path} is {what}: a model is named by that path, or given itself")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path} is damaged or no ONNX file: {_first_line(error)}") from error
    except EncodeError as error:
        raise ModelError(
            f"{path} is larger than 2 GB with its weights, which is more than an ONNX file holds in one piece: pass "
            "onnxruntime.InferenceSession(path) instead, which is asked as a function"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read: {_first_line(error)}. Weights that are kept beside it must lie in its folder"
        ) from error
    return content


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnx2torch  # noqa: F401 (asked for here, so that all three are named together)
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"ONNX files need {error.name}, which is not installed: pip install 'shapsight[onnx]'"
        ) from error
    return onnx, onnxruntime


def _shape(name: str, given: Any) -> tuple[Layout, int, tuple[int, int] | None, int | None]:
    """Layout, channels, size and batch of the input, as far as the file says them."""
    shape = [side if isinstance(side, int) and side > 0 else None for side in given.shape]
    if len(shape) != 4:
        raise ModelError(
            f"{name} takes {given.name} of shape {tuple(given.shape)}, and a batch of images has four dimensions: pass "
            "a function of the images that makes it"
        )
    is_last = shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4)
    channels = shape[3] if is_last else shape[1]
    height, width = shape[1:3] if is_last else shape[2:]
    size = None if height is None or width is None else (height, width)
    return "channels last" if is_last else "channels first", channels or 3, size, shape[0]


def _named_output(name: str, outputs: list[str], output: str | int | None) -> str:
    if output is None and len(outputs) == 1:
        return outputs[0]
    if isinstance(output, int) and -len(outputs) <= output < len(outputs):
        return outputs[output]
    if output in outputs:
        return str(output)
    asked = "" if output is None else f", and none is called {output!r}"
    raise ModelError(
        f"{name} has {len(outputs)} outputs ({', '.join(outputs)}){asked}: say with output= which is meant"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
