"""The animated picture of the README, from a demo's page: what a person does with it in twenty seconds.

    shapsight demo --out runs/demo
    python docs/record_demo.py runs/demo/report.html docs/demo.webp

Also writes the first screen as a still picture beside it (docs/demo.png), and of that each picture alone, for the start
page (docs/demo_swapped.png, _before, _after, _errors). Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

SIZE = {"width": 1200, "height": 800}
SHOWN = (900, 600)  # pixels of a frame in the README
FRAME = 125  # milliseconds
CURSOR = """<svg xmlns='http://www.w3.org/2000/svg' width='22' height='30'><path d='M2 2v22l6-5 4 9 4-2-4-8h8z'
 fill='white' stroke='black' stroke-width='1.5'/></svg>"""


class Film:
    """Frames of a page, with a cursor drawn where the mouse is."""

    def __init__(self, page: Page) -> None:
        self.page, self.frames, self.at = page, [], (640.0, 620.0)
        page.evaluate(
            """svg => { const mouse = document.createElement("div"); mouse.id = "mouse"; mouse.innerHTML = svg;
            mouse.popover = "manual";
            mouse.style.cssText = "position:fixed;inset:auto;margin:0;border:0;padding:0;background:none;z-index:99;"
              + "pointer-events:none;overflow:visible"; document.body.append(mouse); }""",
            CURSOR,
        )

    def hold(self, seconds: float) -> None:
        """The page as it is, for some time."""
        for _ in range(max(1, round(1000 * seconds / FRAME))):
            self._shoot()

    def move(self, x: float, y: float, seconds: float = 0.6) -> None:
        """The mouse from where it is to a place."""
        steps = max(1, round(1000 * seconds / FRAME))
        left, top = self.at
        for step in range(1, steps + 1):
            part = step / steps
            self.at = (left + part * (x - left), top + part * (y - top))
            self.page.mouse.move(*self.at)
            self._shoot()

    def to(self, place: Locator, across: float = 0.5, down: float = 0.5, seconds: float = 0.6) -> None:
        """The mouse to a place inside an element."""
        box = place.bounding_box()
        assert box is not None
        self.move(box["x"] + across * box["width"], box["y"] + down * box["height"], seconds)

    def _shoot(self) -> None:
        # A popover that is shown last lies above an open dialog.
        self.page.evaluate(
            """([x, y]) => { const mouse = document.getElementById("mouse"); if (mouse.matches(":popover-open"))
            mouse.hidePopover(); mouse.showPopover(); mouse.style.left = `${x}px`; mouse.style.top = `${y}px`; }""",
            self.at,
        )
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.frames.append(shot.resize(SHOWN, Image.Resampling.LANCZOS))


def story(film: Film) -> Iterator[str]:
    """What is done, step by step."""
    page = film.page
    stills = page.locator(".first .still")
    yield "the first screen"
    film.hold(3)
    yield "the first model's image is opened"
    film.to(stills.first)
    page.mouse.click(*film.at)
    stage = page.locator("#viewer .stage")
    stage.wait_for()
    page.wait_for_timeout(300)
    film.hold(1)
    yield "values under the cursor"
    for across, down in ((0.3, 0.3), (0.7, 0.25), (0.55, 0.75)):
        film.to(stage, across, down, 0.7)
        film.hold(0.5)
    yield "a box"
    film.to(stage, 0.2, 0.05, 0.5)
    page.mouse.down()
    film.to(stage, 0.9, 0.35, 0.8)
    page.mouse.up()
    film.hold(1.5)
    yield "closed, and down the page"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    film.hold(0.5)
    for _ in range(26):
        page.mouse.wheel(0, 90)
        page.wait_for_timeout(60)
        film.hold(FRAME / 1000)
    film.hold(2)


def main() -> None:
    """Record, and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_context(viewport=SIZE, color_scheme="light").new_page()
        page.goto(given.page.resolve().as_uri())
        page.locator("html[data-ready]").wait_for(state="attached")
        still = given.picture.with_suffix(".png")
        page.screenshot(path=still)
        shown = page.locator(".first .still, .first .chart")
        for place, name in zip(shown.all(), ("swapped", "before", "after", "errors"), strict=True):
            place.screenshot(path=still.with_stem(f"{still.stem}_{name}"))
        film = Film(page)
        for step in story(film):
            print(step)
        chromium.close()
    first, *others = film.frames
    first.save(
        given.picture, save_all=True, append_images=others, duration=FRAME, loop=0, quality=55, method=4,
        minimize_size=True,
    )  # fmt: skip
    seconds = len(film.frames) * FRAME / 1000
    print(f"{given.picture}: {seconds:.0f} s, {given.picture.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
