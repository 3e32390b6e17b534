"""Entries edited in place: the text around them stays, and what was done can be undone."""

from __future__ import annotations

import json

import pytest

from aegis_provision.documents.yaml_edits import EditError, YamlEditor

H = ("all", "hosts", "h")
PAIRS = {"provider": "glm", "model": "m"}
BELOW = "      provider: glm\n      model: m\n"


Path = tuple[str, ...]


def pinned(text: str, path: Path = H, *, in_range: bool = False) -> str:
    """Return ``text`` with the keys above set in the entry at ``path``."""
    editor = YamlEditor("inventory.yml", text.encode())
    editor.set_keys(path, PAIRS, in_range=in_range)
    return editor.result().decode()


def inserted(text: str, after: Path, *names: str) -> str:
    """Return ``text`` with entries of ``names`` behind the one at ``after``."""
    editor = YamlEditor("inventory.yml", text.encode())
    for name in names:
        editor.insert_entry((*after[:-1], name), PAIRS, after=after)
    return editor.result().decode()


def unpinned(text: str, *paths: Path, in_range: bool = False) -> str:
    """Return ``text`` with the entries at ``paths`` as they were before."""
    editor = YamlEditor("inventory.yml", text.encode())
    for path in paths or (H,):
        editor.remove_keys(path, {*PAIRS, "pin_replaces"}, in_range=in_range)
    return editor.result().decode()


def below(text: str) -> str:
    """Return an inventory whose hosts are ``text``."""
    return "all:\n  hosts:\n" + text


ENTRIES = [
    ("    h:\n", "    h:\n      provider: glm\n      model: m\n"),
    ("    h:", "    h:\n      provider: glm\n      model: m"),
    ("    h:   # why\n    i:\n", "    h:   # why\n      provider: glm\n      model: m\n    i:\n"),
    ("    h: &x\n", "    h: {provider: glm, model: m, pin_replaces: &x}\n"),
    ("    h: {}\n", "    h: {provider: glm, model: m}\n"),
    ("    h: { }\n", "    h: {provider: glm, model: m }\n"),
    ("    h: ~  # why\n", "    h: {provider: glm, model: m, pin_replaces: ~}  # why\n"),
    ("    h: null\n", "    h: {provider: glm, model: m, pin_replaces: null}\n"),
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
    (
        "    h:\n      env:\n        A: |+\n          x\n\n    # i\n    i:\n",
        "    h:\n      env:\n        A: |+\n          x\n\n" + BELOW + "    # i\n    i:\n",
    ),
    (
        "    h:\n      env:\n        A: |-\n          x  \n",
        "    h:\n      env:\n        A: |-\n          x  \n" + BELOW,
    ),
    (
        "    h: {\n      port: 1  # why\n    }\n",
        "    h: {\n      port: 1, provider: glm, model: m  # why\n    }\n",
    ),
    ("    h:\n      jump:\n      - a\n", "    h:\n      jump:\n      - a\n" + BELOW),
    (
        "    h:\n      user: 'a\n\n        b'  # c\n",
        "    h:\n      user: 'a\n\n        b'  # c\n      provider: glm\n      model: m\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), ENTRIES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_set_keys_adds_and_remove_keys_takes_away(before: str, after: str, line_end: str) -> None:
    before, after = (below(text).replace("\n", line_end) for text in (before, after))
    assert pinned(before) == after
    assert unpinned(after) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{h}", "{h: {provider: glm, model: m, pin_replaces}}"),
        ("{h: }", '{h: {provider: glm, model: m, "pin_replaces":} }'),
        ('{"h":, i: }', '{"h": {provider: glm, model: m, "pin_replaces":}, i: }'),
        ("{h: {}, i}", "{h: {provider: glm, model: m}, i}"),
    ],
)
def test_entries_in_braces_are_edited_in_them(before: str, after: str) -> None:
    before, after = (f"all: {{hosts: {text}}}" for text in (before, after))
    assert pinned(before) == after
    assert unpinned(after) == before


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
def test_insert_entry_makes_one_that_goes_as_a_whole(before: str, after: str) -> None:
    before, after = below(before), below(after)
    assert inserted(before, ("all", "hosts", "h[1:2]"), "1") == after
    assert unpinned(after, ("all", "hosts", "1"), in_range=True) == before


@pytest.mark.parametrize("value", ["", " {}", " { }", " ~", " NULL", " {port: 1}", " &x {}"])
def test_an_entry_beside_a_range_is_not_taken_for_one_that_was_made(value: str) -> None:
    before = below(f"    h[1:2]:\n    h:{value}\n")
    after = pinned(before, in_range=True)
    assert unpinned(after, in_range=True) == before


@pytest.mark.parametrize("blanks", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("in_range", [False, True])
def test_an_entry_that_0_1_0_pinned_is_empty_again(blanks: int, in_range: bool) -> None:
    """That version kept what an entry held before in the number of blanks inside the braces."""
    pad = " " * blanks
    pinned_by_0_1_0 = below(f"    h[1:2]:\n    h: {{{pad}provider: glm, model: m{pad}}}  # why\n")
    assert unpinned(pinned_by_0_1_0, in_range=in_range) == below("    h[1:2]:\n    h: {}  # why\n")


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
            '{"all": {"hosts": {"h": {"provider": "glm", "model": "m", "pin_replaces": null}}}}',
        ),
    ],
)
def test_json_stays_json(before: str, after: str) -> None:
    assert pinned(before) == after
    assert json.loads(after)["all"]["hosts"]["h"]["provider"] == "glm"
    assert unpinned(after) == before


def test_a_byte_order_mark_stays() -> None:
    assert pinned("\ufeffh: {}", ("h",)) == "\ufeffh: {provider: glm, model: m}"


def test_all_of_a_document_may_be_the_entry() -> None:
    assert pinned("# c\nport: 1", ()) == "# c\nport: 1\nprovider: glm\nmodel: m"
    assert pinned("{port: 1}\n", ()) == "{port: 1, provider: glm, model: m}\n"
    assert unpinned("# c\nprovider: glm\n", ()) == "# c\n"
    assert unpinned("{provider: glm}", ()) == "{}"
    assert unpinned("provider: glm\nmodel: m\nport: 1\n", ()) == "port: 1\n"
    assert unpinned("provider: glm\n\nport: 1\nmodel: m", ()) == "\nport: 1"


def test_a_key_without_a_value_gets_one() -> None:
    editor = YamlEditor("inventory.yml", below("    h:\n      provider:\n      port: 1\n").encode())
    editor.set_keys(H, PAIRS)
    after = "    h:\n      provider: glm\n      port: 1\n      model: m\n"
    assert editor.result().decode() == below(after)


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
def test_set_keys_replaces_and_drops_in_place(before: str, after: str) -> None:
    editor = YamlEditor("inventory.yml", below(f"    h: {before}\n").encode())
    editor.set_keys(H, {"provider": "b"}, {"model"})
    assert editor.result().decode() == below(f"    h: {after}\n")


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
def test_remove_keys_takes_what_was_written_by_hand(before: str, after: str) -> None:
    assert unpinned(below(f"    h: {before}\n")) == below(f"    h: {after}\n")


def test_several_edits_of_one_text_are_made_at_once() -> None:
    names = ("a1", "a2", "a3")
    before = below("    a[1:3]:")
    after = inserted(before, ("all", "hosts", "a[1:3]"), *names)
    assert after == before + "".join(f"\n    {name}: {{provider: glm, model: m}}" for name in names)
    first, second, third = (("all", "hosts", name) for name in names)
    assert unpinned(after, first, second, third, in_range=True) == before
    one_less = unpinned(after, second, in_range=True)
    assert unpinned(one_less, third, first, in_range=True) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: {hosts: {h: &x {a: b}, i: *x}}", "without changing something else"),
        ("all: {hosts: {i: &x {a: b}, h: *x}}", "are an alias, *x"),
        ("x: &x {h: }\nall: {hosts: *x}", "shared with other places"),
        ("x: &x {h: }\nall: {hosts: {<<: *x}}", "shared with other places"),
        ("all: {hosts: {h: [], i: {}}}", "can't be told from its text"),
        ("all:\n  hosts:\n    ? h\n    : port: 1\n", "does not begin its line"),
        ("all: {hosts: {h: , h: }}", "has errors of its own"),
        ("all: {hosts: {h: }", "has errors of its own"),
        ("all:\n  hosts:\n    h:\n      a: |\n        no line end", "changing something else"),
    ],
)
def test_what_can_not_be_edited_in_place_is_an_error(text: str, words: str) -> None:
    with pytest.raises(EditError) as refused:
        pinned(text)
    assert words in refused.value.diagnostic.message
    assert refused.value.diagnostic.hint


def test_no_value_is_repeated_in_an_error() -> None:
    with pytest.raises(EditError) as refused:
        pinned("all: {hosts: {h: &x {a: canary4f1d}, i: *x}}")
    assert "canary4f1d" not in repr(refused.value) + repr(refused.value.diagnostic)
