"""CONTRIBUTING names files, packages and targets that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATH = r"`([a-z_.]+(?:/[a-z_.]*)*(?:/|\.(?:py|yml|json|md|toml|txt)))`"
PATHS = sorted(set(re.findall(PATH, TEXT)))
TARGETS = set(re.findall(r"`make ([a-z-]+)`", TEXT))
PACKAGES = {
    path.name + ("/" if path.is_dir() else "")
    for path in (ROOT / "aegis_provision").iterdir()
    if (path / "__init__.py").exists() or path.suffix == ".py"
}
NOT_IN_THE_TABLE = {"__init__.py", "__main__.py", "version.py"}


def test_it_names_many() -> None:
    assert len(PATHS) > 60
    assert {"unit", "test", "lint", "lowest", "newest"} <= TARGETS


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_somewhere(path: str) -> None:
    package = ROOT / "aegis_provision"
    above = [ROOT, package, ROOT / "tests/fleet", *package.glob("*/"), *package.glob("*/*/")]
    assert any((directory / path).exists() for directory in above)


def test_targets_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) >= TARGETS


def test_the_packages_that_are_said_to_decide_are_held_to_it() -> None:
    house = TEXT.partition("## The house")[2].partition("##")[0]
    last = re.search(r"^Packages up to `([a-z]+)/` decide", house, re.MULTILINE)
    assert last
    before, found, _ = house.partition(f"| `{last[1]}/` |")
    rows = re.findall(r"^\| (`.*?`) \| ", before, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)(?:/|\.py)`", row)}
    rules = (ROOT / ".importlinter").read_text(encoding="utf-8")
    rule = rules.partition("[importlinter:contract:pure]")[2].partition("forbidden_modules")[0]
    pure = set(re.findall(r"^    aegis_provision\.(\w+)$", rule, re.MULTILINE))
    assert found
    assert pure | {"packaged_files", "values"} == named | {last[1]}


def test_the_table_has_every_package_in_the_order_in_which_they_import() -> None:
    house = TEXT.partition("## The house")[2].partition("##")[0]
    rows = re.findall(r"^\| (`.*?`) \| ", house, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(named) == sorted(PACKAGES - NOT_IN_THE_TABLE)
    rules = (ROOT / ".importlinter").read_text(encoding="utf-8")
    flow = rules.partition("layers =")[2].partition("[")[0].replace("aegis_provision.", "")
    layers = reversed([line.split(" | ") for line in flow.split("\n") if line])
    place = {name.strip(): at for at, layer in enumerate(layers) for name in layer}
    order = [place[name.removesuffix("/").removesuffix(".py")] for name in named]
    assert order == sorted(order)
