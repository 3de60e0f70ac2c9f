"""What every explainer returns: SHAP values of images, with all that is needed to judge and draw them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shapsight.errors import ExplainerError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "shapsight.explanation/1"
TENSORS = (
    "values",
    "base_values",
    "predictions",
    "completeness_gap",
    "output_index",
    "images",
    "std_errors",
    "unresolved",
)
Reduce = Literal["sum", "abs", "positive"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """SHAP values of images: each pixel's share of `prediction - base value`.

        explanation = DeepShap(model, references)(images)
        explanation.values            # (images, outputs, channels, height, width)
        explanation.heatmap()         # (images, outputs, height, width): summed over channels
        explanation.select(outputs="x").plot()
        explanation.save("egret.safetensors");  Explanation.load("egret.safetensors")

    Attributes
        values: in the unit of the output; `values.sum((2, 3, 4)) = predictions - base_values - completeness_gap`.
        base_values: mean prediction over the references.
        predictions: what the model says of the images.
        completeness_gap: `predictions - base_values - values.sum((2, 3, 4))`, 0 for an exact explanation.
        output_index: which column of the model's output each value explains; differs by image for `TopK`.
        output_names: a name for every column of the model's output, or empty.
        images: what to draw under the heatmaps, usually in [0, 1].
        std_errors: standard error of each value over the references or samples, where the method has them.
        unresolved: how much of each pixel's value, in absolute terms, was only spread evenly over a region that the
            budget did not split further; where the method works so.
        method: such as "DeepSHAP"; `settings`: what it was run with.
    """

    values: Float[Tensor, "images outputs channels height width"]
    base_values: Float[Tensor, "images outputs"]
    predictions: Float[Tensor, "images outputs"]
    completeness_gap: Float[Tensor, "images outputs"]
    output_index: Int[Tensor, "images outputs"]
    images: Float[Tensor, "images channels height width"]
    output_names: tuple[str, ...] = ()
    std_errors: Float[Tensor, "images outputs channels height width"] | None = None
    unresolved: Float[Tensor, "images outputs height width"] | None = None
    method: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "output_names", tuple(self.output_names))
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))
        count = tuple(self.values.shape[:2])
        if self.values.dim() != 5:
            raise ExplainerError(
                f"values must be (images, outputs, channels, height, width), not {tuple(self.values.shape)}"
            )
        for name in ("base_values", "predictions", "completeness_gap", "output_index"):
            shape = tuple(getattr(self, name).shape)
            if shape != count:
                raise ExplainerError(f"{name} has shape {shape}; values have {count} (images, outputs)")
        if len(self.images) != count[0]:
            raise ExplainerError(f"{len(self.images)} images to draw for values of {count[0]} images")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        images, outputs, *pixels = self.values.shape
        gap = self.completeness_gap.abs().max().item() if self.completeness_gap.numel() else 0.0
        shape = " × ".join(map(str, pixels))
        return (
            f"Explanation({self.method}: {images} images, {outputs} outputs, {shape}; largest gap {gap:.1e})"
        )

    def name_of(self, image: int, output: int) -> str:
        """The name of an image's nth explained output: `"x"`, `"American egret"`, or `"output 3"`."""
        column = int(self.output_index[image, output])
        return self.output_names[column] if column < len(self.output_names) else f"output {column}"

    def heatmap(self, reduce: Reduce = "sum") -> Float[Tensor, "images outputs height width"]:
        """One value a pixel: the sum over channels, the sum of absolute values, or of the positive ones only."""
        values = {"sum": self.values, "abs": self.values.abs(), "positive": self.values.clamp_min(0)}
        if reduce not in values:
            raise ExplainerError(f"reduce={reduce!r} is not one of {', '.join(map(repr, values))}")
        return values[reduce].sum(2)

    def select(
        self,
        images: int | slice | Sequence[int] | Tensor | None = None,
        outputs: int | str | Sequence[int | str] | None = None,
    ) -> Explanation:
        """The explanation of some images (numbers, slice or mask) and outputs (positions or names)."""
        rows = _positions(images, len(self))
        columns = torch.arange(self.values.shape[1])
        if outputs is not None:
            wanted = [outputs] if isinstance(outputs, int | str) else list(outputs)
            columns = torch.tensor([self._output_position(o) for o in wanted])
        chosen: dict[str, Any] = {
            name: tensor[rows][:, columns.to(tensor.device)]
            for name in TENSORS
            if name != "images" and (tensor := getattr(self, name)) is not None
        }
        return dataclasses.replace(self, images=self.images[rows], **chosen)

    def _output_position(self, output: int | str) -> int:
        count = self.values.shape[1]
        if isinstance(output, int):
            if not -count <= output < count:
                raise ExplainerError(f"output {output} is out of range: {count} outputs were explained")
            return output % count
        same_for_all = bool((self.output_index == self.output_index[:1]).all())
        names = [self.name_of(0, position) for position in range(count)] if same_for_all and len(self) else []
        if output not in names:
            raise ExplainerError(
                f"no explained output is called {output!r}; there are {names or 'only numbers'}"
            )
        return names.index(output)

    def plot(self, **options: Any) -> Figure:
        """Draw it: a row an image, a column an output. Options: see `shapsight.report.plots.image_plot`."""
        from shapsight.report.plots import image_plot

        return image_plot(self, **options)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one safetensors file with JSON metadata; complete or not at all."""
        from safetensors.torch import save_file

        path = Path(path)
        tensors = {
            name: t.detach().cpu().contiguous() for name in TENSORS if (t := getattr(self, name)) is not None
        }
        card = {"output_names": self.output_names, "method": self.method, "settings": dict(self.settings)}
        temporary = path.with_name(f".{path.name}.part")
        save_file(tensors, temporary, metadata={"format": FORMAT, "card": json.dumps(card, default=str)})
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Read what `save` wrote. Raises `ExplainerError` for a truncated file or one of another format."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise ExplainerError(
                        f"{path} is not an explanation of this version: format "
                        f"{metadata.get('format', 'unknown')!r}, expected {FORMAT!r}"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except FileNotFoundError as error:
            raise ExplainerError(f"there is no explanation at {path}") from error
        except SafetensorError as error:
            raise ExplainerError(f"{path} is damaged or not a safetensors file: {error}") from error
        return cls(**tensors, **json.loads(metadata["card"]))


def _positions(images: int | slice | Sequence[int] | Tensor | None, count: int) -> Tensor:
    if images is None:
        return torch.arange(count)
    if isinstance(images, slice):
        return torch.arange(count)[images]
    wanted = torch.as_tensor([images] if isinstance(images, int) else images).cpu()
    wanted = wanted.long() if not len(wanted) else wanted
    if wanted.dtype == torch.bool:
        if len(wanted) != count:
            raise ExplainerError(f"a mask over images needs {count} entries, this one has {len(wanted)}")
        return wanted.nonzero().flatten()
    if len(wanted) and not (-count <= int(wanted.min()) and int(wanted.max()) < count):
        raise ExplainerError(f"image numbers {wanted.tolist()} go beyond the {count} images explained")
    return wanted
