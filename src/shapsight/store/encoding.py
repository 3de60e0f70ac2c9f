"""An explanation as the arrays and rows of a store, and back: whole, or light with maps of 28 × 28."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.attribution.explanation.storage import HALVED, SCALE, halved, restored
from shapsight.errors import StoreError
from shapsight.store.card import Card

KINDS = ("full", "light")
DTYPES = ("float16", "float32")
SIDE = 28  # of a light map
WHOLE = ("values", "above_noise")  # what is kept of an explanation that has a value for each pixel
PER_OUTPUT = ("predictions", "base_values", "completeness_gap", "output_index")
Arrays = Mapping[str, ndarray]


def encoded(
    explanations: Sequence[Explanation], pictures: Tensor, card: Card
) -> tuple[dict[str, ndarray], list[dict[str, Any]]]:
    """The arrays of some images, the image first, and what their rows say of the explanation.

    Each explanation is of one image, and `pictures` are what the model sees of them. Each image is encoded by itself,
    so that its numbers are the same whatever stands beside it.
    """
    pictures = _shrunk(pictures) if card.kind == "light" else pictures
    arrays, rows = [], []
    for whole in explanations:
        one = light(whole) if card.kind == "light" else whole
        tensors = {
            name: t.detach().cpu() for name in (*WHOLE, *PER_OUTPUT) if (t := getattr(one, name)) is not None
        }
        if one.outlines is not None:  # of the image's own size, which others may not have
            tensors["outlines"] = one.outlines[None].cpu()
        stored: dict[str, Any] = {"largest_error": 0.0, "largest_gap_change": 0.0}
        if card.dtype == "float16":
            tensors, stored = halved(tensors)
        arrays.append({name: tensor.numpy() for name, tensor in tensors.items() if name not in PER_OUTPUT})
        rows.append(
            {
                "method": one.method,
                "output": one.names()[0],
                "output_index": tensors["output_index"][0].tolist(),
                "prediction": tensors["predictions"][0].double().tolist(),
                "base_value": tensors["base_values"][0].double().tolist(),
                "completeness_gap": tensors["completeness_gap"][0].double().tolist(),
                "stored_error": float(stored["largest_error"]),
                "stored_gap_change": float(stored["largest_gap_change"]),
            }
        )
    found = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    return {**found, "images": pictures.cpu().numpy()}, rows


def decoded(arrays: Arrays, rows: Sequence[Mapping[str, Any]], card: Card) -> Explanation:
    """The explanation of some images, from their arrays and rows."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name, dimensions in HALVED.items():
        if (scale := tensors.pop(SCALE.format(name), None)) is not None:
            tensors[name] = restored(tensors[name], scale, dimensions)
    images = tensors.pop("images")
    like = tensors["values"]
    if (outlines := tensors.pop("outlines", None)) is not None and bool((outlines == outlines[:1]).all()):
        tensors["outlines"] = outlines[0]

    def column(name: str) -> Tensor:
        return torch.tensor(np.array([list(row[name]) for row in rows], float).reshape(like.shape[:2])).to(
            like
        )

    settings = dict(card.settings)
    if card.dtype == "float16":
        most = {name: max(float(row[name]) for row in rows) for name in ("stored_error", "stored_gap_change")}
        error, change = most.values()
        settings["stored"] = {"dtype": "float16", "largest_error": error, "largest_gap_change": change}
    return Explanation(
        **tensors,
        images=images.float() / 255 if images.dtype == torch.uint8 else images,
        predictions=column("prediction"),
        base_values=column("base_value"),
        completeness_gap=column("completeness_gap"),
        output_index=column("output_index").long(),
        output_names=card.output_names,
        method=str(rows[0]["method"]),
        model_name=card.model_name,
        settings=settings,
    )


def light(explanation: Explanation) -> Explanation:
    """The same sums on a grid of 28 × 28: each cell has the values of the pixels that it covers."""
    heat = explanation.heatmap().double()
    down, across = (_cells(size) for size in heat.shape[-2:])
    values = torch.einsum("...hw,ih,jw->...ij", heat, down, across).to(explanation.values)
    return Explanation(
        values=values.unsqueeze(2),
        images=_shrunk(explanation.images),
        **{name: getattr(explanation, name) for name in PER_OUTPUT},
        output_names=explanation.output_names,
        method=explanation.method,
        settings=explanation.settings,
        model_name=explanation.model_name,
    )


def _shrunk(pictures: Tensor) -> Tensor:
    down, across = (_cells(size) for size in pictures.shape[-2:])
    down, across = (cells / cells.sum(1, keepdim=True) for cells in (down, across))
    small = torch.einsum("...hw,ih,jw->...ij", pictures.double(), down, across)
    return small.round().to(pictures) if pictures.dtype == torch.uint8 else small.to(pictures)


def _cells(size: int) -> Float[Tensor, "cells pixels"]:
    """Which share of each pixel lies in each of 28 cells as wide as each other; of small images each pixel is one."""
    cells = min(SIDE, size)
    edges = torch.arange(cells + 1, dtype=torch.float64) * size / cells
    pixels = torch.arange(size, dtype=torch.float64)
    ends = torch.minimum(edges[1:, None], pixels + 1)
    return (ends - torch.maximum(edges[:-1, None], pixels)).clamp_min(0)


def check_kind(kind: str, dtype: str) -> None:
    """Raises `StoreError` for what is none."""
    for what, given, known in (("kind", kind, KINDS), ("dtype", dtype, DTYPES)):
        if given not in known:
            raise StoreError(f"{what}={given!r} is not one of {', '.join(known)}")
