"""Lines with keys that the tool does not know are quoted with their keys only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.documents.nodes import Source, Span
from aegis_provision.documents.quoting import continues_unknown, excerpt, hide_values

SECRET = "hunter2"


def quoted(text: str, line: int = 0) -> str | None:
    """Return how the given line (the last for 0) of ``text`` is quoted."""
    lines = text.split("\n")
    number = line or len(lines)
    quote = excerpt(Span(Source("t", text), number, 1, number, 2))
    return quote.text if quote is not None else None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('note: "login is hunter2"', "note: ..."),
        ("note: 'login is hunter2'", "note: ..."),
        ("note: login is hunter2", "note: ..."),
        ("note: login is hunter2  # and hunter2", "note: ...  ..."),
        ("my note: hunter2", "my note: ..."),
        ("note: [hunter2, 'hunter2']", "note: [..., ...]"),
        ("note: |", "note: ..."),
        ("note: *hunter2!", "note: ..."),
        ('note: "login is hunter2', "note: ..."),
        ("note: it's: hunter2", "note: ..."),
        ("note: hunter2: hunter2", "note: ..."),
        ("{note: hunter2: hunter2, port: 1}", "{note: ..., port: ...}"),
        ("  - note: hunter2", "  - note: ..."),
        ("? note: hunter2", "? note: ..."),
        ('{modle: "x", port: 1}', "{modle: ..., port: ...}"),
        ('{"port": 1, "note":"hunter2"}', '{"port": ..., "note":...}'),
        ("{port: hunter2, note: {a: hunter2}}", "{port: ..., note: {a: ...}}"),
        ("h: {modle: x, jump: [a, b], n: }", "h: {modle: ..., jump: [..., ...], n: }"),
        ("note: http://a:b@", None),
        ("ansible_note: hunter2", "ansible_note: ..."),
        ("'note': hunter2", "'note': ..."),
        ("note:  hunter2 , {hunter2}", "note:  ... , {...}"),
        ("note: &a hunter2", "note: ..."),
        ("note: {hunter2}", "note: {...}"),
    ],
)
def test_keys_only(line: str, told: str | None) -> None:
    assert quoted(line) == told
    assert SECRET not in (quoted(line) or "")


@pytest.mark.parametrize(
    "line",
    [
        "model: glm-4.5",
        "port: 99999  # a comment",
        "h1: {port: 99999}",
        "{n: , x}",
        "h1:",
        "h1: # comment",
        "all: {vars: {provider: opnrouter}}",
        "gpu-[01:08]: {model: x}",
        "hosts: canaries",
        "ansible_port: 99999",
        "ansible_ssh_host: x",
        "serial: [1, 10%]",
        "<<: *base",
        "- a",
        "x",
        "h1: {}",
        "h1: &a",
        "h1: &a !t",
        "h1: &a {port: 1}",
        "roles: []",
        "",
        "  ",
        "# a: b",
        "h1: { }, h2: {port: 1}",
        "host: {port: 1}",
        "time: {}",
        '"all": {"hosts": {"h": null}}'[:17],
        "api: 127.0.0.1:9100",
        "pause: 1:30",
        "- port: 1",
    ],
)
def test_what_is_known_is_quoted_whole(line: str) -> None:
    assert quoted(line) == line
    assert hide_values(line) is None


@pytest.mark.parametrize(
    "text",
    [
        "note:\n  login is hunter2",
        "note: |\n  login is hunter2",
        "note: >-\n\n\n  hunter2",
        "note: 'login\n  is hunter2",
        "note: login\n  is hunter2",
        "note:\n- hunter2",
        "note: x\nhunter2",
        'h: {note: "a\nb\nhunter2"}',
        "- note: x\n  hunter2",
        "- note:\n  - a\n  - hunter2",
        "note:\n  - a\n  - hunter2",
        "note: [\n  hunter2",
        "note: |\n  port: hunter2",
        'note: "login\n  port: hunter2',
        "h: {note:\nhunter2}",
        "note:  # see\n\n# below\n  hunter2",
        "a:\n  note: |\n    x\n    port: hunter2",
        "note: |\n  x:\n    port: hunter2",
        '"note": [\n   "hunter2"\n',
        "env:\n  FOO: >-\n    hunter2",
    ],
)
def test_the_lines_of_a_longer_value_are_not_quoted(text: str) -> None:
    assert quoted(text.rstrip("\n")) is None


@pytest.mark.parametrize(
    "text",
    [
        "note: x\nport: 1",
        "note:\nport: 1",
        "h1:\n  port: 1",
        "h1:\n  vars:\n    port: 1",
        "jump:\n  - a",
        "h1:\n  jump:\n    - a",
        "note: |\n  x\nport: 1",
        "h1: &a\n  port: 1",
        "h1:\n---",
        "h1:\n...",
        "note:\n  x\nh1:\n  jump:\n  - a",
        "# note: x\n  a",
        "note: x\n\nport: 1",
        "hosts:\n  a",
        "h1: {port: 1,\n  user: a}",
        "- note: x\n  port: 1",
        "hosts: h1: x",
        "note:\n  port: 1\n  b",
    ],
)
def test_lines_of_others_are_quoted(text: str) -> None:
    assert quoted(text) == text.rsplit("\n", maxsplit=1)[-1]


def test_a_list_at_the_indentation_of_its_key_belongs_to_it() -> None:
    assert continues_unknown(["note:", "- a", "- b"], 2)
    assert not continues_unknown(["jump:", "- a", "- b"], 2)


def test_only_so_many_lines_are_looked_at() -> None:
    assert continues_unknown(["note: |", *[" x"] * 1999, " y"], 2000)
    assert not continues_unknown(["note: |", *[" x"] * 2000, " y"], 2001)


@pytest.mark.parametrize(
    ("column", "end", "caret", "width"),
    [(1, 5, 0, 4), (7, 14, 6, 3), (8, 9, 6, 1), (16, 20, 11, 4), (22, 23, 17, 3), (23, 24, 20, 1)],
)
def test_the_caret_stands_where_it_stood(column: int, end: int, caret: int, width: int) -> None:
    quote = excerpt(Span(Source("t", "{note: hunter2, port: 1}"[1:]), 1, column, 1, end))
    assert quote is not None
    assert quote.text == "note: ..., port: ...}"
    assert (quote.caret, quote.width) == (caret, width)


def test_a_span_over_several_lines_ends_with_the_first() -> None:
    quote = excerpt(Span(Source("t", "h: {modle: x,\n  port: 1}"), 1, 4, 2, 11))
    assert quote is not None
    assert (quote.text, quote.caret, quote.width) == ("h: {modle: ...,", 3, 12)
    beyond = excerpt(Span(Source("t", "note: x"), 1, 30, 1, 31))
    assert beyond is not None
    assert (beyond.text, beyond.caret, beyond.width) == ("note: ...", 9, 1)


@given(
    st.text("ab:{}[],\"'# -&*|", max_size=24),
    st.sampled_from(["", "  ", "- ", "h: {port: 1, ", "{"]),
)
def test_no_text_gets_through_and_columns_fit(value: str, before: str) -> None:
    line = f"{before}note: hunter2{value}"
    hidden = hide_values(line)
    assert hidden is not None
    assert SECRET not in hidden.text
    assert len(hidden.columns) == len(line) + 1
    assert list(hidden.columns) == sorted(hidden.columns)
    assert hidden.columns[-1] == len(hidden.text)
