"""The page of a run in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aegis_provision.report.html_plan import render_plan_page
from tests.fleet.browser import browser
from tests.report.fleets import plans
from tests.report.pages import HOSTILE, fleet_run, hostile_run, render_page
from tests.report.runs import RUN, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from aegis_provision.rollout.events import Event
    from tests.fleet.browser import Page

pytestmark = pytest.mark.browser
PHONE = 360


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


def _write(tmp_path: Path, entries: Sequence[tuple[float, Event]]) -> Path:
    path = tmp_path / "run.html"
    path.write_text(render_page(entries), encoding="utf-8")
    return path


TOO_WIDE = f"""
[...document.querySelectorAll("body *")]
  .filter(it => it.checkVisibility() && it.getBoundingClientRect().right > {PHONE} + 0.5)
  .map(it => it.outerHTML.slice(0, 200))
"""
OPEN_ALL = 'document.querySelectorAll("details").forEach(it => it.open = true)'


@pytest.mark.parametrize("kind", ["fleet", "hostile"])
def test_nothing_is_wider_than_a_phone(tab: Page, tmp_path: Path, kind: str) -> None:
    entries = hostile_run() if kind == "hostile" else fleet_run(40)
    tab.open(_write(tmp_path, entries), width=PHONE)
    tab.value(OPEN_ALL)
    assert tab.value("innerWidth") == PHONE
    assert tab.value("document.documentElement.scrollWidth") == PHONE
    assert tab.value(TOO_WIDE) == []


def test_a_plan_is_no_wider_than_a_phone(tab: Page, tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    path.write_text(render_plan_page(plans(), {"Inventory": "i.yml"}), encoding="utf-8")
    tab.open(path, width=PHONE)
    tab.value(OPEN_ALL)
    assert tab.value("document.documentElement.scrollWidth") == PHONE
    assert tab.value(TOO_WIDE) == []
    assert tab.complaints == []


@pytest.mark.parametrize("width", [PHONE, 1280])
def test_a_browser_shows_it_without_asking_anybody_or_complaining(
    tab: Page, tmp_path: Path, width: int
) -> None:
    path = _write(tmp_path, fleet_run(40))
    tab.open(path, width=width)
    assert tab.requested == [path.as_uri()]
    assert tab.complaints == []
    text = tab.value("document.body.innerText")
    assert f"Run {RUN}" in text
    assert all(host in text for host in hosts(40))
    assert tab.picture().startswith(b"\x89PNG")


def test_hostile_text_runs_nowhere(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, hostile_run())
    tab.open(path, width=1280)
    assert tab.value("document.title") == f"Run {RUN} - aegis-provision"
    assert tab.value('document.querySelectorAll("script, img").length') == 0
    assert tab.requested == [path.as_uri()]
    assert HOSTILE[0] in tab.value("document.body.innerText")


def test_the_policy_stops_what_would_get_in(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, fleet_run(4))
    page = path.read_text(encoding="utf-8")
    evil = "<script>document.title='taken'</script><p style='position:fixed'>x</p>"
    path.write_text(page.replace("<main>", f"<main>{evil}"), encoding="utf-8")
    tab.open(path, width=1280)
    assert tab.value("document.title") == f"Run {RUN} - aegis-provision"
    assert len(tab.complaints) == 2
    assert all("Content Security Policy" in words for words in tab.complaints)


def test_bars_have_the_colour_of_how_the_host_ended(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, fleet_run(40)), width=1280)
    colour = 'getComputedStyle(document.querySelector(".chart .bar.{}")).fill'
    assert tab.value(colour.format("applied")) == "rgb(29, 138, 79)"
    assert tab.value(colour.format("failed")) == "rgb(207, 47, 47)"
    assert tab.value('document.querySelectorAll(".chart .band").length') == 3
    assert tab.value('document.querySelectorAll(".chart .bar").length') == 40


def test_a_filter_leaves_the_hosts_that_it_names(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, fleet_run(100)), width=1280)
    shown = '[...document.querySelectorAll(".host")].filter(it => it.checkVisibility()).length'
    tab.value(OPEN_ALL)
    assert tab.value(shown) == 100
    tab.click("label:has(#only-bad)")
    assert tab.value(shown) == 100 // 7
    tab.click("label:has(#only-all)")
    assert tab.value(shown) == 100


def test_dark_is_dark(tab: Page, tmp_path: Path) -> None:
    path = _write(tmp_path, fleet_run(4))
    background = "getComputedStyle(document.body).backgroundColor"
    tab.open(path, width=1280)
    light = tab.value(background)
    tab.open(path, width=1280, dark=True)
    assert (light, tab.value(background)) == ("rgb(244, 245, 247)", "rgb(16, 20, 26)")


def test_paper_gets_every_host_on_white_and_no_buttons(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, fleet_run(100)), width=1280, dark=True)
    tab.as_printed()
    assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.value('document.querySelector(".filters").checkVisibility()') is False
    shown = (
        '[...document.querySelectorAll(".host > summary")]'
        ".filter(it => it.getBoundingClientRect().height > 0).length"
    )
    assert tab.value(shown) == 100
    assert tab.printed().startswith(b"%PDF-")


@pytest.mark.slow
def test_a_thousand_hosts_are_laid_out_soon(tab: Page, tmp_path: Path) -> None:
    tab.open(_write(tmp_path, fleet_run(1000)), width=PHONE)
    assert (
        tab.value("performance.timing.loadEventEnd - performance.timing.navigationStart") < 10_000
    )
    assert tab.value("document.documentElement.scrollWidth") == PHONE
