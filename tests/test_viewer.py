"""The viewer: small quantised heatmaps whose sums stay, and what a real browser shows of them."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1
from torchvision.transforms.v2.functional import to_dtype, to_image

from shapsight import DeepShap, Explanation
from shapsight.attribution.explanation.viewed import shown_images
from shapsight.drawing.viewer import Map, Shown, View, block_for, content, encoded
from shapsight.drawing.viewer.content import FINENESS, quantised, summed
from shapsight.errors import ExplainerError

LEVELS = FINENESS[0].levels
HOSTILE = ["<img src=x onerror=alert(1)>.jpg", "\"'&</script>", "\u202egnp.evil", "x" * 300]


def heatmap(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Heavy tails, as SHAP values of pixels have."""
    return np.random.default_rng(seed).standard_t(2, (height, width)) * 1e-3


def unpacked(stored: dict) -> np.ndarray:
    levels = zlib.decompress(base64.b64decode(stored["levels"]))
    return np.frombuffer(levels, np.uint8).reshape(stored["height"], stored["width"])


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
    many = content([one] * 600)
    assert many["coarser"] > 1
    assert len(json.dumps(many)) < 25_000_000


def test_noise_is_stored_in_larger_steps_so_that_50_kilobytes_are_enough():
    """Neither such a picture nor such a heatmap is made smaller by any packing."""
    random = np.random.default_rng(0)
    noise, busy = random.normal(size=(224, 224)), random.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    found = encoded(Shown("a", busy, [Map("x", noise)], np.arange(224 * 224).reshape(224, 224) // 700))
    assert len(json.dumps(found)) < 50_000
    (one,) = found["maps"]
    assert 1 / 32 < one["step"] / np.abs(noise).max() < 1 / 14
    values = (unpacked(one) - 128.0) * one["step"]
    assert abs(values.sum() - noise.sum()) <= one["step"]


@pytest.mark.shared
def test_heatmaps_of_a_real_network_and_photographs_take_50_kilobytes_and_a_thousand_25_megabytes(shared):
    files = sorted((shared / "data" / "jetracer_rooms" / "room_2").glob("*.jpg"))[:200:25]
    files += sorted((shared / "data" / "imagenet50").glob("*.jpg"))[:4]
    photos = [Image.open(file).convert("RGB").resize((224, 224)) for file in files]
    images = torch.stack([to_dtype(to_image(photo), torch.float32, scale=True) for photo in photos])
    network = squeezenet1_1()
    network.load_state_dict(
        {k: v.float() for k, v in load_file(shared / "models" / "squeezenet1_1_imagenet.safetensors").items()}
    )
    explained = DeepShap(network.eval(), images[:2])(images, [207])
    shown = shown_images({"squeezenet": explained}, [file.name for file in files], images[0, 0] > 0.5)
    for image in shown:
        found = encoded(image)
        assert len(json.dumps(found)) <= 50_000
        assert found["maps"][0]["step"] <= np.abs(image.maps[0].values).max() / 31 * 1.001
    assert block_for(200) == 1 and mean_bytes(shown, 1) * 200 < 10_000_000
    assert block_for(1000) == 2 and mean_bytes(shown, 2) * 1000 < 23_000_000


def mean_bytes(images: list[Shown], block: int) -> float:
    return sum(len(json.dumps(encoded(image, block))) for image in images) / len(images)


def test_one_image_of_many_outputs_does_not_make_all_others_coarser():
    plain = Shown("plain", np.zeros((224, 224, 3), np.uint8))
    many = Shown("many", plain.picture, [Map(f"{n}", np.zeros((224, 224))) for n in range(50)])
    assert content([many, *[plain] * 100])["coarser"] == 1
    assert [block_for(200), block_for(1000), block_for(10_000), block_for(20, maps=50)] == [1, 2, 16, 2]


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


def test_without_anywidget_a_notebook_shows_a_frame_and_without_scripts_the_picture_in_it(monkeypatch):
    monkeypatch.setattr("shapsight.drawing.viewer.view._widget_kind", lambda: None)
    view = explanation().view()
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert view.still.startswith('<figure style="margin:0"><img alt=')
    inside = unescape(bundle["text/html"].split('srcdoc="')[1].split('"')[0])
    assert f"<noscript>{view.still}" in inside


def test_the_region_of_interest_is_outlined_and_an_image_of_nan_is_black():
    given = explanation(2)
    given.images[1, :, 3, 4] = torch.nan
    mask = torch.zeros(2, 40, 56, dtype=torch.bool)
    mask[1, 20:] = True
    first, second = given.view(roi=mask).content["images"]
    assert not unpacked(first["outline"]).any()
    assert np.array_equal(unpacked(second["outline"]), mask[1].numpy())
    assert second["details"] == ["smooth", "pixels"]


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
    expect(page.locator(".said")).to_contain_text("x 13, y 7: ")
    assert float(page.locator("#viewer").get_attribute("data-value")) == pytest.approx(
        values[7, 13], abs=1.01 * step
    )
    page.mouse.down()
    page.mouse.move(*at(page, 40, 30))
    page.mouse.up()
    expect(page.locator(".said")).to_contain_text("In the box (28 × 24): ")
    found = float(page.locator("#viewer").get_attribute("data-value"))
    assert found == pytest.approx(values[7:31, 13:41].sum(), abs=24 * step)


def test_the_keyboard_moves_the_cursor_and_another_image_is_chosen_by_name(page):
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".said")).to_contain_text("x 29, y 20: ")
    choice(page, "image").select_option(index=1)
    expect(page.locator(".stage")).to_have_attribute("aria-label", re.compile("</script>"))
    parts = page.locator(".part").all_inner_texts()
    assert [text.split("\n")[0] for text in parts] == ["scene", "region"]


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
