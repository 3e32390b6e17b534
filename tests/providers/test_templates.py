"""The template grammar: observed vectors, and an implementation that shares no code."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.providers.templates import (
    expand,
    has_stray_reference,
    references,
    single_reference,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "template.json").read_text(encoding="utf-8")
)
NAME = set(string.ascii_uppercase + string.digits + "_")


def expand_tree(value: Any, environ: dict[str, str], missing: set[str]) -> Any:
    if isinstance(value, str):
        expansion = expand(value, environ)
        missing.update(expansion.missing)
        return expansion.text
    if isinstance(value, dict):
        return {key: expand_tree(item, environ, missing) for key, item in value.items()}
    if isinstance(value, list):
        return [expand_tree(item, environ, missing) for item in value]
    return value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda item: json.dumps(item["template"]))
def test_observed(vector: dict[str, Any]) -> None:
    missing: set[str] = set()
    value = expand_tree(vector["template"], vector["env"], missing)
    assert sorted(missing) == vector["missing"]
    if not missing:
        assert json.dumps(value, indent=2, ensure_ascii=False) + "\n" == vector["output"]


def by_hand(text: str, environ: dict[str, str]) -> tuple[str, set[str]]:
    """Read character by character, without a regular expression."""
    out, missing, at = "", set(), 0
    while at < len(text):
        end = at + 2
        while text.startswith("${", at) and end < len(text) and text[end] in NAME:
            end += 1
        name, default, after = text[at + 2 : end], None, 0
        if text.startswith("${", at) and name and text.startswith("}", end):
            after = end + 1
        elif text.startswith("${", at) and name and text.startswith(":-", end):
            close = text.find("}", end)
            if close >= 0:
                default, after = text[end + 2 : close], close + 1
        if not after:
            out += text[at]
            at += 1
            continue
        if environ.get(name):
            out += environ[name]
        elif default is None:
            missing.add(name)
        else:
            out += default
        at = after
    return out, missing


pieces = st.sampled_from(
    ["${", "}", ":-", "$", "A", "B_1", "1N", "a", " ", "\n", "é", "{", ":", "${A}", "${B_1:-x}"]
)
texts = st.lists(pieces, max_size=14).map("".join)
environs = st.dictionaries(
    st.sampled_from(["A", "B_1", "1N", "a"]), st.sampled_from(["", " ", "v", "${A}", "$&\\1"])
)


@given(texts, environs)
def test_agrees_with_a_reading_by_hand(text: str, environ: dict[str, str]) -> None:
    filled, missing = by_hand(text, environ)
    expansion = expand(text, environ)
    assert expansion.text == filled
    assert expansion.missing == tuple(sorted(missing))


@given(texts)
def test_text_without_references_stays(text: str) -> None:
    if not references(text):
        assert expand(text, {"A": "v", "B_1": "w"}).text == text


def test_a_name_is_ascii() -> None:
    assert expand("${\u0661}", {"\u0661": "no"}).text == "${\u0661}"


def test_what_took_its_default() -> None:
    expansion = expand("${B:-b}${A:-a}${C:-c}${B:-b}", {"C": "set", "A": ""})
    assert expansion.text == "basetb"
    assert expansion.defaulted == ("A", "B")


@pytest.mark.parametrize(
    "text", ["${a}", "${A-d}", "${ A }", "${A", "${}", "${A:-${B}}", "x${A.B}", "${:-d}"]
)
def test_stray(text: str) -> None:
    assert has_stray_reference(text)


@pytest.mark.parametrize("text", ["", "$A", "$$", "{A}", "${A}", "a${A:-x y}b${B}", "$${A}"])
def test_not_stray(text: str) -> None:
    assert not has_stray_reference(text)


def test_single_reference() -> None:
    found = single_reference("${A:-}")
    assert found is not None
    assert (found.name, found.default) == ("A", "")
    assert single_reference("${A}\n") is None
    assert single_reference("${A}${B}") is None
