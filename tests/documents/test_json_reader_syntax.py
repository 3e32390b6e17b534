"""Where a text stops being JSON: our own words and places, the same on every Python."""

from __future__ import annotations

import json
from typing import NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aegis_provision.documents.json_reader import beyond_depth, json_fault

PIECES = [
    *'{}[]:,-0127.eE+ \n\t\r"\\/bu',
    *('"a"', "true", "false", "null", "NaN", "Infinity", "\x01", "\\u00e9", "1.5e3", "é", "\u2028"),
]
NAME = "expecting property name enclosed in double quotes"


@pytest.mark.parametrize(
    ("text", "reason", "line", "column"),
    [
        ("", "expecting value", 1, 1),
        (" \n ", "expecting value", 2, 2),
        ("a: 1", "expecting value", 1, 1),
        ("{,}", NAME, 1, 2),
        ('{"a": 1,\n}', NAME, 2, 1),
        ("{'a': 1}", NAME, 1, 2),
        ('{"a": 1, b}', NAME, 1, 10),
        ("{", NAME, 1, 2),
        ('{"a"', "expecting ':' delimiter", 1, 5),
        ('{"a" 1}', "expecting ':' delimiter", 1, 6),
        ('{"a": }', "expecting value", 1, 7),
        ('{"a": 1 "b": 2}', "expecting ',' delimiter", 1, 9),
        ('{"a": 01}', "expecting ',' delimiter", 1, 8),
        ('{"a": [1}', "expecting ',' delimiter", 1, 9),
        ('{"a": 1]', "expecting ',' delimiter", 1, 8),
        ("[1,]", "expecting value", 1, 4),
        ("[1,\n\n]", "expecting value", 3, 1),
        ("[,1]", "expecting value", 1, 2),
        ("[1", "expecting ',' delimiter", 1, 3),
        ("[", "expecting value", 1, 2),
        ("{} {}", "extra data", 1, 4),
        ("[]]", "extra data", 1, 3),
        ('1 // "c', "extra data", 1, 3),
        ("1.", "extra data", 1, 2),
        ("+1", "expecting value", 1, 1),
        ("tru", "expecting value", 1, 1),
        ("\u00a0{}", "expecting value", 1, 1),
        ("\ufeff{}", "expecting value", 1, 1),
        ('["abc', "unterminated string starting at", 1, 2),
        ('["a\nb"]', "invalid control character", 1, 4),
        ('["a\x1f"]', "invalid control character", 1, 4),
        (r'["a\q"]', "invalid escape", 1, 4),
        (r'["a\u12g4"]', "invalid escape", 1, 4),
        (r'["a\u123', "invalid escape", 1, 4),
        ("[NaN]", "NaN is no JSON", 1, 2),
        ("[1, -Infinity]", "-Infinity is no JSON", 1, 5),
        ("Infinity", "Infinity is no JSON", 1, 1),
    ],
)
def test_the_first_fault(text: str, reason: str, line: int, column: int) -> None:
    assert json_fault(text) == f"{reason} in line {line}, column {column}"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        " [ ] ",
        "\t{\r}\n",
        "[[],{}]",
        '{"a":{"b":[1,{"c":[]}]},"d":null}',
        '{"a" : 1 , "b" : [ true , false ] }',
        "-0",
        "0.50",
        "1e3",
        "1E+3",
        "-12.5e-10",
        r'"\"\\\/\b\f\n\r\t\u00e9\ud83d"',
        '"é\u2028\x7f"',
        "[" * 100_000 + "]" * 100_000,
    ],
    ids=range(15),
)
def test_what_is_json_has_no_fault(text: str) -> None:
    assert json_fault(text) is None


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example('"\\')
@example("[1]]")
def test_a_fault_is_found_exactly_where_the_standard_library_takes_no_json(text: str) -> None:
    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
        valid = True
    except ValueError:
        valid = False
    assert (json_fault(text) is None) is valid


@pytest.mark.parametrize(
    ("text", "deepest", "offset"),
    [
        ("[[]]", 2, None),
        ("[[]]", 1, 1),
        ('{"a": [', 1, 6),
        ("[][][]", 1, None),
        ('["[[[[", "\\"[["]', 1, None),
        ("]]][", 0, None),
        ("]]][[[[[", 1, 7),
        ("[" * 100_000, 100, 100),
    ],
)
def test_depth(text: str, deepest: int, offset: int | None) -> None:
    assert beyond_depth(text, deepest) == offset
