"""A value that is written reads back as the same text, to every reader."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.nodes import Source, plain_value
from aegis_provision.documents.scalars import scalar_text
from aegis_provision.documents.yaml_reader import read_document

# What can be typed on one line: what YAML has escapes for is in it.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
LIKE_OTHERS = st.sampled_from(
    [
        *("yes", "No", "on", "null", "~", "1:30", "0x1f", "1e3", ".5", "0600", "2026-12-31", "="),
        *("<<", "${GLM_API_KEY}", "${A:-b}", "a: b", "a #b", "- a", "*a", "&a", "!a", "%a", "@a"),
        *("`a", "https://x.org:8080/v1", "https://x.org/:", "qwen2.5-coder:7b", "{a}", "[a"),
        *("a,b", "it's", "a ", " a"),
    ]
)


@given(value=TEXT | LIKE_OTHERS, flow=st.booleans(), quote=st.sampled_from(["", "'", '"']))
def test_it_reads_back_as_the_same_text(value: str, flow: bool, quote: str) -> None:
    written = scalar_text(value, as_json=False, flow=flow, quote=quote)
    text = f"{{k: {written}, l: 1}}" if flow else f"k: {written}\nl: 1\n"
    node, found = read_document(Source("x", text))
    assert node is not None
    assert not found
    assert plain_value(node) == {"k": value, "l": 1}


@given(value=LIKE_OTHERS, flow=st.booleans())
def test_a_reader_of_yaml_1_1_takes_all_but_dates_for_the_same_text(value: str, flow: bool) -> None:
    written = scalar_text(value, as_json=False, flow=flow)
    text = f"{{k: {written}}}" if flow else f"k: {written}"
    if value != "2026-12-31":
        assert yaml.safe_load(text) == {"k": value}


@given(TEXT)
def test_in_json_it_is_json(value: str) -> None:
    assert json.loads(scalar_text(value, as_json=True, flow=True)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("glm-4.5", "glm-4.5"),
        ("openai/gpt-4.1-mini", "openai/gpt-4.1-mini"),
        ("https://llm.example.com/v1", "https://llm.example.com/v1"),
        ("2026-12-31", "2026-12-31"),
        ("qwen2.5-coder:7b", '"qwen2.5-coder:7b"'),
        ("two words", '"two words"'),
        ("4.5", '"4.5"'),
        ("on", '"on"'),
        (60000, "60000"),
    ],
)
def test_an_unambiguous_value_stays_plain(value: str | int, written: str) -> None:
    assert scalar_text(value, as_json=False, flow=False) == written
