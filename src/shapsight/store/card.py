"""What a store says of itself, in the attributes of its Zarr group: its format, and all that its values depend on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shapsight.data.given_files import are, is_count, is_mapping, is_text, misfit, parsed_json
from shapsight.errors import StoreError

FAMILY = "shapsight.store"
VERSION = 1
BLOCK = 16  # images that are explained, written and counted together
GROUP = "zarr.json"
KINDS = {
    "method": is_text,
    "kind": is_text,
    "dtype": is_text,
    "output_names": are(is_text),
    "settings": is_mapping,
    "block": is_count,
}


FREE = {"settings": None, "model_name": None, "root": None}  # compared one by one, and not at all


@dataclass(frozen=True)
class Card:
    """What the values of a store depend on, beside the images: another card is another store.

    Attributes
        method: such as "deep". kind: "full", or "light" (maps of 28 × 28). dtype: of the values.
        output_names: a name for every column of the model's output.
        settings: those of the method, the hash of the model and of its references, the region of interest.
        model_name: what the model is called; root: where the images lie. Both may change.
        block: images that are written together.
    """

    method: str
    output_names: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "full"
    dtype: str = "float16"
    model_name: str = ""
    root: str = ""
    block: int = BLOCK

    def as_attributes(self) -> dict[str, Any]:
        """For the group's attributes, and as JSON gives them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return {"format": f"{FAMILY}/{VERSION}", **plain}

    def difference(self, other: Card) -> str:
        """What another card says differently: "outputs was x, is y; seed was 0, is 1"; empty where nothing is."""
        before, now = (
            {**card.as_attributes(), **card.as_attributes()["settings"], **FREE} for card in (self, other)
        )
        return "; ".join(
            f"{name} was {_short(before.get(name))}, is {_short(now.get(name))}"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        )


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card of the store at `path`.

    Raises `StoreError` where there is none, it is damaged, or of a version that this shapsight does not read.
    """
    file = Path(path) / GROUP
    if not Path(path).exists():
        raise StoreError(f"there is no store at {path}")
    if not file.is_file():
        raise StoreError(f"{path} is no store of explanations: it holds no {GROUP}")
    try:
        found = parsed_json(file.read_text(encoding="utf-8"))
        attributes = found["attributes"]
        family, _, version = str(attributes["format"]).partition("/")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged, or a Zarr group that shapsight did not write: {GROUP} has no format"
        ) from error
    if family != FAMILY:
        raise StoreError(f"{path} is no store of explanations: its format is {family!r}")
    if version != str(VERSION):
        raise StoreError(
            f"{path} is of version {version}; this shapsight reads version {VERSION}: update it to read the store, or "
            "name another --store"
        )
    if (wrong := misfit(attributes, KINDS)) is not None or attributes["block"] < 1:
        raise StoreError(f"{path} is damaged: its card cannot be read ({wrong or 'its block is empty'})")
    known = {name: attributes[name] for name in Card.__dataclass_fields__ if name in attributes}
    return Card(**{**known, "output_names": tuple(known["output_names"])})


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > 60 else text
