"""How an explanation shows itself in a notebook: its picture, and a line of what it is."""

from __future__ import annotations

import base64
import html as markup
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shapsight.attribution.explanation.explanation import Explanation

# A notebook stays quick to draw and to store; `plot()` draws all.
MOST_IMAGES = 6
MOST_OUTPUTS = 5
DOTS_PER_INCH = 110


def html(explanation: Explanation) -> str:
    """A figure element with the picture inside it as PNG, or only the line where there is nothing to draw."""
    line = markup.escape(repr(explanation))
    images, outputs = explanation.values.shape[:2]
    if not images or not outputs:
        return f"<pre>{line}</pre>"
    shown = explanation[:MOST_IMAGES, :MOST_OUTPUTS]
    picture = io.BytesIO()
    shown.plot().savefig(picture, format="png", dpi=DOTS_PER_INCH)
    data = base64.b64encode(picture.getvalue()).decode()
    if images > MOST_IMAGES or outputs > MOST_OUTPUTS:
        line += (
            f"<br>Shown: {min(images, MOST_IMAGES)} of {images} images, "
            f"{min(outputs, MOST_OUTPUTS)} of {outputs} outputs; <code>plot()</code> draws all."
        )
    return (
        f'<figure style="margin:0"><img alt="{markup.escape(repr(explanation))}" style="max-width:100%" '
        f'src="data:image/png;base64,{data}"><figcaption style="font-family:monospace">{line}</figcaption></figure>'
    )
