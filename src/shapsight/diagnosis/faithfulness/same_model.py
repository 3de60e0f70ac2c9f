"""Whether an explanation is of the model that it is said to be of."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor

from shapsight.attribution.explanation import Explanation
from shapsight.errors import ExplainerError
from shapsight.models.bundle import Bundle

TOLERANCE = 1e-3  # of the largest prediction; batches of other sizes differ by 1e-6


def refuse_other_model(
    explanation: Explanation, bundle: Bundle, images: UInt8[Tensor, "images 3 size size"]
) -> None:
    """Raise `ExplainerError` where an explanation is not of this bundle's model and these images.

        refuse_other_model(explanation, load_bundle("runs/lockers/model"), images)

    Compares the weights' hash, if the explanation kept it (`settings["model_hash"]`), and the predictions that it
    kept with those that the bundle makes now.
    """
    kept, own = explanation.settings.get("model_hash"), bundle.fingerprint
    if kept is not None and kept != own:
        raise ExplainerError(
            f"the explanation is of another model: its weights' hash is {str(kept)[:12]}…, the bundle's {own[:12]}…. "
            "Explain these images with this bundle again"
        )
    columns = explanation.output_index.cpu()
    if len(images) != len(explanation) or int(columns.max()) >= len(bundle.card.output_names):
        raise ExplainerError(
            f"an explanation of {len(explanation)} images and output {int(columns.max())} does not fit {len(images)} "
            f"images and a bundle of {len(bundle.card.output_names)} outputs"
        )
    now = bundle.predict(images).gather(1, columns)
    kept_predictions = explanation.predictions.cpu().to(now)
    size = max(float(now.abs().max()), float(kept_predictions.abs().max()), 1e-12)
    difference = float((now - kept_predictions).abs().max())
    if not difference <= TOLERANCE * size:
        raise ExplainerError(
            f"the explanation is of another model or other images: its predictions differ from the bundle's by up to "
            f"{difference:.3g}. Explain these images with this bundle again"
        )
