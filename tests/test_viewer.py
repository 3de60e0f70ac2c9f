"""The viewer: small quantised heatmaps whose sums stay, and what a real browser shows of them."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import torch
from playwright.sync_api import sync_playwright

from shapsight import Explanation
from shapsight.drawing.viewer import Map, Shown, View, content
from shapsight.drawing.viewer.content import FINENESS, quantised, summed
from shapsight.errors import ExplainerError

LEVELS = FINENESS[0].levels
HOSTILE = ["<img src=x onerror=alert(1)>.jpg", "\"'&</script>", "\u202egnp.evil", "x" * 300]


def heatmap(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Heavy tails, as SHAP values of pixels have."""
    return np.random.default_rng(seed).standard_t(2, (height, width)) * 1e-3


def explanation(images: int = 2, outputs: int = 2, size: tuple[int, int] = (40, 56)) -> Explanation:
    torch.manual_seed(0)
    values = torch.from_numpy(np.stack([heatmap(*size, seed=n) for n in range(images * outputs * 3)])).float()
    values = values.reshape(images, outputs, 3, *size)
    base = torch.zeros(images, outputs)
    y, x = torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    return Explanation(
        values=values,
        base_values=base,
        predictions=values.sum((2, 3, 4)),
        completeness_gap=base,
        output_index=torch.arange(outputs).expand(images, -1),
        images=torch.stack([x, y, (x * 9).sin() / 2 + 0.5]).expand(images, -1, -1, -1),
        output_names=("x", "y")[:outputs],
        method="DeepSHAP",
    )


def test_a_value_is_off_by_a_step_at_most_and_sums_along_the_rows_too():
    values = heatmap()
    step, levels = quantised(values)
    found = (levels.astype(float) - 128) * step
    assert step == pytest.approx(np.abs(values).max() / LEVELS)
    assert np.abs(found - values).max() <= step * 1.0001
    turned = np.array([row if n % 2 == 0 else row[::-1] for n, row in enumerate(found - values)])
    assert np.abs(np.cumsum(turned)).max() <= 0.5001 * step
    # Rounding each value by itself would lose what lies below half a step.
    assert abs((np.rint(values / step) * step).sum() - values.sum()) > 2 * step
    assert abs(found.sum() - values.sum()) <= step


def test_what_is_no_number_stays_none_and_an_empty_map_is_one():
    values = heatmap()
    values[3, 4] = np.nan
    _, levels = quantised(values)
    assert levels[3, 4] == 255
    assert (levels != 255).sum() == values.size - 1
    assert quantised(np.zeros((3, 4)))[1].tolist() == [[128] * 4] * 3
    assert (quantised(np.full((2, 2), np.nan))[1] == 255).all()


def test_maps_become_sums_over_blocks_where_all_would_take_too_much_room():
    values = heatmap(41, 57)
    blocks = summed(values, 4)
    assert blocks.shape == (11, 15)
    assert blocks.sum() == pytest.approx(values.sum())
    assert blocks[0, 0] == pytest.approx(values[:4, :4].sum())
    one = Shown("a", np.zeros((224, 224, 3), np.uint8), [Map("x", heatmap(224, 224))])
    assert content([one])["coarser"] == 1
    many = content([one] * 1000)
    assert many["coarser"] > 1
    assert len(json.dumps(many)) < 25_000_000


def test_a_heatmap_of_224_pixels_takes_less_than_50_kilobytes():
    found = content([Shown("a", np.zeros((224, 224, 3), np.uint8), [Map("x", heatmap(224, 224))])])
    assert len(found["images"][0]["maps"][0]["levels"]) < 50_000


def test_names_are_text_and_cannot_end_the_script():
    view = explanation(4).view(HOSTILE)
    assert [image["name"] for image in view.content["images"]] == HOSTILE
    inside = view.html.split('id="content">')[1]
    assert json.loads(inside.split("</script>")[0]) == view.content
    assert "<img src=x" not in view.html
    assert view.html.count("</script>") == 2


def test_explanations_that_do_not_fit_are_refused():
    with pytest.raises(ExplainerError, match="3 names were given for 2 images"):
        explanation().view(["a", "b", "c"])
    with pytest.raises(ExplainerError, match="of 3 images cannot stand beside one of 2"):
        explanation().view(beside={"other": explanation(3)})
    with pytest.raises(ExplainerError, match="different sizes"):
        explanation().view(beside={"other": explanation(size=(20, 28))})


def test_in_a_notebook_it_is_a_widget_with_the_still_picture_beside_it():
    view = explanation().view()
    widget = view.widget()
    assert json.loads(widget.content) == view.content
    assert "export const { mount, still }" in widget._esm
    bundle = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"].startswith("<figure")
    assert 'sandbox="allow-scripts"' in view._repr_html_()


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium; `.ci/run` installs it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        assert "CI" not in os.environ, "CI has Chromium"
        pytest.skip("chromium is not installed, and this test looks at the viewer in it")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, tmp_path):
    mask = torch.zeros(40, 56, dtype=torch.bool)
    mask[20:] = True
    explanation(4).view(HOSTILE, roi=mask, unit="m").save(tmp_path / "why.html")
    page = browser.new_page(viewport={"width": 1000, "height": 1200}, color_scheme="dark")
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on(
        "request", lambda request: page.said.append(request.url) if request.url.startswith("http") else None
    )
    page.goto((tmp_path / "why.html").as_uri())
    page.wait_for_selector("[data-ready=true]")
    yield page
    assert page.said == []
    page.close()


def at(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".stage canvas").bounding_box()
    return box["x"] + (x + 0.5) / 56 * box["width"], box["y"] + (y + 0.5) / 40 * box["height"]


def choice(page, name: str):
    return page.locator("label", has_text=name).locator("select")


def test_the_value_under_the_cursor_and_of_a_box_are_the_explanations(page):
    values = explanation(4).heatmap()[0, 0].double().numpy()
    step = np.abs(values).max() / LEVELS
    page.mouse.move(*at(page, 13, 7))
    page.wait_for_function("document.querySelector('.said').textContent.startsWith('x 13, y 7')")
    assert float(page.locator("#viewer").get_attribute("data-value")) == pytest.approx(
        values[7, 13], abs=1.01 * step
    )
    page.mouse.down()
    page.mouse.move(*at(page, 40, 30))
    page.mouse.up()
    page.wait_for_function("document.querySelector('.said').textContent.startsWith('In the box (28 × 24)')")
    found = float(page.locator("#viewer").get_attribute("data-value"))
    assert found == pytest.approx(values[7:31, 13:41].sum(), abs=24 * step)


def test_the_keyboard_moves_the_cursor_and_another_image_is_chosen_by_name(page):
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.said').textContent.startsWith('x 29, y 20')")
    choice(page, "image").select_option(index=1)
    page.wait_for_function(
        "document.querySelector('.stage').getAttribute('aria-label').includes('</script>')"
    )
    parts = page.locator(".part").all_inner_texts()
    assert [text.split("\n")[0] for text in parts] == ["scene", "region of interest"]


def test_two_maps_share_the_picture_and_details_can_be_switched(page):
    assert page.locator("label", has_text="left of here").is_hidden()
    choice(page, "compare with").select_option(index=2)
    page.locator("label", has_text="left of here").wait_for(state="visible")
    for name in choice(page, "detail").locator("option").all_inner_texts():
        choice(page, "detail").select_option(label=name)
    page.get_by_label("hide weak values").fill("0.5")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_empty_explanation_says_so(browser, tmp_path):
    View(content([])).save(tmp_path / "none.html")
    page = browser.new_page()
    page.goto((tmp_path / "none.html").as_uri())
    assert page.locator("#viewer").inner_text() == "There is no explanation to show."
    page.close()
