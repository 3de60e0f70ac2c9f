"""The documentation: its snippets run, and its site is whole, asks for nothing, and can be searched from the disk."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib
import matplotlib.pyplot as plt
import pytest

import shapsight as ss
from example_world import names, statements, write_world

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
# Code fenced as python is run, in order; as py it is only shown.
PAGES = ["start.md", "gallery.md", *(f"{folder}/{page.name}" for folder in ("howto", "coming_from")
                       for page in sorted((DOCS / folder).glob("*.md")))]  # fmt: skip

# Lists and tables that Python-Markdown took for text, since no empty line stands before them.
LIST_IN_TEXT = re.compile(r"<p>(?:(?!</p>).)*\n(?:- |1\. |\| )|\| --- \|", re.DOTALL)


def snippets(page: Path) -> list[str]:
    """The Python blocks of a page, also those inside lists and tabs."""
    found = re.findall(
        r"^( *)```python\n(.*?)^\1```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(code) for _, code in found]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    write_world(folder)
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning:shap")
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # shap's
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")  # captum's
@pytest.mark.parametrize("page", [page for page in PAGES if snippets(DOCS / page)])
def test_the_snippets_of_a_page_run(page, world, monkeypatch):
    monkeypatch.chdir(world)
    matplotlib.use("agg")
    given = names(page)
    for snippet in snippets(DOCS / page):
        for _, code in statements(snippet):
            exec(code, given)
    plt.close("all")


def test_every_public_name_is_in_the_reference():
    told = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    shown = set(re.findall(r"^::: shapsight\.(?:\w+\.)*(\w+)$", told, re.MULTILINE))
    assert set(ss.__all__) - {"__version__"} - shown == set()


class Page(HTMLParser):
    """The addresses that a page links to or loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors.add(given.get("id") or "")
        if tag == "a" and given.get("href"):
            self.links.add(str(given["href"]))
        elif given.get("src") or (tag == "link" and given.get("rel") != "canonical"):
            self.loaded.add(str(given.get("src") or given.get("href")))


def broken(site: Path) -> Iterator[tuple[str, str]]:
    """Links within the site, and files that its pages load, which are not there."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links | page.loaded:
            parts = urlsplit(link)
            if parts.scheme or (path.name == "404.html" and link.startswith("/")):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors
            ):
                yield str(path.relative_to(site)), link


@pytest.mark.page
@pytest.mark.fashion_mnist
def test_the_site_is_whole_and_asks_for_nothing_and_is_searched_from_the_disk(
    browser, fashion_mnist, tmp_path, monkeypatch
):
    site = tmp_path / "site"
    monkeypatch.setenv("SHAPSIGHT_FASHION_MNIST", str(fashion_mnist))
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert list(broken(site)) == []
    assert [
        page.name for page in site.rglob("*.html") if LIST_IN_TEXT.search(page.read_text(encoding="utf-8"))
    ] == []
    for tutorial in (DOCS / "tutorials").glob("*.py"):
        assert "<img" in (site / "tutorials" / f"{tutorial.stem}.html").read_text(encoding="utf-8")
        assert (site / "tutorials" / f"{tutorial.stem}.ipynb").is_file()

    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for shown in ("index", "start", "tutorials/steering", "api/explainers"):
        page.goto((site / f"{shown}.html").as_uri())
    page.locator(".md-search__input").first.fill("completeness gap")
    page.locator(".md-search-result__item").first.wait_for()
    assert "gap" in page.locator(".md-search-result__list").first.inner_text()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
