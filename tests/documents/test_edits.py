"""Entries edited in place: the text around them stays, and what was done can be undone."""

from __future__ import annotations

import json

import pytest

from aegis_provision.documents.yaml_edits import (
    Edit,
    EditError,
    InsertEntry,
    RemoveKeys,
    SetKeys,
    apply_edits,
)

H = ("all", "hosts", "h")
PAIRS = {"provider": "glm", "model": "m"}
KEYS = frozenset(PAIRS)
BELOW = "      provider: glm\n      model: m\n"


def edit(text: str, *edits: Edit) -> str:
    return apply_edits("inventory.yml", text.encode(), edits).decode()


def below(text: str) -> str:
    """Return an inventory whose hosts are ``text``."""
    return "all:\n  hosts:\n" + text


ENTRIES = [
    ("    h:\n", "    h:\n      provider: glm\n      model: m\n"),
    ("    h:", "    h:\n      provider: glm\n      model: m"),
    ("    h:   # why\n    i:\n", "    h:   # why\n      provider: glm\n      model: m\n    i:\n"),
    ("    h: &x\n", "    h: &x\n      provider: glm\n      model: m\n"),
    ("    h: {}\n", "    h: {provider: glm, model: m}\n"),
    ("    h: { }\n", "    h: {provider: glm, model: m }\n"),
    ("    h: ~  # why\n", "    h: {   provider: glm, model: m   }  # why\n"),
    ("    h: null\n", "    h: {  provider: glm, model: m  }\n"),
    ("    h: {port: 1}\n", "    h: {port: 1, provider: glm, model: m}\n"),
    ("    h: { port: 1, }\n", "    h: { port: 1, provider: glm, model: m, }\n"),
    ("    h: {port: 1  # why\n      }", "    h: {port: 1, provider: glm, model: m  # why\n      }"),
    (
        "    h: {\n      port: 1\n    }\n",
        "    h: {\n      port: 1,\n      provider: glm,\n      model: m\n    }\n",
    ),
    (
        "    h:\n      port: 1   # why\n\n    # i\n    i:\n",
        "    h:\n      port: 1   # why\n" + BELOW + "\n    # i\n    i:\n",
    ),
    (
        "    h:\n      env:\n        A: |-\n          x\n\n          y\n\n    i:\n",
        "    h:\n      env:\n        A: |-\n          x\n\n          y\n" + BELOW + "\n    i:\n",
    ),
    ("    h:\n      jump:\n      - a\n", "    h:\n      jump:\n      - a\n" + BELOW),
    (
        "    h:\n      user: 'a\n\n        b'  # c\n",
        "    h:\n      user: 'a\n\n        b'  # c\n      provider: glm\n      model: m\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), ENTRIES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_put_adds_keys_and_drop_takes_them_away(before: str, after: str, line_end: str) -> None:
    before, after = (below(text).replace("\n", line_end) for text in (before, after))
    assert edit(before, SetKeys(H, PAIRS)) == after
    assert edit(after, RemoveKeys(H, KEYS)) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{h}", "{h: {       provider: glm, model: m       }}"),
        ("{h: }", "{h: { provider: glm, model: m } }"),
        ('{"h":, i: }', '{"h": { provider: glm, model: m }, i: }'),
        ("{h: {}, i}", "{h: {provider: glm, model: m}, i}"),
    ],
)
def test_entries_in_braces_are_edited_in_them(before: str, after: str) -> None:
    before, after = (f"all: {{hosts: {text}}}" for text in (before, after))
    assert edit(before, SetKeys(H, PAIRS)) == after
    assert edit(after, RemoveKeys(H, KEYS)) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    h[1:2]:  # two\n", '    h[1:2]:  # two\n    "1": {provider: glm, model: m}\n'),
        (
            "    h[1:2]:\n      port: 1\n    # more\n    i:",
            '    h[1:2]:\n      port: 1\n    "1": {provider: glm, model: m}\n    # more\n    i:',
        ),
        ("    h[1:2]: {}", '    h[1:2]: {}\n    "1": {provider: glm, model: m}'),
    ],
)
def test_insert_makes_an_entry_that_goes_as_a_whole(before: str, after: str) -> None:
    before, after = below(before), below(after)
    assert edit(before, InsertEntry(("all", "hosts", "h[1:2]"), "1", PAIRS)) == after
    assert edit(after, RemoveKeys(("all", "hosts", "1"), KEYS, beside_range=True)) == before


@pytest.mark.parametrize("value", ["", " {}", " { }", " ~", " NULL", " {port: 1}", " &x {}"])
def test_an_entry_beside_a_range_is_not_taken_for_one_that_was_made(value: str) -> None:
    before = below(f"    h[1:2]:\n    h:{value}\n")
    after = edit(before, SetKeys(H, PAIRS, beside_range=True))
    assert edit(after, RemoveKeys(H, KEYS, beside_range=True)) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"all":{"hosts":{"h":{}}}}', '{"all":{"hosts":{"h":{"provider":"glm","model":"m"}}}}'),
        (
            '{"all": {"hosts": {\n"h": {\n "port": 1\n}}}}',
            '{"all": {"hosts": {\n"h": {\n "port": 1,\n "provider": "glm",\n "model": "m"\n}}}}',
        ),
        (
            '{"all": {"hosts": {"h": null}}}',
            '{"all": {"hosts": {"h": {  "provider": "glm", "model": "m"  }}}}',
        ),
    ],
)
def test_json_stays_json(before: str, after: str) -> None:
    assert edit(before, SetKeys(H, PAIRS)) == after
    assert json.loads(after)["all"]["hosts"]["h"]["provider"] == "glm"
    assert edit(after, RemoveKeys(H, KEYS)) == before


def test_a_byte_order_mark_stays() -> None:
    assert edit("\ufeffh: {}", SetKeys(("h",), {"a": "b"})) == "\ufeffh: {a: b}"


def test_all_of_a_document_may_be_the_entry() -> None:
    assert edit("# c\nport: 1", SetKeys((), PAIRS)) == "# c\nport: 1\nprovider: glm\nmodel: m"
    assert edit("{port: 1}\n", SetKeys((), PAIRS)) == "{port: 1, provider: glm, model: m}\n"
    assert edit("# c\nprovider: glm\n", RemoveKeys((), KEYS)) == "# c\n"
    assert edit("{provider: glm}", RemoveKeys((), KEYS)) == "{}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{provider: a, model: x}", "{provider: b}"),
        ("{model: x, provider: a}", "{provider: b}"),
        ("{port: 1, model: x, provider: 'a', user: u}", "{port: 1, provider: 'b', user: u}"),
        ('{provider: "a", # c\n     model: x}', '{provider: "b", # c\n     }'),
        ("\n      provider: a  # c\n      model: x", "\n      provider: b  # c"),
        ("\n      model: x\n      provider: a", "\n      provider: b"),
        ("\n     provider:\n      a\n     #\n     model: x", "\n     provider:\n      b\n     #"),
    ],
)  # fmt: skip
def test_put_replaces_and_drops_in_place(before: str, after: str) -> None:
    put = SetKeys(H, {"provider": "b"}, frozenset({"model"}))
    assert edit(below(f"    h: {before}\n"), put) == below(f"    h: {after}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{ provider: glm }", "{}"),
        ("{provider: glm,}", "{}"),
        ("{provider: glm, port: 1}", "{port: 1}"),
        ("{port: 1, provider: glm, user: u, model: m}", "{port: 1, user: u}"),
        ("\n      provider: glm\n      # kept\n      port: 1", "\n      # kept\n      port: 1"),
    ],
)
def test_drop_takes_what_was_written_by_hand(before: str, after: str) -> None:
    drop = RemoveKeys(H, KEYS)
    assert edit(below(f"    h: {before}\n"), drop) == below(f"    h: {after}\n")


def test_several_edits_of_one_text_are_made_at_once() -> None:
    names = ("a1", "a2", "a3")
    before = below("    a[1:3]:")
    after = edit(before, *(InsertEntry(("all", "hosts", "a[1:3]"), name, PAIRS) for name in names))
    assert after == before + "".join(f"\n    {name}: {{provider: glm, model: m}}" for name in names)
    drops = [RemoveKeys(("all", "hosts", name), KEYS, beside_range=True) for name in names]
    assert edit(after, *drops) == before
    assert edit(edit(after, drops[1]), drops[2], drops[0]) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: {hosts: {h: &x {a: b}, i: *x}}", "without changing something else"),
        ("all: {hosts: {i: &x {a: b}, h: *x}}", "are an alias, *x"),
        ("x: &x {h: }\nall: {hosts: *x}", "shared with other places"),
        ("x: &x {h: }\nall: {hosts: {<<: *x}}", "shared with other places"),
        ("all: {hosts: {h: !!null '~'}}", "can't be told from its text"),
        ("all:\n  hosts:\n    ? h\n    : port: 1\n", "does not begin its line"),
        ("all: {hosts: {h: , h: }}", "has errors of its own"),
        ("all: {hosts: {h: }", "has errors of its own"),
        ("all:\n  hosts:\n    h:\n      a: |\n        no line end", "changing something else"),
    ],
)
def test_what_can_not_be_edited_in_place_is_told(text: str, words: str) -> None:
    with pytest.raises(EditError) as refused:
        edit(text, SetKeys(H, PAIRS))
    assert words in refused.value.finding.message
    assert refused.value.finding.hint


def test_no_value_is_repeated_in_an_error() -> None:
    with pytest.raises(EditError) as refused:
        edit("all: {hosts: {h: &x {a: canary4f1d}, i: *x}}", SetKeys(H, {"b": "canary4f1d"}))
    assert "canary4f1d" not in repr(refused.value) + repr(refused.value.finding)
