"""What a real browser shows of pictures, marks, outlines, many images and many outputs, and that all can reach it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from shapsight.drawing.viewer import Map, Mark, Shown, View, content, encoded
from shapsight.drawing.viewer.content import summed

pytestmark = pytest.mark.page
HOSTILE = "\"'&</script><img src=x onerror=alert(1)>\u202e" + "x" * 300
GREY = 128
TARGET, PREDICTION, OTHER, REGION = (255, 210, 63), (92, 225, 255), (255, 255, 255), (125, 255, 90)
# The viewer's own functions, for a page of our own to call.
REACHED = """
Object.assign(globalThis, { still, given: JSON.parse(document.getElementById("content").textContent) });
globalThis.viewer = mount("""


def picture(height: int = 80, width: int = 100, level: int = GREY) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def heat(height: int = 80, width: int = 100, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_t(3, (height, width))


def maps(*names: str, shape: tuple[int, int] = (80, 100)) -> list[Map]:
    return [Map(name, heat(*shape, seed=n), 1.5 + n, 1.0, "m", "DeepSHAP") for n, name in enumerate(names)]


@pytest.fixture
def opened(browser, tmp_path) -> Iterator:
    """A function that opens images in the viewer; in the end the browser has complained of nothing."""
    said: list[str] = []
    pages: list[Page] = []

    def opened(images: Sequence[Shown], *, dark: bool = False, width: int = 1200, **options: int) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        pages.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: said.append(request.url) if request.url.startswith("http") else None
        )
        page.add_init_script(
            "const own = createImageBitmap; globalThis.decoded = 0;"
            "globalThis.createImageBitmap = (...given) => { decoded++; return own(...given); };"
        )
        file = Path(tmp_path / f"{len(pages)}.html")
        html = View(content(images, **options)).html
        file.write_text(html.replace("\nmount(", REACHED), encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector("[data-ready=true]")
        return page

    yield opened
    assert said == []
    for page in pages:
        page.close()


def colour(page: Page, x: float, y: float, canvas: str = ".stage canvas") -> tuple[int, int, int]:
    """What is drawn at a place, each from 0 to 1 of the picture's width and height."""
    found = page.evaluate(
        """([query, x, y]) => {
          const canvas = document.querySelector(query);
          const at = [Math.round(x * (canvas.width - 1)), Math.round(y * (canvas.height - 1))];
          const pixel = new OffscreenCanvas(1, 1).getContext("2d");
          pixel.drawImage(canvas, ...at, 1, 1, 0, 0, 1, 1);
          return [...pixel.getImageData(0, 0, 1, 1).data];
        }""",
        [canvas, x, y],
    )
    return tuple(found[:3])


def point(page: Page, x: float, y: float) -> None:
    """Move the mouse to a place of the picture, from 0 to 1."""
    edges = page.locator(".stage canvas").bounding_box()
    assert edges is not None
    page.mouse.move(edges["x"] + x * edges["width"], edges["y"] + y * edges["height"])


def value(page: Page) -> float:
    return float(page.locator("#viewer").get_attribute("data-value") or "nan")


def choice(page: Page, name: str):
    return page.locator("label", has_text=name).locator("select")


def test_marks_are_drawn_where_they_are_and_at_the_border_where_they_lie_outside(opened):
    marks = [
        Mark("prediction", 25, 20),
        Mark("target", 75, 20),
        Mark("other", 25, 60, "before"),
        Mark("target", 500, 60, "far away"),
        Mark("prediction", np.nan, 3),
    ]
    page = opened([Shown("a", picture(), marks=marks)])
    assert colour(page, 0.25, 0.25) == PREDICTION
    assert colour(page, 0.75, 0.25) == (GREY,) * 3, "a ring is empty inside"
    assert colour(page, 0.75 + 1 / 64, 0.25) == TARGET
    assert colour(page, 0.25, 0.75) == OTHER
    near = [colour(page, x, 0.75) for x in np.linspace(0.94, 1, 60)]
    assert TARGET in near and TARGET not in [colour(page, x, 0.75) for x in np.linspace(0.3, 0.9, 60)]
    assert page.locator(".marks > span").all_inner_texts() == [
        "prediction (x 25, y 20)",
        "target (x 75, y 20)",
        "before (x 25, y 60)",
        "far away (x 500, y 60, outside the picture)",
    ]


def test_the_edge_of_the_region_of_interest_is_drawn_and_nothing_inside_it(opened):
    outline = np.zeros((80, 100), bool)
    outline[40:, 50:] = True
    page = opened([Shown("a", picture(), outline=outline)])
    assert REGION in [colour(page, x, 0.8) for x in np.linspace(0.49, 0.51, 40)]
    assert REGION in [colour(page, 0.8, y) for y in np.linspace(0.49, 0.51, 40)]
    assert all(
        colour(page, *at) == (GREY,) * 3 for at in ((0.75, 0.75), (0.25, 0.25), (0.999, 0.75), (0.75, 0.999))
    )


def test_a_picture_without_heatmaps_is_shown_with_its_name_and_nothing_to_set(opened):
    page = opened([Shown("a.jpg", picture(), caption="off by 3 m", group="room_2")])
    assert page.locator(".caption").inner_text() == "a.jpg · room_2 · off by 3 m"
    point(page, 0.5, 0.5)
    page.mouse.down()
    point(page, 0.7, 0.7)
    page.mouse.up()
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("select:visible, input:visible, .box:visible, .key:visible").count() == 0
    assert colour(page, 0.5, 0.5) == (GREY,) * 3


def test_images_of_several_sizes_have_their_own_values_under_the_cursor(opened):
    sizes = [(80, 100), (120, 40), (9, 13)]
    images = [Shown(f"{h} × {w}", picture(h, w), maps("x", shape=(h, w))) for h, w in sizes]
    page = opened([*images, Shown("plain", picture(30, 90))])
    for shown in images:
        own = shown.maps[0].values
        choice(page, "image").select_option(label=shown.name)
        expect(page.locator("#viewer")).to_have_attribute("data-image", shown.name)
        edges = page.locator(".stage canvas").bounding_box()
        assert edges["width"] / edges["height"] == pytest.approx(own.shape[1] / own.shape[0], rel=0.02)
        for y, x in ((2, 3), (own.shape[0] - 1, own.shape[1] - 1)):
            point(page, (x + 0.5) / own.shape[1], (y + 0.5) / own.shape[0])
            expect(page.locator(".said")).to_contain_text(f"x {x}, y {y}: ")
            assert value(page) == pytest.approx(own[y, x], abs=1.01 * np.abs(own).max() / 126)
    choice(page, "image").select_option(label="plain")
    expect(page.locator(".said")).to_be_hidden()


def test_one_of_fifty_outputs_is_found_by_typing_and_two_of_one_name_are_told_apart(opened):
    images = [Shown("a", picture(), maps(*[f"class {n}" for n in range(48)], "crane", "crane"))]
    page = opened(images)
    find = page.get_by_label("find output")
    find.fill("class 37")
    expect(page.locator(".stage")).to_have_attribute("aria-label", "a, heatmap of class 37. " + KEYS)
    assert choice(page, "output").locator("option").all_inner_texts() == ["class 37"]
    find.fill("CRANE")
    assert choice(page, "output").locator("option").all_inner_texts() == ["crane", "crane (50)"]
    choice(page, "output").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".parts")).to_contain_text("Prediction 50.5 m")
    find.fill("nothing of the kind")
    expect(page.locator(".parts")).to_contain_text("Prediction 50.5 m")
    find.fill("")
    assert choice(page, "output").locator("option").count() == 50


KEYS = "Arrow keys move the cursor, Enter begins and ends a box, Page Up and Page Down change the image."


def test_what_is_no_number_is_grey_and_said_to_be_unknown(opened):
    values = np.abs(heat())
    values[:40] = np.nan
    empty = Map("empty", np.full((80, 100), np.nan))
    page = opened(
        [Shown("a", picture(level=255), [Map("x", values, np.nan), empty], details=["pixels", "smooth"])]
    )
    assert colour(page, 0.5, 0.2) == (125, 125, 125)
    point(page, 0.505, 0.205)
    expect(page.locator(".said")).to_have_text("x 50, y 16: unknown.")
    choice(page, "output").select_option(label="empty")
    expect(page.locator(".key")).to_have_text("All values are 0.")


def test_of_a_thousand_images_only_those_looked_at_last_stay_decoded(opened):
    images = [
        Shown(f"{n}.jpg", picture(20, 20, n % 256), maps("x", shape=(20, 20)), group=f"room_{n % 3}")
        for n in range(1000)
    ]
    page = opened(images)
    decoded = lambda: page.evaluate("decoded")  # noqa: E731
    assert decoded() == 1
    on = page.get_by_label("next image")
    on.focus()
    for n in range(1, 11):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#viewer")).to_have_attribute("data-image", f"{n}.jpg")
    assert decoded() == 11
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer")).to_have_attribute("data-image", "9.jpg")
    assert decoded() == 11, "one seen just now is kept"
    page.evaluate("viewer.show('0.jpg')")
    expect(page.locator("#viewer")).to_have_attribute("data-image", "0.jpg")
    assert decoded() == 12, "one seen long ago is not"
    page.get_by_label("find image").fill("room_2")
    expect(page.locator(".nav")).to_contain_text("1 of 333 found")
    on.click()
    expect(page.locator("#viewer")).to_have_attribute("data-image", "5.jpg")
    assert page.locator(".caption").inner_text() == "room_2"


def test_an_image_is_laid_beside_its_variant(opened):
    images = [
        Shown("home", picture(level=40), maps("x"), key="a", beside="b", details=["pixels"]),
        Shown("elsewhere", picture(level=200), maps("y", "x"), key="b", details=["pixels"]),
    ]
    page = opened(images)
    page.get_by_label("opacity").fill("0")
    choice(page, "compare with").select_option(label="the image elsewhere")
    page.get_by_label("left of here").fill("0.3")
    expect(page.locator(".cut")).to_be_visible()
    assert colour(page, 0.2, 0.5) == pytest.approx((40, 40, 40), abs=2)
    assert colour(page, 0.4, 0.5) == pytest.approx((200, 200, 200), abs=2)
    point(page, 0.505, 0.505)
    other = images[1].maps[1].values[40, 50]
    expect(page.locator(".said")).to_contain_text(f"(the other image: {'−' if other < 0 else ''}")
    page.evaluate("viewer.show('b', 'x')")
    expect(page.locator(".cut")).to_be_hidden()
    assert choice(page, "output").input_value() == "x"


def test_values_of_coarser_maps_lie_where_they_belong(opened):
    values = heat(41, 57)
    page = opened([Shown("a", picture(41, 57), [Map("x", values)], details=["pixels"])], largest=15)
    blocks = summed(values, 4)
    assert blocks.shape == (11, 15)
    for y, x in ((0, 0), (5, 7), (10, 14)):
        point(page, (4 * x + 0.5) / 57, (4 * y + 0.5) / 41)
        expect(page.locator(".said")).to_contain_text(f"x {4 * x}, y {4 * y}: ")
        assert value(page) == pytest.approx(blocks[y, x], abs=1.01 * np.abs(blocks).max() / 126)
    expect(page.locator(".key")).to_contain_text("for each block of 4 × 4 pixels, to keep this page small")


def test_a_slider_goes_through_the_slices_of_a_volume_and_a_region_reaches_over_them(opened):
    values = np.stack([heat(30, 40, seed) * (1 + 3 * (seed == 1)) for seed in range(3)])
    pictures = np.stack([picture(30, 40, level) for level in (40, 120, 220)])
    regions = np.zeros((3, 30, 40), dtype=int)
    regions[:, :, 20:] = 1
    page = opened([Shown("a", pictures, [Map("x", values)], regions, details=["pixels", "regions"])])
    slices = page.get_by_role("slider", name="slice")
    expect(page.locator(".right")).to_contain_text("slice 1 of 0 to 2")  # the one with the most attribution
    for number in (1, 2, 0):
        slices.fill(str(number))
        expect(page.locator(".right")).to_contain_text(f"slice {number} of 0 to 2")
        point(page, 30.5 / 40, 10.5 / 30)
        expect(page.locator(".said")).to_contain_text("x 30, y 10: ")
        step = 1.01 * np.abs(values).max() / 126
        assert value(page) == pytest.approx(values[number, 10, 30], abs=step)
    choice(page, "detail").select_option("sums over regions")
    point(page, 30.5 / 40, 10.5 / 30)
    whole = values[:, :, 20:].sum()
    expect(page.locator(".said")).to_contain_text(f"its region: {whole:.3g}".replace("-", "−")[:16])


def test_a_still_is_one_canvas_with_heatmap_marks_and_a_name(opened):
    values = np.zeros((80, 100))
    values[:40, :50], values[40:, 50:] = 1, -1
    shown = Shown(
        HOSTILE,
        picture(level=255),
        [Map("x", values)],
        details=["pixels"],
        marks=[Mark("prediction", 75, 20)],
    )
    page = opened([shown, Shown("plain", picture())])
    page.evaluate("""async () => {
      for (const n of [0, 1]) {
        const place = document.createElement("div");
        place.id = `still-${n}`;
        document.body.append(place);
        await still(place, given.images[n], { width: 150, map: 0 });
      }
    }""")
    red, blue = colour(page, 0.1, 0.1, "#still-0 canvas"), colour(page, 0.9, 0.9, "#still-0 canvas")
    assert red == (196, 18, 47) and blue == (26, 100, 183)
    assert colour(page, 0.75, 0.25, "#still-0 canvas") == PREDICTION
    assert page.locator("#still-0 canvas").get_attribute("aria-label") == f"{HOSTILE}, heatmap of x"
    assert page.locator("#still-0 *").count() == 1
    assert page.locator("#still-1 canvas").get_attribute("width") == "150"
    assert colour(page, 0.5, 0.5, "#still-1 canvas") == (GREY,) * 3


def test_a_box_is_drawn_by_keyboard_and_its_sum_is_told(opened):
    shown = Shown("a", picture(), maps("x"), details=["pixels"])
    page = opened([shown])
    page.keyboard.press("Tab")
    expect(page.locator(".stage")).to_be_focused()
    for pressed in ("ArrowLeft", "Enter", "Shift+ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(pressed)
    expect(page.locator(".said")).to_contain_text("In the box (11 × 2): ")
    own = shown.maps[0].values
    assert value(page) == pytest.approx(own[40:42, 49:60].sum(), abs=2 * np.abs(own).max() / 126)
    page.keyboard.press("Escape")
    expect(page.locator(".said")).to_have_text("Point at the picture for values; drag a box for a sum.")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious_names_are_text_and_nothing_is_wider_than_a_phone(opened, dark):
    every = [
        Map(f"{HOSTILE} {n}", heat(seed=n), 1, 2, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 0.5, "rest": -1})
        for n in range(13)
    ]
    image = Shown(
        HOSTILE,
        picture(),
        every,
        marks=[Mark("target", 3, 4, HOSTILE)],
        caption=HOSTILE,
        group=HOSTILE,
        outline=np.eye(80, 100, dtype=bool),
        key="a",
        beside="b0",
    )
    images = [image, *[Shown(f"{n}", picture(), key=f"b{n}") for n in range(13)]]
    page = opened(images, dark=dark, width=400)
    choice(page, "compare with").select_option(index=3)
    expect(page.locator(".cut")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#viewer img, #viewer script").count() == 0
    found = Axe().run(page).response["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not bad, json.dumps(bad, indent=1)[:3000]
    paper = page.evaluate("getComputedStyle(document.querySelector('#viewer')).backgroundColor")
    assert paper == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")


def test_printed_it_is_the_picture_and_what_is_said_of_it(opened):
    page = opened([Shown("a", picture(), maps("x", "y")), Shown("b", picture())], dark=True)
    page.emulate_media(media="print")
    assert page.locator(".right select:visible, input:visible, button:visible").count() == 0
    assert choice(page, "image").is_visible(), "which says the image's name"
    assert "Heatmap of x by DeepSHAP." in page.locator(".parts").inner_text()
    assert page.locator(".stage canvas").is_visible() and page.locator(".parts").is_visible()


def test_images_encoded_before_are_shown_as_those_encoded_now(opened):
    shown = Shown("a", picture(), maps("x"))
    kept = json.loads(json.dumps(encoded(shown), allow_nan=False))
    assert content([kept]) == json.loads(json.dumps(content([shown])))
    assert content([encoded(shown, 4), shown])["coarser"] == 4


def test_without_javascript_the_still_picture_is_there(browser, tmp_path):
    still = '<figure><svg width="50" height="40"></svg></figure>'
    file = View(content([Shown("a", picture())]), still).save(tmp_path / "why.html")
    page = browser.new_page(java_script_enabled=False)
    page.goto(file.as_uri())
    assert page.locator("figure svg").bounding_box()["width"] == 50
    page.close()
