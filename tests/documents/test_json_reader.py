"""JSON as nodes: strict, bounded, and each value where ``jq .`` shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_provision.documents.json_reader import read_json
from aegis_provision.documents.nodes import Mapping, Node, Scalar, Sequence, plain_value
from aegis_provision.documents.yaml_reader import LARGEST_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from scalars(item)
    else:
        for entry in node:
            yield entry.key
            yield from scalars(entry.value)


@given(VALUES, st.sampled_from([None, 0, 1, 2, 4, "\t"]), st.booleans())
@settings(deadline=None)
def test_any_json_is_read_as_what_it_is(value: Any, indent: Any, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    node, found = read_json("script", text.encode())
    assert node is not None
    assert found == ()
    assert plain_value(node) == value


@given(VALUES)
@settings(deadline=None)
def test_a_position_is_that_of_the_text_as_jq_lays_it_out(value: Any) -> None:
    node, _ = read_json("script", json.dumps(value).encode())
    assert node is not None
    lines = json.dumps(value, indent=2).split("\n")
    for scalar in scalars(node):
        span = scalar.span
        assert span.line == span.end_line
        token = lines[span.line - 1][span.column - 1 : span.end_column - 1]
        assert json.loads(token) == scalar.value
    assert node.span.source.text == "\n".join(lines)


@given(st.binary() | st.text(alphabet='{}[]",:1a\\ \n').map(str.encode))
@settings(deadline=None)
def test_nothing_makes_it_raise_or_repeat_the_text(data: bytes) -> None:
    try:
        json.loads(data.decode(), parse_constant=lambda _: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False
    node, found = read_json("script", data)
    assert (node is not None) == valid
    assert valid or [item.span for item in found] == [None]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "not-json", "script prints nothing"),
        (b" \n", "not-json", "script prints nothing"),
        (b'{"a": 1,\n}', "not-json", "in line 2, column 1"),
        (b"a: 1", "not-json", "prints no JSON: expecting value in line 1, column 1"),
        (b'{"a": NaN}', "not-json", "NaN is no JSON in line 1, column 7"),
        (b"{} {}", "not-json", "extra data in line 1, column 4"),
        (b"\xef\xbb\xbf{}", "not-json", "line 1, column 1"),
        (b'{"a": "\xff"}', "not-utf8", "a byte that is not UTF-8: 0xff"),
        (b"[" * 101 + b"]" * 101, "not-json", "nested more than 100 levels deep"),
        (b"[" * 100_000, "not-json", "nested more than 100 levels deep"),
        (b"[" + b"1," * 1_000_000 + b"1]", "too-many-nodes", "more than 1,000,000 values"),
        (b" " * (LARGEST_FILE + 1), "too-large", "prints more than 16 MiB"),
    ],
    ids=range(12),
)
def test_invalid_json_is_an_error_with_its_place(data: bytes, code: str, words: str) -> None:
    node, found = read_json("script", data)
    assert node is None
    assert [item.code for item in found] == [code]
    assert words in found[0].message
    assert found[0].hint


def test_a_key_that_stands_twice_is_an_error_with_both_places() -> None:
    node, found = read_json("script", b'{"a": 1, "b": {"c": 1, "c": 2}}')
    assert isinstance(node, Mapping)
    assert plain_value(node) == {"a": 1, "b": {"c": 1}}
    assert [(item.code, str(item.span)) for item in found] == [("duplicate-key", "script:5:5")]
    assert str(found[0].related[0].span) == "script:4:5"


def test_a_number_of_more_digits_than_anybody_means_is_no_reason_to_stop() -> None:
    node, found = read_json("script", b'{"a": 1' + b"0" * 10_000 + b"}")
    assert node is not None
    assert found == ()
