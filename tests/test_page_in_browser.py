"""What a person does with a report in a real browser: looks, clicks, points, copies, prints; dark, on a phone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from shapsight.attribution.explain import explain
from shapsight.attribution.explanation.viewed import shown_images
from shapsight.drawing.charts.intervals import error_bars
from shapsight.drawing.charts.scatter import scatter_panels
from shapsight.drawing.viewer import Map, Mark, Shown
from shapsight.report import page as data
from shapsight.report.rendered import render_page

pytestmark = pytest.mark.page
HOSTILE = "<img src=x onerror=alert(1)>'\"&</script>\u202e" + "x" * 200 + ".jpg"
NAMES = [HOSTILE, *[f"{n}.jpg" for n in range(1, 16)]]
SIDE = 72  # pixels; from 64 on there are regions
GREY = 128


class Small(torch.nn.Module):
    """Two outputs of a picture, one of which looks mostly at its left half."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 5, stride=4)
        self.last = torch.nn.Linear(4 * 17 * 17, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(images)).flatten(1))


@pytest.fixture(scope="module")
def explanation() -> Any:
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(len(NAMES), 3, 9, 9), SIDE, mode="bicubic").clamp(
        0, 1
    )
    return explain(Small().eval(), images, references=torch.zeros(1, 3, SIDE, SIDE), output_names=["x", "y"])


@pytest.fixture(scope="module")
def report(explanation, tmp_path_factory) -> Path:
    images = [
        replace(each, marks=(Mark("target", 20, 30),), group="hall")
        for each in shown_images({"": explanation}, NAMES)
    ]
    rows = pd.DataFrame(
        {"path": NAMES, "environment": "hall", "split": "unseen", "x": np.linspace(-1, 1, len(NAMES))}
    ).assign(predicted_x=lambda table: 0.5 * table["x"])
    errors = pd.DataFrame(
        {
            "environment": ["hall", HOSTILE], "split": "unseen", "target": "x",
            "mse": [0.1, 0.5], "mse_low": [0.05, 0.4], "mse_high": [0.2, 0.6],
        }
    )  # fmt: skip
    glance = data.Picture(error_bars(errors), "errors by environment", "Errors")
    answer = data.Answer(
        "In hall its error is 6.4 times as high as at home.",
        "Of what moves x, the scene contributes 42% in room_1.",
        [
            data.Card(images[0], f"At home: {HOSTILE}", "x is 0.1; the model says 0.3."),
            data.Card(images[1], "Elsewhere", map=1),
        ],
        glance,
        next="shapsight diagnose 'runs/my run'",
        next_is="Ask why",
        level="shortcut",
    )  # fmt: skip
    sections = [
        data.Section(
            "How large is the error?",
            "It is large.",
            [data.Picture(scatter_panels(rows, "x", NAMES), "predicted against actual x"), glance, glance],
            [data.Table(errors.assign(**{f"a wide table {n}": 1.234e-7 for n in range(9)}), "Errors")],
            text="How to read it.\n\nAnd more.",
            notes=[f"A note on {HOSTILE}"],
        ),
        data.Section(
            "Which pixels does it use?", pictures=[data.Picture(images, "explained images", maps=(0, 1))]
        ),
    ]
    page = data.Page(f"Report on {HOSTILE}", answer, sections, {"command": "shapsight debug photos"})
    return render_page(page, tmp_path_factory.mktemp("run") / "report.html")


@pytest.fixture
def opened(browser, report) -> Iterator[Any]:
    """A function that opens the report; in the end the browser has complained of nothing and asked for nothing."""
    said: list[str] = []
    contexts = []

    def opened(
        path: Path | None = None, *, dark: bool = False, width: int = 1200, link: str = "", **more: Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", **more
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        file = (path or report).as_uri()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.partition("#")[0] == file or request.url.startswith(("data:", "blob:"))
                else said.append(request.url)
            ),
        )
        page.goto(file + link)
        if more.get("java_script_enabled", True):
            expect(page.locator("html")).to_have_attribute("data-ready", "true")
        return page

    yield opened
    assert said == []
    for context in contexts:
        context.close()


def is_painted(still: Locator) -> bool:
    """Whether a still shows a picture with colours over it."""
    return still.evaluate(
        """(place) => {
          const canvas = place.querySelector("canvas");
          if (!canvas || !canvas.width) return false;
          const small = new OffscreenCanvas(20, 20).getContext("2d");
          small.drawImage(canvas, 0, 0, 20, 20);
          return new Set(new Uint32Array(small.getImageData(0, 0, 20, 20).data.buffer)).size > 20;
        }"""
    )


def visible_stills(page: Page) -> list[Locator]:
    return [still for still in page.locator(".still").all() if still.is_visible()]


def link_of(name: str) -> str:
    return "#image=" + quote(name, safe="!~*'()")


def viewer(page: Page) -> Locator:
    return page.locator("#viewer")


def point(page: Page, x: float, y: float) -> None:
    edges = page.locator("#viewer .stage canvas").bounding_box()
    assert edges is not None
    page.mouse.move(
        edges["x"] + (x + 0.5) / SIDE * edges["width"], edges["y"] + (y + 0.5) / SIDE * edges["height"]
    )


def value(page: Page) -> float:
    return float(viewer(page).get_attribute("data-value") or "nan")


def serious(page: Page) -> list[Any]:
    found = Axe().run(page).response["violations"]
    return [each for each in found if each["impact"] in ("serious", "critical")]


def test_the_answer_stands_on_the_first_screen_with_its_pictures_painted(opened):
    page = opened()
    assert page.locator("header.answer").bounding_box()["height"] < 800
    assert page.locator("h1").inner_text() == "In hall its error is 6.4 times as high as at home."
    stills = visible_stills(page)
    assert len(stills) == 2 + 12 * 2
    assert all(map(is_painted, stills))
    assert page.locator("details .still canvas").count() == 0, "those folded away cost nothing"


def test_images_folded_away_are_painted_when_they_are_unfolded(opened):
    page = opened()
    page.get_by_text("4 more images").click()
    last = page.locator("details .still").last
    last.scroll_into_view_if_needed()
    expect(last.locator("canvas")).to_be_visible()
    assert is_painted(last)


def test_a_click_opens_that_image_with_that_heatmap_and_escape_leads_back(opened, explanation):
    page = opened()
    names = explanation.names()[0]
    for still, name, output in (
        (page.locator(".card .still").first, NAMES[0], names[0]),
        (page.locator(".card .still").nth(1), NAMES[1], names[1]),
        (page.locator("main .still").nth(5), NAMES[2], names[1]),
    ):
        still.click()
        expect(viewer(page)).to_have_attribute("data-image", name)
        shown = page.locator("#viewer .choice", has_text="output").locator("select")
        assert shown.evaluate("(select) => select.selectedOptions[0].textContent") == output
        page.keyboard.press("Escape")
        expect(page.locator("#closer")).to_be_hidden()
        expect(still).to_be_focused()


def test_values_under_the_cursor_and_in_a_box_are_those_of_the_explanation(opened, explanation):
    page = opened()
    page.locator("main .still").nth(5).click()
    expect(viewer(page)).to_have_attribute("data-image", NAMES[2])
    page.locator("#viewer .choice", has_text="detail").locator("select").select_option(label="single pixels")
    own = explanation[2].heatmap()[0, 1].double().numpy()
    step = np.abs(own).max() / 126
    for x, y in ((3, 2), (40, 30), (71, 71)):
        point(page, x, y)
        expect(page.locator("#viewer .said")).to_contain_text(f"x {x}, y {y}: ")
        assert value(page) == pytest.approx(own[y, x], abs=1.01 * step)
    point(page, 10, 20)
    page.mouse.down()
    point(page, 50, 60)
    page.mouse.up()
    expect(page.locator("#viewer .said")).to_contain_text("In the box (41 × 41): ")
    # Rounding is carried on along the rows, forth and back: a row of the box is off by a step at either end.
    assert value(page) == pytest.approx(own[20:61, 10:51].sum(), abs=2 * 41 * step)
    assert abs(value(page) - own[20:61, 10:51].sum()) < 0.02 * np.abs(own[20:61, 10:51]).sum()


def test_a_point_of_a_chart_opens_its_image(opened, report):
    page = opened()
    for name in (NAMES[0], NAMES[3], NAMES[3]):
        link = link_of(name)
        page.locator(f'.chart a[href="{link}"]').first.click(force=True)
        expect(viewer(page)).to_have_attribute("data-image", name)
        page.keyboard.press("Escape")
        expect(page.locator("#closer")).to_be_hidden()
        expect(page).to_have_url(report.as_uri())


def test_a_link_with_an_image_opens_it_and_one_that_names_nothing_does_not(opened):
    page = opened(link=link_of(HOSTILE))
    expect(viewer(page)).to_have_attribute("data-image", HOSTILE)
    for nothing in ("#image=%", "#image=missing", "#="):
        page = opened(link=nothing)
        expect(page.locator("#closer")).to_be_hidden()


def test_a_click_beside_the_viewer_and_its_button_close_it(opened):
    page = opened()
    for leave in (
        lambda: page.mouse.click(5, 5),
        lambda: page.get_by_role("button", name="Close", exact=True).click(),
    ):
        page.locator(".still").first.click()
        expect(viewer(page)).to_be_visible()
        leave()
        expect(page.locator("#closer")).to_be_hidden()


def test_the_command_is_copied_by_its_button(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy")
    button.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == "shapsight diagnose 'runs/my run'"
    assert page.evaluate("navigator.clipboard.readText()") == "shapsight diagnose 'runs/my run'"


def test_tables_unfold_and_their_numbers_can_be_saved(opened):
    page = opened()
    table = page.locator("details.numbers").first
    expect(table.locator("table")).to_be_hidden()
    table.locator("summary").click()
    expect(table.locator("table")).to_be_visible()
    with page.expect_download() as download:
        table.get_by_text("Save as CSV").click()
    saved = pd.read_csv(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
    assert download.value.suggested_filename == "errors.csv"
    assert saved["mse"].tolist() == [0.1, 0.5] and saved["environment"].tolist() == ["hall", HOSTILE]


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(opened, dark, width):
    page = opened(dark=dark, width=width)
    for folded in page.locator("details > summary").all():
        folded.click()
    last = page.locator(".still").last
    last.scroll_into_view_if_needed()
    expect(last.locator("canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert serious(page) == [], json.dumps(serious(page), indent=1)[:3000]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(252, 251, 249)")
    page.locator(".still").first.click()
    expect(viewer(page)).to_have_attribute("data-image", HOSTILE)
    assert serious(page) == [], json.dumps(serious(page), indent=1)[:3000]
    assert page.evaluate("document.querySelector('#closer').scrollWidth") <= width
    assert page.locator("#viewer img, #viewer script").count() == 0


def test_texts_of_charts_are_as_light_as_the_page_is_dark(opened):
    for dark in (False, True):
        page = opened(dark=dark)
        inks = page.evaluate(
            "[...document.querySelectorAll('.chart text')].map((text) => getComputedStyle(text).fill)"
        )
        assert set(inks) == {"rgb(228, 231, 235)" if dark else "rgb(28, 36, 48)"}


def test_all_is_reached_by_keyboard_alone(opened):
    page = opened()
    page.keyboard.press("Tab")
    expect(page.locator(".card .still").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(viewer(page)).to_have_attribute("data-image", HOSTILE)
    page.locator("#viewer .stage").focus()
    page.keyboard.press("PageDown")
    expect(viewer(page)).to_have_attribute("data-image", NAMES[1])
    page.keyboard.press("Escape")
    expect(page.locator(".card .still").first).to_be_focused()
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.localName + '.' + document.activeElement.className")
        )
        if page.evaluate("document.activeElement.localName") == "body":
            break
    assert {"button.still shapsight-still", "code.", "button.", "summary.", "a."} <= reached


def test_printed_it_has_its_pictures_its_tables_and_no_buttons(opened):
    page = opened(dark=True, width=718)  # A4 without its margins
    page.evaluate("addEventListener('beforeprint', () => { document.title = 'printed'; })")
    # What Chromium does when it prints, by hand, so that the page can be looked at meanwhile.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.title() == "printed"
    expect(page.locator("details.numbers table").first).to_be_visible()
    expect(page.get_by_text("And more.")).to_be_visible()
    assert page.locator(".next button:visible, nav:visible, #closer:visible").count() == 0
    assert all(map(is_painted, visible_stills(page)))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = page.evaluate("getComputedStyle(document.querySelector('.chart text')).fill")
    assert ink == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(179, 18, 43)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    expect(page.locator("details.numbers table").first).to_be_hidden()
    assert len(page.pdf(format="A4")) > 50_000, "with its pictures"


def test_without_javascript_the_answer_and_plain_pictures_stay(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("h1").is_visible() and page.locator(".chart svg").first.is_visible()
    first = page.locator(".card .still img").first
    assert first.bounding_box()["width"] > 100


def test_a_page_without_pictures_is_ready_at_once(opened, tmp_path):
    page = opened(
        render_page(data.Page("t", data.Answer("It says the same of every image.")), tmp_path / "r.html")
    )
    assert page.locator("body").inner_text().split() == ["t", *"It says the same of every image.".split()]
    assert serious(page) == []


def test_images_of_a_few_pixels_and_very_tall_ones_stay_on_the_first_screen(opened, tmp_path):
    shapes = ((8, 8), (900, 60), (60, 900))
    images = [Shown(f"{h} × {w}", np.full((h, w, 3), GREY, np.uint8)) for h, w in shapes]
    answer = data.Answer("Verdict.", cards=[data.Card(image, image.name) for image in images])
    page = opened(render_page(data.Page("t", answer), tmp_path / "r.html"))
    assert page.locator("header.answer").bounding_box()["height"] < 800
    for still, (height, width) in zip(page.locator(".still").all(), shapes, strict=True):
        box = still.bounding_box()
        assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.15)


def test_heatmaps_that_are_no_numbers_are_shown_without_complaint(opened, tmp_path):
    image = Shown("a", np.full((70, 80, 3), GREY, np.uint8), [Map("x", np.full((70, 80), np.nan))])
    page = opened(
        render_page(data.Page("t", data.Answer("V.", cards=[data.Card(image, "c")])), tmp_path / "r.html")
    )
    page.locator(".still").click()
    expect(viewer(page)).to_contain_text("All values are 0.")
