"""The report page: one valid, escaped, self-contained file. What a browser makes of it: `test_page_in_browser.py`."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from shapsight.drawing.charts.intervals import error_bars
from shapsight.drawing.charts.scatter import scatter_panels
from shapsight.drawing.charts.theme import LIKE_ENCODE_URI_COMPONENT
from shapsight.drawing.viewer import Map, Mark, Shown, encoded
from shapsight.errors import RunError
from shapsight.report.page import Answer, Card, Column, Page, Picture, Section, Table
from shapsight.report.rendered import render_page

VOID = {"meta", "link", "img", "br", "hr", "input"}
PLAIN = "room_2"
HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "</script></style></title><script>alert(1)</script>",
    "\"double\" 'single' `ticks` {{ 7 * 7 }} {% raw %} &quot; &amp;",
    "\u202egpj.right-to-left\u2067",
    "x" * 300,
    "]]> --> <!-- \u2028 \\u003c #image=a javascript:alert(1)",
    "\x01\x1b[31m\x7f\ufffe",
)


class Outline(HTMLParser):
    """What is in a page; raises where a tag is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        assert len(attributes) == len(dict(attributes)), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    @property
    def content(self) -> dict:
        return json.loads("".join(self.text_of("script")[:1]))


def image(name: str = "a.jpg", word: str = PLAIN, maps: int = 1, seed: int = 0) -> Shown:
    random = np.random.default_rng(seed)
    return Shown(
        name,
        random.integers(0, 255, (16, 24, 3), np.uint8),
        [
            Map(
                f"x{n} {word}",
                random.normal(size=(16, 24)),
                1,
                0.5,
                word,
                word,
                word,
                {word: 0.25, "rest": -1},
            )
            for n in range(maps)
        ],
        marks=[Mark("target", 3, 4, word)],
        caption=f"caption {word}",
        group=word,
    )


def errors(environment: str = PLAIN) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "environment": ["room_1", environment],
            "split": ["validation", "unseen"],
            "target": "x",
            "images": [120, 4300],
            "mse": [0.01234, -0.5],
            "mse_low": [0.011, np.nan],
            "mse_high": [0.015, np.nan],
            "r2": [0.97, np.nan],
            "is_unseen": [False, True],
        }
    )


def predictions(name: str = "a.jpg", environment: str = PLAIN) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [name, "b.jpg"], "environment": environment, "split": "unseen",
            "x": [0.1, 0.2], "predicted_x": [0.3, 0.1],
        }
    )  # fmt: skip


COLUMNS = (
    Column("environment", "Environment"),
    Column("images", "Images"),
    Column("mse", "MSE", ".3f", low="mse_low", high="mse_high"),
    Column("r2", "R²", ".2f"),
    Column("is_unseen"),
)


def report(word: str = PLAIN) -> Page:
    first, others = image(f"a {word}", word), [image(f"{n}.jpg", word, 2, seed=n) for n in range(3)]
    return Page(
        title=f"Title {word}",
        answer=Answer(
            f"Verdict {word}",
            f"Evidence {word}",
            [Card(first, f"Card {word}", f"Said {word}")],
            Picture(error_bars(errors(word)), f"chart {word}", f"Chart {word}"),
            next=f"shapsight diagnose {word}",
            next_is=f"Ask {word}",
            level="shortcut",
        ),
        sections=[
            Section(
                f"How large is the error in {word}?",
                f"Lead {word}",
                [Picture(scatter_panels(predictions(f"a {word}", word), "x", [f"a {word}"]), f"points {word}")],
                [Table(errors(word), f"Errors, {word}", COLUMNS)],
                text=f"First paragraph.\n\nSecond, about {word}.",
                notes=[f"A note on {word}."],
            ),
            Section("Images", pictures=[Picture(others, f"images {word}", first=2, maps=(0, 1))]),
            Section("What was left out", tables=[Table(pd.DataFrame({"path": [], "reason": []}))]),
        ],
        settings={"command": f"shapsight debug {word}", f"seed {word}": "0"},
    )  # fmt: skip


def rendered(page: Page, folder: Path) -> str:
    return render_page(page, folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Outline:
    return Outline(rendered(report(), tmp_path_factory.mktemp("plain")))


@pytest.fixture
def html(tmp_path) -> str:
    return rendered(report(), tmp_path)


def test_tags_are_balanced_and_ids_unique_and_links_lead_somewhere(html):
    outline = Outline(html)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    keys = {quote(one["key"], LIKE_ENCODE_URI_COMPONENT) for one in outline.content["images"]}
    targets = [link["href"] for link in outline.all("a")]
    within = [target for target in targets if target.startswith("#") and "=" not in target]
    assert within == ["#section-1", "#section-2", "#section-3", "#settings"]
    assert {target.removeprefix("#") for target in within} <= set(ids)
    of_images = {target.partition("=")[2] for target in targets if target.startswith("#image=")}
    assert of_images and of_images <= keys
    assert [tag for tag, at in outline.tags if at.get("data-copies", "next") not in ids] == []
    used = re.findall(r"url\(#([^)]*)\)", html)
    assert set(used) <= set(ids)


def test_every_attribute_that_must_name_an_image_of_the_page_does(html):
    outline = Outline(html)
    images = outline.content["images"]
    stills = [each for each in outline.all("button") if each.get("class") == "still"]
    assert len(stills) == 1 + 3 * 2
    for each in stills:
        assert int(each["data-map"]) < len(images[int(each["data-image"])]["maps"])


def test_nothing_is_loaded_from_elsewhere(html):
    outline = Outline(html)
    for _, attributes in outline.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "http" not in re.sub(r'http-equiv="|xmlns="http://www.w3.org/2000/svg"|base64,[^"]*', "", html)
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_policy_names_the_one_script_that_may_run_and_allows_nothing_else(html):
    outline = Outline(html)
    (policy,) = (meta["content"] for meta in outline.all("meta") if "http-equiv" in meta)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    assert [each.get("type") for each in outline.all("script")] == ["application/json", "module"]
    own = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "img-src": "data: blob:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{own}'",
    }
    assert not [name for _, at in outline.tags for name in at if name.startswith("on")]


@pytest.mark.parametrize(
    "given", HOSTILE, ids=["tag", "script", "quotes", "right to left", "long", "comment", "control"]
)
def test_every_word_of_a_user_is_text_wherever_it_stands(tmp_path, plain, given):
    outline = Outline(rendered(report(given), tmp_path))
    assert [tag for tag, _ in outline.tags] == [tag for tag, _ in plain.tags]
    assert [sorted({*at} - {"class"}) for _, at in outline.tags] == [
        sorted({*at} - {"class"}) for _, at in plain.tags
    ]
    word = re.sub("[\u202a-\u202e\u2066-\u2069]", "", given)  # they would turn the rest of a sentence around
    told = "\n".join(text for tag, text in outline.texts if tag not in ("script", "style"))
    for said in (
        "Verdict",
        "Evidence",
        "Card",
        "Said",
        "Chart",
        "Ask",
        "Lead",
        "A note on",
        "shapsight debug",
    ):
        assert f"{said} {word}" in told
    assert word in outline.text_of("th")
    first = outline.content["images"][0]
    names = (first["name"], first["group"], first["maps"][0]["parts"][0]["name"])
    assert names == (f"a {given}", given, given)
    links = [link["href"] for link in outline.all("a") if link["href"].startswith("#image=")]
    assert links == [f"#image={quote(f'a {given}', LIKE_ENCODE_URI_COMPONENT)}"]
    assert outline.text_of("code") == [f"shapsight diagnose {given}"]


def test_the_page_has_the_answer_first_then_sections_then_how_it_was_made(html):
    outline = Outline(html)
    assert outline.text_of("h1") == ["Verdict room_2"]
    assert outline.text_of("h2") == [
        "Card room_2", "Chart room_2",
        "How large is the error in room_2?", "Images", "What was left out",
        "How this was made",
    ]  # fmt: skip
    assert outline.text_of("p")[:3] == ["Title room_2", "Evidence room_2", "Said room_2"]
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and max(np.diff(levels)) <= 1
    assert html.index("<h1") < html.index("<nav") < html.index("<main")


def test_numbers_are_written_as_asked_with_their_interval_beside_them(html):
    rows = [re.sub(r"\s+", " ", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]
    assert cells[0] == ["Environment", "Images", "MSE", "R²", "is unseen"]
    assert cells[1] == ["room_1", "120", "0.012", "[0.011, 0.015]", "0.97", "no"]
    assert cells[2] == ["room_2", "4300", "−0.500", "", "–", "yes"]
    assert cells[-1] == ["none"]
    assert '<td class="number">0.012</td><td class="interval">' in rows[1]


def test_every_row_takes_as_many_cells_as_the_head_announces(html):
    for table in re.findall(r"<table>(.*?)</table>", html, re.DOTALL):
        rows = [Outline(row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        widths = [sum(int(a.get("colspan") or 1) for t, a in row.tags if t in ("td", "th")) for row in rows]
        assert len(set(widths)) == 1


def test_tables_are_folded_away_and_saved_with_every_number_unrounded(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"name": HOSTILE, "value": random.normal(size=7) * 1e-9, "count": random.integers(0, 9**15, 7)}
    )
    frame.loc[0, "value"] = np.nan
    page = Page("t", Answer("a"), [Section("s", tables=[Table(frame, "Errors, all", [Column("value")])])])
    html = rendered(page, tmp_path)
    (link,) = (each for each in Outline(html).all("a") if "download" in each)
    assert link["download"] == "errors_all.csv"
    kind, _, text = link["href"].partition(";base64,")
    assert kind == "data:text/csv;charset=utf-8"
    saved = pd.read_csv(io.StringIO(base64.b64decode(text).decode()))
    pd.testing.assert_frame_equal(saved, frame, check_exact=True)
    assert re.search(r"<details class=\"numbers\">.*<table>.*</table>.*</details>", html, re.DOTALL)


def test_a_table_without_chosen_columns_shows_all_of_them(tmp_path):
    page = Page("t", Answer("a"), [Section("s", tables=[Table(errors())])])
    outline = Outline(rendered(page, tmp_path))
    heads = [text for text in outline.text_of("th") if text not in ("room_1", "room_2")]
    assert heads == [
        "environment", "split", "target", "images", "mse", "mse low", "mse high", "r2", "is unseen",
    ]  # fmt: skip
    assert "0.0123" in outline.text_of("td")


def test_tables_pictures_and_charts_tell_a_screen_reader_what_they_are(html):
    outline = Outline(html)
    assert all(head.get("scope") in ("col", "row") for head in outline.all("th"))
    groups = [at["aria-label"] for _, at in outline.tags if at.get("role") == "group" and at.get("class")]
    assert groups == ["chart room_2", "points room_2", "Errors, room_2", "images room_2", "What was left out"]
    assert {at["aria-label"] for at in outline.all("button") if at.get("class") == "still"} >= {
        "a room_2: look closer"
    }
    assert outline.all("html") == [{"lang": "en"}]
    assert all(picture["alt"] for picture in outline.all("img"))


def test_an_image_is_in_the_page_once_however_often_it_is_shown(tmp_path):
    one, other = image("a", maps=2), image("b", seed=1)
    section = Section("s", pictures=[Picture([one, other], "both"), Picture([encoded(other), one], "again")])
    outline = Outline(rendered(Page("t", Answer("a", cards=[Card(one, "c", map=1)]), [section]), tmp_path))
    assert [each["name"] for each in outline.content["images"]] == ["a", "b"]
    stills = [each for each in outline.all("button") if each.get("class") == "still"]
    assert [(each["data-image"], each["data-map"]) for each in stills] == [
        ("0", "1"), ("0", "0"), ("1", "0"), ("1", "0"), ("0", "0"),
    ]  # fmt: skip


def test_an_image_shown_with_and_without_heatmaps_keeps_them(tmp_path):
    with_maps, plain = image("a"), replace(image("a"), maps=())
    page = Page(
        "t", Answer("a", cards=[Card(plain, "c")]), [Section("s", pictures=[Picture([with_maps], "p")])]
    )
    (kept,) = Outline(rendered(page, tmp_path)).content["images"]
    assert len(kept["maps"]) == 1


def test_images_beyond_the_first_are_folded_away(tmp_path):
    many = [image(f"{n}.jpg", seed=n) for n in range(15)]
    html = rendered(Page("t", Answer("a"), [Section("s", pictures=[Picture(many, "many")])]), tmp_path)
    seen, folded = html.split("<summary>3 more images</summary>")
    assert (seen.count('class="still"'), folded.count('class="still"')) == (12, 3)


def test_parts_are_bars_to_either_side_and_what_is_not_known_is_said(tmp_path):
    shown = replace(
        image(), maps=[Map("x", np.ones((16, 24)), parts={"scene": -0.5, "track": 0.25, "sky": np.nan})]
    )
    html = rendered(Page("t", Answer("a", cards=[Card(shown, "c")])), tmp_path)
    assert re.findall(r'<i class="(\w+)" style="--share: ([\d.]+)%"></i></dd><dd>([^<]*)', html) == [
        ("lowers", "50.0", "−0.5"),
        ("raises", "25.0", "+0.25"),
        ("raises", "0.0", "unknown"),
    ]


def test_a_page_of_nothing_but_an_answer_is_a_page(tmp_path):
    outline = Outline(rendered(Page("Title", Answer("Answer.")), tmp_path))
    assert outline.text_of("title") == ["Title"] and outline.text_of("h1") == ["Answer."]
    for tag in ("footer", "dl", "section", "figure", "nav", "code"):
        assert not outline.all(tag)
    assert outline.content["images"] == []


def test_a_page_says_that_its_heatmaps_were_made_coarser(tmp_path):
    shown = encoded(image(), block=4)
    for settings in ({}, {"seed": "0"}):
        page = Page("t", Answer("a", cards=[Card(shown, "c")]), settings=settings)
        assert "heatmaps are sums over 4 × 4 pixels" in rendered(page, tmp_path)


def test_values_that_are_no_numbers_are_shown_as_a_dash_and_leave_the_page_valid(tmp_path):
    nothing = Map("x", np.full((16, 24), np.nan), np.nan, np.inf, parts={"scene": np.nan})
    shown = replace(image(), maps=[nothing], marks=[Mark("prediction", np.nan, 3)])
    table = Table(pd.DataFrame({"x": [np.nan, np.inf, 1.0], "n": pd.array([1, None, 3], "Int64")}))
    page = Page(
        "t", Answer("a", cards=[Card(shown, "c")], chart=Picture(error_bars(errors().assign(mse=np.nan)), "e")),
        [Section("s", tables=[table])],
    )  # fmt: skip
    outline = Outline(rendered(page, tmp_path))
    assert outline.text_of("td") == ["–", "1", "inf", "–", "1", "3"]
    kept = outline.content["images"][0]
    assert kept["marks"] == [] and kept["maps"][0]["prediction"] is None


def test_the_same_page_gives_the_same_file(tmp_path):
    one, two = (render_page(report(), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert one == two


def test_a_page_that_cannot_be_rendered_leaves_the_old_report_alone(tmp_path):
    path = render_page(report(), tmp_path / "deep" / "report.html")
    before = path.read_bytes()
    section = Section("s", tables=[Table(errors(), columns=[Column("missing")])])
    with pytest.raises(KeyError, match="missing"):
        render_page(Page("t", Answer("a"), [section]), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot be written to .*report\.html"):
        render_page(report(), tmp_path / "file" / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        render_page(report(), tmp_path / "report.html")
    assert not list(tmp_path.glob(".*.part"))
