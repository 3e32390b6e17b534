"""YAML text to nodes: positions, scalars, anchors, bounds, and no text that makes it raise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.nodes import Mapping, Node, Scalar, Source, plain_value
from aegis_provision.documents.scalars import is_ambiguous, resolve
from aegis_provision.documents.yaml_reader import DEEPEST, LARGEST_FILE, decode, read_document
from tests.counted import Counted


def read(text: str) -> tuple[Node | None, list[str]]:
    node, diagnostics = read_document(Source("t.yml", text))
    return node, [item.code for item in diagnostics]


def value(text: str) -> object:
    node, codes = read(text)
    assert codes == []
    assert node is not None
    return plain_value(node)


def test_every_node_knows_where_it_stands() -> None:
    node, _ = read("a:\n  - x\n  - {b: 'long text'}\n")
    assert isinstance(node, Mapping)
    entry = node.entry("a")
    assert entry is not None
    assert str(entry.key.span) == "t.yml:1:1"
    assert str(entry.value.span) == "t.yml:2:3"
    inner = entry.value.items[1]  # type: ignore[union-attr]
    assert isinstance(inner, Mapping)
    text = inner.entries[0].value.span
    assert (text.line, text.column, text.end_column) == (3, 9, 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("2024-05-01", "2024-05-01"),
        ("true", True), ("FALSE", False), ("~", None), ("", None), ("12", 12), ("-3", -3),
        ("0o17", 15), ("0x1f", 31), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("0", 0),
        ("9" * 301, "9" * 301), ("+", "+"), ("1.2.3", "1.2.3"), ("=", "="),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, expected: object) -> None:
    assert resolve(text) == expected
    assert type(resolve(text)) is type(expected)


@pytest.mark.parametrize("text", ["0600", "-007", "1_000", "0b11", "0x1_f", "1_"])
def test_numbers_that_two_versions_read_differently(text: str) -> None:
    assert is_ambiguous(text)
    assert read(f"a: {text}")[1] == ["ambiguous-number"]
    assert value(f"a: '{text}'") == {"a": text}


@pytest.mark.parametrize("text", ["0", "10", "a_b", "_1", "1.0", "0x1f", "08x"])
def test_numbers_that_are_not_ambiguous(text: str) -> None:
    assert not is_ambiguous(text)


def test_a_number_as_a_key_keeps_its_text() -> None:
    assert value("0600: x\n1: y\n") == {"0600": "x", "1": "y"}


def test_a_merge_key_adds_missing_keys() -> None:
    assert value("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}\n") == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
    }


def test_of_several_merged_mappings_the_first_wins() -> None:
    assert value("a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc: {<<: [*a, *b]}\n") == {
        "a": {"x": 1},
        "b": {"x": 2, "z": 3},
        "c": {"x": 1, "z": 3},
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2\n", "duplicate-key"),
        ("a: *b\n", "unknown-alias"),
        ("a: &a {b: *a}\n", "recursive-alias"),
        ("a: 1\n--- \nb: 2\n", "second-document"),
        ("? [a]\n: b\n", "complex-key"),
        ("a: !x b\n", "unknown-tag"),
        ("a: !!int b\n", "wrong-tag"),
        ("<<: a\n", "wrong-merge"),
        ("a: 'b\n", "unclosed-quote"),
        ("a:\n\tb: c\n", "tab"),
        ("a: b: c\n", "stray-colon"),
        ("a: {b\n", "unclosed-brace"),
        ("a: {b: c}}\n", "stray-bracket"),
        ("[web]\nh1 x=y\n", "ini-inventory"),
        ("a: @b\n", "bad-start"),
        ('a: "\\q"\n', "bad-escape"),
        ("%YAML 9.0\n---\na: b\n", "bad-directive"),
    ],
)
def test_what_is_no_document(text: str, code: str) -> None:
    assert read(text)[1] == [code]


def test_aliases_are_bounded_as_if_they_were_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert read("\n".join(lines))[1] == ["too-many-nodes"]


@pytest.mark.parametrize("opened", ["[", "{a: ", "- "])
def test_depth_is_bounded(opened: str) -> None:
    assert read(opened * (DEEPEST + 50))[1] == ["too-deep"]


@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 10_000])
def test_flow_brackets_are_too_deep_however_many(levels: int) -> None:
    """LibYAML of 2025 has a limit of its own at 1000, which an older one has not."""
    assert read("[" * levels)[1] == ["too-deep"]


@given(st.text(alphabet="ab:-{}[]'\"\n \t&*!|>%@#,?~<0_", max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    _, diagnostics = read_document(Source("t", text))
    for item in diagnostics:
        assert item.span is not None
        assert 1 <= item.span.line <= text.count("\n") + 2


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8)
)
documents = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=5),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6),
    max_size=5,
)


@given(documents)
def test_json_is_yaml(document: dict[str, object]) -> None:
    assert value(json.dumps(document, ensure_ascii=False)) == document


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"a: \xff\n", "not-utf8", "t:1:4"),
        (b"\xef\xbb\xbfa: \xff\n", "not-utf8", "t:1:4"),
        ("a: b".encode("utf-16"), "not-utf8", "None"),
        ("a: b".encode("utf-16-le"), "not-utf8", "None"),
        (b"a: 1\nb: \x07", "control-character", "t:2:4"),
        ("a: x\u2028y".encode(), "control-character", "t:1:5"),
        (b"a" * (LARGEST_FILE + 1), "too-large", "None"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_text(data: bytes, code: str, place: str) -> None:
    source, diagnostics = decode("t", data)
    assert source is None
    assert [(item.code, str(item.span)) for item in diagnostics] == [(code, place)]


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfa\nb\n", b"a\r\nb\r\n", b"a\rb\r"])
def test_every_editors_line_ends_are_taken(data: bytes) -> None:
    source, diagnostics = decode("t", data)
    assert diagnostics == ()
    assert source is not None
    assert source.text == "a\nb\n"


def test_a_value_does_not_show_in_repr() -> None:
    node, _ = read("a: canary")
    assert isinstance(node, Mapping)
    assert isinstance(node.entries[0].value, Scalar)
    assert "canary" not in repr(node.entries[0].value)


PAIR = r"\ud83d\ude00"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'"{PAIR}"', "\U0001f600"),
        (r'"\uD800\uDC00 \udbff\uDFFF"', "\U00010000 \U0010ffff"),
        (f'"a{PAIR}{PAIR}b"', "a\U0001f600\U0001f600b"),
        (rf'"\\{PAIR}"', "\\\U0001f600"),
        (rf'"\\\\{PAIR}"', "\\\\\U0001f600"),
        (r'"\\ud83d\\ude00"', PAIR),
        (f"'{PAIR}'", PAIR),
        (rf"'\{PAIR}'", rf"\{PAIR}"),
        (f"x{PAIR}", f"x{PAIR}"),
        (f"|-\n {PAIR}", PAIR),
        (rf'"{PAIR}\ue000\uE001"', "\U0001f600\ue000\ue001"),
        (rf'"{PAIR}\U0000e000"', "\U0001f600\ue000"),
        (f'"{PAIR}\ue000"', "\U0001f600\ue000"),
        (rf'"{PAIR}\u00e9"', "\U0001f600é"),
    ],
)
def test_a_surrogate_pair_is_one_character_where_escapes_count(text: str, expected: str) -> None:
    assert value(text) == expected


def test_a_pair_may_be_in_a_key_and_moves_no_place() -> None:
    node, codes = read(f'{{"{PAIR}": "{PAIR}", "b": 1, "b": 2}}')
    assert codes == ["duplicate-key"]
    assert isinstance(node, Mapping)
    assert node.entries[0].key.text == "\U0001f600"
    spans = [entry.key.span for entry in node.entries]
    assert [(span.column, span.end_column) for span in spans] == [(2, 16), (34, 37)]


@pytest.mark.parametrize(
    "text",
    [r'"\ud83d"', r'"\ude00\ud83d"', rf'"{PAIR}\ud83d"', r'"\ud83d\\ude00"', r'"\ud83d\u0041"'],
)
def test_half_a_pair_is_no_character(text: str) -> None:
    assert read(text) == (None, ["bad-escape"])


def test_where_every_mark_is_taken_a_pair_is_an_error() -> None:
    every = "".join(map(chr, range(0xE000, 0xF900)))
    assert value(f'"{PAIR}{every[:-1]}"') == f"\U0001f600{every[:-1]}"
    assert read(f'"{PAIR}{every}"') == (None, ["bad-escape"])


@given(st.text(st.characters(min_codepoint=0xA0, exclude_categories=["Cs", "Cc"]) | st.just("\\")))
def test_text_as_json_escapes_it(text: str) -> None:
    assert value(json.dumps({text: [text]})) == {text: [text]}


@pytest.mark.parametrize("size", [1, 8, 9, 500])
def test_an_entry_is_found_without_looking_at_all_others(size: int) -> None:
    node, _ = read("{" + ", ".join(f"k{at}: {at}" for at in range(size)) + "}")
    assert isinstance(node, Mapping)
    Counted.compared = 0
    for at in range(size):
        entry = node.entry(Counted(f"k{at}"))
        assert entry is not None
        assert plain_value(entry.value) == at
    assert node.entry("none") is None
    assert Counted.compared <= 8 * size
