"""`shap.PartitionExplainer` on PartitionShap."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from shapsight.attribution.partition import PartitionShap
from shapsight.attribution.partition.explainer import DEFAULT_EVALS, Contexts
from shapsight.attribution.shared.predictor import Predictor
from shapsight.attribution.targets.aimed import are_aimed
from shapsight.compat.shap.explainers.explainer import Explainer, refuse_link
from shapsight.compat.shap.explanation import Explanation
from shapsight.compat.shap.layout import Array
from shapsight.compat.shap.maskers import Image
from shapsight.compat.shap.not_offered import refusal, refuse_unknown
from shapsight.compat.shap.operations import OpChain
from shapsight.compat.shap.saved import read, write
from shapsight.errors import ExplainerError

DEFAULT_BATCH = 10

CALL_OPTIONS = (
    *("max_evals", "batch_size", "outputs", "fixed_context", "main_effects", "error_bounds", "silent"),
)


def _check_options(options: Mapping[str, Any]) -> None:
    if "partition_tree" in options:
        raise ExplainerError(
            "partition_tree= is for tables: an image's tree is that of its masker. For another one use "
            "shapsight.PartitionShap(model, masker, tree)"
        )
    refuse_unknown("PartitionExplainer", options, CALL_OPTIONS)


class OnCopies:
    """A function that may change the images it is given, as preprocessing often does, and how it answers."""

    def __init__(self, predict: Callable[[Array], Any]) -> None:
        self.predict = predict
        self.is_flat = False
        self.__name__ = getattr(predict, "__name__", type(predict).__name__)

    def __call__(self, images: Array) -> Any:
        """The function's answer for a copy of the images."""
        answer = self.predict(images.copy())
        with suppress(ValueError):  # detections, of which each image has another number
            self.is_flat = (answer.ndim if hasattr(answer, "ndim") else np.ndim(answer)) == 1
        return answer


class PartitionExplainer(Explainer):
    """Owen values of any function of images: the numbers of shap's own explainer.

        explainer = shap.PartitionExplainer(f, shap.maskers.Image("blur(64,64)", X[0].shape), output_names=names)
        values = explainer(X[1:3], max_evals=500, batch_size=50, outputs=shap.Explanation.argsort.flip[:4])
        values.shape                                           # (2, height, width, channels, 4)

    Arguments
        model: any function from images `(N, H, W, C)` to scores; it may change the images. An `nn.Module` gets
            `(N, C, H, W)`.
        masker: a `maskers.Image`.
        output_names: a name for every output of the function.
        max_evals, batch_size, ...: what a call takes may be given here instead.

    Raises `ExplainerError` for other maskers.
    """

    def __init__(
        self,
        model: Any,
        masker: Any,
        *,
        output_names: Sequence[str] | None = None,
        link: Any = None,
        algorithm: str = "partition",
        linearize_link: bool = True,
        feature_names: Any = None,
        seed: int | None = None,
        **call_options: Any,
    ) -> None:
        if not isinstance(masker, Image):
            raise refusal(f"shap.PartitionExplainer with a {type(masker).__name__} as masker")
        refuse_link(link)
        _check_options(call_options)
        self.model = model
        self.masker = masker
        self.output_names = None if output_names is None else [str(name) for name in output_names]
        self.feature_names = feature_names
        self.expected_value: Any = None
        self.seed = seed or 0
        self._call_options = call_options
        self._predict: Any = model if isinstance(model, nn.Module) or not callable(model) else OnCopies(model)
        self._predictor = Predictor(self._predict)

    def __call__(self, X: Any, **options: Any) -> Explanation:  # noqa: N803 (shap's name)
        """An `Explanation` in shap's layout, `(images, height, width, channels, outputs)`.

        Arguments
            X: images `(images, height, width, channels)`, an array or a tensor.
            max_evals: coalitions to evaluate for each image; 500 by default.
            batch_size: coalitions at a time; 10 by default, and 50 is quicker where there is room.
            outputs: a chain such as `shap.Explanation.argsort.flip[:4]`, run on each image's own outputs, or numbers
                of outputs, or None for all; or `shapsight.targets`, such as a detection's box.
            fixed_context: 0 or 1 splits every region while the rest is hidden or visible; None tries both.
            silent: no progress bar.
        """
        _check_options(options)
        is_one = tuple(np.shape(X)) == self.masker.input_shape
        return self._explain(X[None] if is_one else X, **(self._call_options | options))

    def _explain(
        self,
        X: Any,  # noqa: N803
        *,
        max_evals: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        outputs: Any = None,
        fixed_context: Literal["auto", 0, 1] | None = None,
        main_effects: bool = False,
        error_bounds: bool = False,
        silent: bool = False,
    ) -> Explanation:
        if main_effects or error_bounds:
            raise refusal("PartitionExplainer with main_effects or error_bounds")
        contexts: Contexts = "both" if fixed_context in (None, "auto") else fixed_context
        engine = PartitionShap(
            self._predict,
            self.masker.masker,
            "axis",
            DEFAULT_EVALS if max_evals == "auto" else max_evals,
            DEFAULT_BATCH if batch_size == "auto" else batch_size,
            contexts,
            output_names=self.output_names,
            seed=self.seed,
        )
        is_aimed = are_aimed(outputs)
        is_watched = not silent and sys.stderr.isatty()
        rows = []
        for image in self._images(X):
            chosen = outputs if is_aimed else self._chosen(outputs, self._of_image(image))
            explanation = engine(image, chosen, progress=is_watched)
            columns = explanation.output_index[0].tolist()
            rows.append((explanation.values[0].permute(2, 3, 1, 0).cpu().numpy(), explanation, columns))
        return self._packed(rows, X, is_aimed)

    def _images(self, X: Any) -> list[Array]:  # noqa: N803
        """Every image as `(height, width, channels)`, whatever the masker was made for."""
        array = np.asarray(X.detach().cpu() if isinstance(X, Tensor) else X)
        if array.ndim == 0 or not len(array):
            raise ExplainerError(f"there are no images to explain: X has shape {array.shape}")
        return [self.masker.checked(image) for image in array]

    def _of_image(self, image: Array) -> Array:
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        found: Array = self._predictor(pixels.unsqueeze(0), "the whole image")[0].cpu().numpy()
        if self.output_names is not None and len(self.output_names) != len(found):
            raise ExplainerError(
                f"output_names has {len(self.output_names)} names, and the model {len(found)} outputs"
            )
        return found

    def _chosen(self, outputs: Any, predictions: Array) -> list[int]:
        """Numbers of the outputs to explain for one image."""
        if outputs is None:
            return list(range(len(predictions)))
        found = outputs
        if isinstance(outputs, OpChain):
            found = outputs.apply(Explanation(predictions))
            found = found.values if isinstance(found, Explanation) else found
        numbers = np.atleast_1d(np.asarray(found))
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers):
            raise ExplainerError(
                f"outputs={outputs!r} gives {numbers.dtype} of shape {numbers.shape}, not numbers of outputs; the four "
                "highest are shap.Explanation.argsort.flip[:4]"
            )
        return [int(number) for number in numbers]

    def save(self, out_file: Any) -> None:
        """Write the masker and the settings to an open binary file, without pickle; not the model, which is code."""
        settings = {
            "output_names": self.output_names,
            "feature_names": self.feature_names,
            "seed": self.seed,
            "call_options": self._call_options,
        }
        try:
            text = json.dumps(settings)
        except TypeError as error:
            raise ExplainerError(f"the explainer's settings cannot be written as JSON: {error}") from error
        write(out_file, type(self).__name__, self.masker.parts() | {"settings": np.array(text)})

    @classmethod
    def load(
        cls, in_file: Any, model_loader: Callable[[Any], Any] | None = None, **_of_shap: Any
    ) -> PartitionExplainer:
        """Read what `save` wrote; `model_loader` is called with the file and returns the model.

        Raises `ExplainerError` without one, and for other files.
        """
        parts = read(in_file, cls.__name__)
        if model_loader is None:
            raise ExplainerError(
                "an explainer is saved without its model, which is code: pass model_loader=lambda file: model"
            )
        settings = json.loads(str(parts.pop("settings")))
        options = settings.pop("call_options")
        return cls(model_loader(in_file), Image.of_parts(parts), **settings, **options)

    def _packed(
        self,
        rows: Sequence[tuple[Array, Any, list[int]]],
        X: Any,  # noqa: N803
        is_aimed: bool,
    ) -> Explanation:
        counts = sorted({len(chosen) for _, _, chosen in rows})
        if len(counts) > 1:
            raise ExplainerError(
                f"outputs chooses {counts[0]} outputs for one image and {counts[-1]} for another: "
                "explain them one by one"
            )
        values = np.stack([row for row, _, _ in rows])
        base_values = np.concatenate([explanation.base_values.cpu().numpy() for _, explanation, _ in rows])
        indexes = np.array([chosen for _, _, chosen in rows])
        if is_aimed:
            names_of_targets = list(rows[0][1].output_names)
            return Explanation(values, base_values, X, output_names=names_of_targets, output_indexes=indexes)
        if isinstance(self._predict, OnCopies) and self._predict.is_flat:
            return Explanation(values[..., 0], base_values[:, 0], X)
        names: Any = None
        if self.output_names is not None:
            names = np.array(self.output_names)[indexes]
            names = names[0].tolist() if (indexes == indexes[0]).all() else names
        return Explanation(values, base_values, X, output_names=names, output_indexes=indexes)
