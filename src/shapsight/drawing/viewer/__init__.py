"""One viewer for every picture of an explanation: in reports, in notebooks, in a file of its own."""

from shapsight.drawing.viewer.content import (
    Map,
    Mark,
    MarkKind,
    Shown,
    block_for,
    channels_last,
    content,
    encoded,
)
from shapsight.drawing.viewer.view import View

__all__ = ["Map", "Mark", "MarkKind", "Shown", "View", "block_for", "channels_last", "content", "encoded"]
