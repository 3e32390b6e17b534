"""YAML as Aegis reads it: what the npm library was seen to make of each text, and never more."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.yaml_values import (
    DEEPEST,
    LARGEST,
    NotTakenError,
    UnsureError,
    read_yaml,
)

OBSERVED = json.loads(
    (Path(__file__).parents[1] / "vectors" / "yaml.json").read_text(encoding="utf-8")
)
SPECIAL: dict[str, Any] = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "-0": 0,
}
CANARY = "canary-5d2f"


def observed(value: Any) -> Any:
    """Return a value of the vectors; whole numbers are integers, as they are here."""
    if isinstance(value, dict):
        if value.keys() == {"$"}:
            return SPECIAL[value["$"]]
        return {name: observed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [observed(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def read(text: str) -> Any:
    return read_yaml(text.removeprefix("\ufeff")).value


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, where ``1`` and ``true`` are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or str(one) == str(other) == "nan")


def is_refused(text: str) -> bool:
    try:
        return not isinstance(read(text), dict)
    except (NotTakenError, UnsureError):
        return True


def told(text: str) -> str:
    try:
        read(text)
    except (NotTakenError, UnsureError) as problem:
        return str(problem)
    return ""


def test_what_the_library_takes_is_read_alike() -> None:
    assert len(OBSERVED["taken"]) > 400
    differ = [
        (text, value) for text, value in OBSERVED["taken"] if not same(read(text), observed(value))
    ]
    assert differ == []


def test_nothing_that_the_library_refuses_is_taken() -> None:
    assert len(OBSERVED["ignored"]) > 300
    assert [text for text in OBSERVED["ignored"] if not is_refused(text)] == []


def test_in_doubt_a_text_is_refused_and_nothing_is_claimed_of_aegis() -> None:
    assert len(OBSERVED["doubtful"]) < 60
    for text, _ in OBSERVED["doubtful"]:
        with pytest.raises(UnsureError):
            read(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "a key stands twice, in line 3, column 1"),
        ("a: {b: 1, 'b': 2}\n", "a key stands twice, in line 1, column 11"),
        ("a: 1\n---\nb: 2\n", "a second document begins in line 2, column 1"),
        ("a: *x\n", "an alias of an unknown anchor in line 1, column 4"),
        ("a: [1,\n2]\n", "a line that is not indented enough: line 2, column 1"),
        ("a: &x 1\nb: [" + "*x, " * 100 + "]", "more than 100 aliases, with those inside: line 2"),
    ],
)
def test_why_the_library_does_not_take_a_text(text: str, words: str) -> None:
    with pytest.raises(NotTakenError, match=re.escape(words)):
        read(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: @c\n", "a plain value can't begin with '@' in line 2, column 4"),
        ("a: 1\n\tb: 2\n", "a tab where YAML indents with spaces in line 2, column 1"),
        ("a: [1, 2\n", "this '[' is not closed properly in line 2, column 1"),
        ("a: 'b\nc'\n", "a line that is not indented enough: line 2, column 1"),
        ("a:\n#b\n  c\n", "a line that is not indented, above a value in line 2, column 1"),
        ("a: b: c\n", "a ':' that begins no entry here in line 1, column 5"),
        ("a: 1\rb: 2\n", "a carriage return that ends no line in line 1, column 5"),
        ("? [a]\n: b\n", "a key that is no plain word in line 1, column 3"),
        ("a: !!set {b}\n", "a tag of YAML 1.1 in line 1, column 4"),
        ("%YAML 1.1\n---\na: no\n", "a directive other than %YAML 1.2 in line 1, column 1"),
        ("a: 1\n\ufeffb: 2\n", "a byte order mark inside of the file in line 2, column 1"),
        ("a: &x\n  b: *x\n", "an alias inside of what it stands for in line 2, column 6"),
        ("a: \U000f0001\U00100001\n", "it holds characters for private use of both kinds"),
    ],
)
def test_what_can_not_be_told(text: str, words: str) -> None:
    with pytest.raises(UnsureError, match=re.escape(words)):
        read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: \U000f0001\x01\n", "\U000f0001\x01"),
        ("a: \U00100001 ?\x85\n", "\U00100001 ?\x85"),
        ('a: "\\U000F0001\x85"\n', "\U000f0001\x85"),
        ('a: "\\U00100085\x85"\n', "\U00100085\x85"),
        ('a: "\\udb80\\udc01\x01"\n', "\U000f0001\x01"),
    ],
)
def test_characters_for_private_use(text: str, value: str) -> None:
    assert read(text) == {"a": value}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_depth(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}", "- ": ""}[opening]
    for levels in (DEEPEST - 1, DEEPEST + 1, 2000):
        text = "x:\n  " + opening * levels + "1" + closing * levels
        if levels < DEEPEST:
            assert read(text).keys() == {"x"}
        else:
            with pytest.raises(UnsureError, match="nested more than"):
                read(text)


def test_depth_behind_aliases() -> None:
    deep = "a: &a " + "[" * 60 + "1" + "]" * 60 + "\n"
    assert read(deep + "b: [" + "[" * 37 + "*a" + "]" * 37 + "]\n").keys() == {"a", "b"}
    with pytest.raises(UnsureError, match="nested more than 100 levels deep in line 2, column 45"):
        read(deep + "b: [" + "[" * 40 + "*a" + "]" * 40 + "]\n")


def test_size() -> None:
    with pytest.raises(UnsureError, match="more than 128 KiB"):
        read("a: " + "x" * LARGEST)


@pytest.mark.parametrize("broken", ["x", "a: [", "a: *b", "a: 1\na: 2", "a: @", "a: b: c", "\t"])
@pytest.mark.parametrize("around", ["{0}\n{1}\n", "k: {1}\n{0}\n", "'{1}': 1\n{0}\n"])
def test_no_text_of_the_file_is_in_an_error(broken: str, around: str) -> None:
    assert CANARY not in told(around.format(broken, CANARY))
    assert CANARY not in repr(read_yaml(f"a: {CANARY}"))


@given(st.text(alphabet="ab :-#'\"{}[],&*!|>%@\n\t\r?0", max_size=30) | st.text(max_size=20))
def test_no_text_is_too_odd(text: str) -> None:
    is_refused(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs", "Co"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="abc \"'\\é", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=4), json_values, max_size=4),
       st.sampled_from([None, 2, "\t"]))  # fmt: skip
def test_json_is_yaml(value: dict[str, Any], indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert same(read(text), observed(value))
