"""Explanations that are made once: kept image by image, and only for the model that they are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import pandas as pd
from jaxtyping import UInt8
from torch import Tensor

from shapsight.attribution.explain import attributions
from shapsight.attribution.explanation import Explanation
from shapsight.attribution.shared.outputs import Outputs, TopK
from shapsight.data.given_files import read_json
from shapsight.data.written_files import write_text, written
from shapsight.errors import ExplainerError, RunError
from shapsight.models.bundle import Bundle
from shapsight.studies.diagnose.case import Report, silent
from shapsight.studies.shared.store import kept

CARD = "card.json"
CHUNK = 16  # images that are explained before the next file is written


@dataclass(frozen=True)
class Identity:
    """What explanations depend on beside the image: another value is another explanation."""

    model_hash: str
    references: int
    outputs: tuple[str, ...]
    method: str


class StoredExplanations:
    """A folder of explanations of one model, to which images are added as they are explained.

        kept = StoredExplanations(folder, bundle, ("x",), references=50)
        kept.explain(images, paths, report)       # goes on where it was stopped; (images, 1, 3, size, size)

    `outputs` are targets; without any, the class that each image is taken for is explained. An image is known by its
    pixels, so a file that changed is explained anew. Raises `RunError` where the folder holds explanations of another
    model than the bundle.
    """

    def __init__(self, folder: Path, bundle: Bundle, outputs: Sequence[str], *, references: int) -> None:
        self.bundle = bundle
        used = min(references, len(bundle.references))
        method = "DeepSHAP" if bundle.has_gradients else "PartitionSHAP"
        self.identity = Identity(bundle.fingerprint, used, tuple(outputs), method)
        how = [] if bundle.chosen is None or bundle.chosen.pool_size is None else ["chosen"]
        name = "_".join(
            [
                "deep" if bundle.has_gradients else "partition",
                *(self.identity.outputs or ("class",)),
                str(used),
                *how,
            ]
        )
        self.folder = folder / "".join(
            letter if letter.isalnum() or letter in "_-" else "-" for letter in name
        )
        self._check(folder)

    def explain(
        self,
        images: UInt8[Tensor, "images 3 size size"],
        paths: Sequence[str],
        report: Report = silent,
        *,
        chunk: int | None = None,
    ) -> Explanation:
        """The explanation of all images, in their order; those that are there already are read."""
        for half in self.folder.glob(".*.part"):  # of a process that was killed while it wrote
            half.unlink()
        keys = [_fingerprint(image) for image in images]
        known = self._known()
        missing = [number for number, key in enumerate(keys) if key not in known]
        done = len(keys) - len(missing)
        report(done, len(keys))
        chunk = CHUNK if chunk is None else chunk
        for start in range(0, len(missing), chunk):
            numbers = missing[start : start + chunk]

            def part(steps: int, total: int, before: int = done + start, size: int = len(numbers)) -> None:
                report(before + size * steps // max(total, 1), len(keys))

            self._add(images[numbers], [keys[n] for n in numbers], [paths[n] for n in numbers], part)
        return self._read(keys)

    def _add(
        self, images: UInt8[Tensor, "n 3 s s"], keys: Sequence[str], paths: Sequence[str], report: Report
    ) -> None:
        outputs: Outputs = list(self.identity.outputs) or TopK(1)
        used = self.identity.references
        found = attributions(self.bundle, images, outputs, references=used, progress=report)
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / CARD).exists():
            write_text(self.folder / CARD, json.dumps(asdict(self.identity), indent=2) + "\n")
        numbers = [int(path.stem) for path in self.folder.glob("*.csv") if path.stem.isdigit()]
        stem = self.folder / f"{max(numbers, default=0) + 1:04}"
        found.save(stem.with_suffix(".safetensors"))
        # The table comes last: without it the explanations do not count.
        with written(stem.with_suffix(".csv")) as part:
            pd.DataFrame({"path": list(paths), "pixels": list(keys)}).to_csv(part, index=False)

    def _known(self) -> dict[str, tuple[Path, int]]:
        """Where each image's explanation is."""
        known: dict[str, tuple[Path, int]] = {}
        for table in sorted(self.folder.glob("*.csv")):
            file = table.with_suffix(".safetensors")
            if file.is_file():
                # Of a damaged table none is known, so they are made anew.
                keys = kept(table, lambda path: list(pd.read_csv(path, dtype=str)["pixels"])) or ()
                known |= {str(key): (file, number) for number, key in enumerate(keys)}
        return known

    def _read(self, keys: Sequence[str]) -> Explanation:
        known = self._known()
        files = list(dict.fromkeys(known[key][0] for key in keys))
        loaded = [self._load(file) for file in files]
        starts = dict(zip(files, accumulate(map(len, loaded), initial=0), strict=False))
        whole = Explanation.concatenate(loaded) if len(loaded) > 1 else loaded[0]
        return whole.select(images=[starts[known[key][0]] + known[key][1] for key in keys])

    def _load(self, file: Path) -> Explanation:
        try:
            return Explanation.load(file)
        except ExplainerError:
            # It counts no longer, so the next call makes it anew.
            file.with_suffix(".csv").unlink(missing_ok=True)
            raise RunError(f"{file} is damaged; run the same command again to make it anew") from None

    def _check(self, folder: Path) -> None:
        for path in sorted(folder.glob(f"*/{CARD}")):
            found = _model_hash(path)
            if found != self.identity.model_hash:
                raise RunError(
                    f"the explanations in {path.parent} are of another model (weights {str(found)[:12]}) than this "
                    f"run's (weights {self.identity.model_hash[:12]}): was it trained again? Use --overwrite to make "
                    "them anew, or another --out"
                )


def _model_hash(path: Path) -> str:
    try:
        card = read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}): delete {path.parent}, and it is made anew") from error
    return str(card.get("model_hash")) if isinstance(card, dict) else "unknown"


def _fingerprint(image: UInt8[Tensor, "3 size size"]) -> str:
    """sha256 of an image's pixels."""
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()[:24]


def fingerprint_of(images: UInt8[Tensor, "images 3 size size"]) -> str:
    """sha256 over the pixels of some images, in their order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(_fingerprint(image).encode())
    return digest.hexdigest()
