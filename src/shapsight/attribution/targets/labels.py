"""What a model calls its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shapsight.attribution.targets.aim import Labels, module_of


def labels_known(model: Any, names: Sequence[str] = ()) -> Labels:
    """The names that were given, or else those of a Hugging Face model's config; how many it has counts in any case."""
    config = getattr(module_of(model), "config", None)
    own = getattr(config, "id2label", None)
    found = tuple(str(own[n]) for n in sorted(own, key=int)) if isinstance(own, Mapping) and own else ()
    count = len(found) or None
    return Labels(tuple(names) or found, count or len(names) or None)
