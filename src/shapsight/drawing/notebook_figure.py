"""A figure that a notebook shows as the last line of a cell."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """Matplotlib's figure, shown by notebooks also where nobody imported pyplot, which tells them how."""

    def _repr_png_(self) -> bytes:
        """The picture, cut to what is drawn, as `%matplotlib inline` shows it."""
        file = io.BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()
