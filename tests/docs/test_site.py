"""The documentation site: it builds, no link is broken, and it needs no network."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config

from tests.fleet.browser import browser
from tests.fleet.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class _Page(HTMLParser):
    """What a page links to, what it loads, and which anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in _LOADED and _LOADED[tag] in values:
            self.loads.append(values[_LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(target), strict=True))
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, _Page]:
    found: dict[str, _Page] = {}
    for path in site.rglob("*.html"):
        page = found[path.relative_to(site).as_posix()] = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    return found


def test_every_document_has_its_place_in_the_site() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = [name for entry in nav for value in entry.values() for name in _files(value)]
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def _files(entry: str | list[dict[str, str]]) -> list[str]:
    return [entry] if isinstance(entry, str) else [name for item in entry for name in item.values()]


def test_every_link_leads_somewhere(site: Path, pages: dict[str, _Page]) -> None:
    assert len(pages) > 20
    wrong: list[str] = []
    for name, page in pages.items():
        for link in page.links:
            target, anchor = urldefrag(urljoin(f"http://site/{name}", link))
            parts = urlsplit(target)
            if parts.netloc != "site":
                assert parts.scheme == "https", link
                continue
            path = unquote(parts.path).lstrip("/") or "index.html"
            there = pages.get(path)
            if not (site / path).exists() or (anchor and there and anchor not in there.anchors):
                wrong.append(f"{name}: {link}")
    assert not wrong
    # What highlights the place in the menu can't find others.
    headings = (
        anchor for name, page in pages.items() for anchor in page.anchors if name != "404.html"
    )
    assert not [anchor for anchor in headings if anchor[:1].isdigit()]


def test_it_loads_nothing_from_elsewhere(site: Path, pages: dict[str, _Page]) -> None:
    for page in pages.values():
        assert not [link for link in page.loads if urlsplit(link).netloc]
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8").replace("'", "")


@contextmanager
def _served(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


_SEARCH = """(() => {
    const field = document.querySelector("#mkdocs-search-query");
    field.value = "rotate";
    field.dispatchEvent(new KeyboardEvent("keyup"));
    return document.querySelector("#mkdocs-search-results a")?.href;
})()"""


@pytest.mark.browser
def test_a_browser_shows_it_and_finds_what_is_searched_for(site: Path) -> None:
    with _served(site) as address, browser() as tab:
        tab.open(f"{address}/tutorial.html", width=1280)
        assert "from nothing to a fleet" in tab.value("document.body.innerText")
        assert tab.when(_SEARCH).startswith(address)
        assert all(url.startswith(address) for url in tab.requested), tab.requested
        assert not [text for text in tab.complaints if "xception" in text]
