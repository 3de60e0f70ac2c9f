"""The report page: one valid, escaped, self-contained file that a browser shows."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from shapsight.errors import RunError
from shapsight.report.page import Column, KeyFigure, Page, Picture, Section, Table, render_page

VOID = {"meta", "link", "img", "br", "hr", "input"}
NASTY = "<b>x</b> & \"quotes\" 'single' {{ 7 * 7 }} <script>alert(1)</script>"


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


def chart() -> Figure:
    figure = Figure(figsize=(5, 3))
    figure.add_subplot().plot([0, 1, 2], [2, 0, 1])
    return figure


def photograph() -> Figure:
    figure = Figure(figsize=(9, 4))
    random = np.random.default_rng(0)
    figure.add_subplot().imshow(random.uniform(size=(30, 60, 3)))
    return figure


def errors(environment: str = "room_2") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "environment": ["room_1", environment],
            "images": [120, 4300],
            "mse": [0.01234, -0.5],
            "mse_low": [0.011, np.nan],
            "mse_high": [0.015, np.nan],
            "r2": [0.97, np.nan],
            "is_unseen": [False, True],
        }
    )


def report(word: str = "room_2") -> Page:
    columns = (
        Column("environment", "Environment"),
        Column("images", "Images"),
        Column("mse", "MSE", ".3f", low="mse_low", high="mse_high"),
        Column("r2", "R²", ".2f"),
        Column("is_unseen"),
    )
    return Page(
        title=f"Where does it look? {word}",
        answer=[f"The error in {word} is 40 times larger.", "It looks at the furniture."],
        key_figures=[KeyFigure(f"MSE in {word}", "0.5", f"0.4 to 0.6, {word}"), KeyFigure("Images", "12")],
        sections=[
            Section(
                f"How large is the error in {word}?",
                f"First paragraph.\n\nSecond, about {word}.",
                tables=[Table(errors(word), f"Errors, {word}", columns)],
                pictures=[Picture(chart(), f"a line, {word}", f"The line of {word}")],
                notes=[f"A note on {word}."],
            ),
            Section("The explained images", pictures=[Picture(photograph(), "noise")]),
            Section("What was left out", tables=[Table(pd.DataFrame({"path": [], "reason": []}))]),
        ],
        settings={"command": f"shapsight debug {word}", "seed": "0"},
    )


@pytest.fixture
def html(tmp_path) -> str:
    return render_page(report(), tmp_path / "report.html").read_text(encoding="utf-8")


def test_tags_are_balanced_and_ids_unique_and_links_lead_somewhere(html):
    outline = Outline(html)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in outline.all("a")]
    assert targets == ["#section-1", "#section-2", "#section-3", "#settings"]
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(html):
    outline = Outline(html)
    for _, attributes in outline.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not outline.all("script")
    assert "http" not in re.sub(r'http-equiv="|data:image/[^"]*', "", html)
    assert not re.search(r"@import|url\(", html)
    policy = next(meta["content"] for meta in outline.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy


def test_every_word_of_a_user_is_escaped_wherever_it_stands(tmp_path):
    html = render_page(report(NASTY), tmp_path / "report.html").read_text(encoding="utf-8")
    outline = Outline(html)
    assert not outline.all("b") and not outline.all("script")
    assert "{{ 7 * 7 }}" in html and "49" not in "".join(text for _, text in outline.texts)
    shown = "\n".join(text for _, text in outline.texts)
    assert shown.count(NASTY) == 13
    assert outline.all("img")[0]["alt"] == f"a line, {NASTY}"


def test_the_page_has_the_answer_first_then_sections_then_how_it_was_made(html):
    outline = Outline(html)
    assert outline.text_of("h1") == ["Where does it look? room_2"]
    assert outline.text_of("h2") == [
        "How large is the error in room_2?",
        "The explained images",
        "What was left out",
        "How this was made",
    ]
    assert outline.text_of("p")[0] == "The error in room_2 is 40 times larger. It looks at the furniture."
    assert outline.text_of("p")[1:] == ["First paragraph.", "Second, about room_2."]
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and max(np.diff(levels)) <= 1


def test_numbers_are_written_as_asked_with_their_interval_beside_them(html):
    rows = [re.sub(r"\s+", " ", row) for row in re.findall(r"<tr>(.*?)</tr>", html, re.S)]
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]
    assert cells[0] == ["Environment", "Images", "MSE", "R²", "is unseen"]
    assert cells[1] == ["room_1", "120", "0.012", "[0.011, 0.015]", "0.97", "no"]
    assert cells[2] == ["room_2", "4300", "−0.500", "", "–", "yes"]
    assert cells[-1] == ["none"]
    assert '<td class="number">0.012</td><td class="interval">' in rows[1]


def test_every_row_takes_as_many_cells_as_the_head_announces(html):
    for table in re.findall(r"<table>(.*?)</table>", html, re.S):
        rows = [Outline(row) for row in re.findall(r"<tr>.*?</tr>", table, re.S)]
        widths = [sum(int(a.get("colspan") or 1) for t, a in row.tags if t in ("td", "th")) for row in rows]
        assert len(set(widths)) == 1


def test_a_table_without_chosen_columns_shows_all_of_them(tmp_path):
    page = Page("t", ["a"], sections=[Section("s", tables=[Table(errors())])])
    outline = Outline(render_page(page, tmp_path / "r.html").read_text(encoding="utf-8"))
    heads = [text for text in outline.text_of("th") if text not in ("room_1", "room_2")]
    assert heads == ["environment", "images", "mse", "mse low", "mse high", "r2", "is unseen"]
    assert "0.01234" in outline.text_of("td")


def test_tables_and_pictures_tell_a_screen_reader_what_they_are(html):
    outline = Outline(html)
    assert all(head.get("scope") in ("col", "row") for head in outline.all("th"))
    assert [image["alt"] for image in outline.all("img")] == ["a line, room_2", "noise"]
    assert outline.all("html") == [{"lang": "en"}]
    assert outline.text_of("caption") == ["Errors, room_2"]


def test_charts_are_drawn_as_svg_and_photographs_as_png_in_their_own_proportions(html):
    first, second = Outline(html).all("img")
    assert first["src"].startswith("data:image/svg+xml;base64,")
    assert b"<svg" in base64.b64decode(first["src"].split(",")[1])
    assert second["src"].startswith("data:image/png;base64,")
    assert base64.b64decode(second["src"].split(",")[1]).startswith(b"\x89PNG")
    assert [(image["width"], image["height"]) for image in (first, second)] == [
        ("480", "288"),
        ("864", "384"),
    ]


def test_a_page_of_nothing_but_a_title_and_an_answer_is_a_page(tmp_path):
    outline = Outline(
        render_page(Page("Title", ["Answer."]), tmp_path / "r.html").read_text(encoding="utf-8")
    )
    assert outline.text_of("h1") == ["Title"] and not outline.all("footer") and not outline.all("dl")


def test_the_same_page_gives_the_same_file(tmp_path):
    one, two = (render_page(report(), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert one == two


def test_a_page_that_cannot_be_rendered_leaves_the_old_report_alone(tmp_path):
    path = render_page(report(), tmp_path / "deep" / "report.html")
    before = path.read_bytes()
    broken = Page("t", ["a"], sections=[Section("s", tables=[Table(errors(), columns=[Column("missing")])])])
    with pytest.raises(KeyError, match="missing"):
        render_page(broken, path)
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


@pytest.mark.page
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_chromium_shows_the_page(tmp_path, is_dark):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed, and this test looks at the page in it")
    page, shot = render_page(report(), tmp_path / "report.html"), tmp_path / "shot.png"
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    scheme = ["--blink-settings=preferredColorScheme=0"] if is_dark else []
    subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", *quiet.split(), "--hide-scrollbars", *scheme,
         f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}", "--window-size=900,1600", page.as_uri()],
        check=True, capture_output=True,
    )  # fmt: skip
    seen = np.asarray(Image.open(shot).convert("L"), dtype=float)
    assert seen.shape == (1600, 900)
    paper, text = seen[5, 5], seen[20:200]
    assert (paper < 60) == is_dark and (paper > 200) == (not is_dark)
    assert np.abs(text - paper).max() > 150, "no text stands out"
    # The chart's white card is there in both schemes, with dark ink on it.
    assert (seen[600:] > 250).mean() > 0.1
    assert seen.std() > 5
