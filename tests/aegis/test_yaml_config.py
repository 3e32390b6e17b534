"""Edits of Aegis' own file in YAML: what is not ours stays, to the byte."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.edit_errors import CannotEditError
from aegis_provision.aegis.yaml_config import compose, edit, read

ENV = "defaultSessionEnv"
NAMES = ["API_TIMEOUT_MS", "B", "ANTHROPIC_MODEL", "Z"]
CANARY = "canary-5d2f"


def edited(text: str, values: dict[str, str], removed: tuple[str, ...] = ()) -> str:
    return edit(text, ENV, values, removed)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        # no mapping yet
        ("", 'defaultSessionEnv:\n  B: "1"\n'),
        ("# empty\n", '# empty\ndefaultSessionEnv:\n  B: "1"\n'),
        ("# empty", '# empty\ndefaultSessionEnv:\n  B: "1"\n'),
        ("a: 1\n", 'a: 1\ndefaultSessionEnv:\n  B: "1"\n'),
        ("a: 1", 'a: 1\ndefaultSessionEnv:\n  B: "1"'),
        ("a: 1 # c\r\n", 'a: 1 # c\r\ndefaultSessionEnv:\r\n  B: "1"\r\n'),
        ("---\na:\n    b: 1\n...\n", '---\na:\n    b: 1\ndefaultSessionEnv:\n    B: "1"\n...\n'),
        ("  a: 1\n# end\n", '  a: 1\n  defaultSessionEnv:\n    B: "1"\n# end\n'),
        ("a: |+\n  x\n\n", 'a: |+\n  x\n\ndefaultSessionEnv:\n  B: "1"\n'),
        ("a: |\n  x\n\n", 'a: |\n  x\ndefaultSessionEnv:\n  B: "1"\n\n'),
        ("{}\n", '{"defaultSessionEnv": {"B": "1"}}\n'),
        ("{a: 1}\n", '{a: 1, defaultSessionEnv: {B: "1"}}\n'),
        ('{"a": [1]}', '{"a": [1], "defaultSessionEnv": {"B": "1"}}'),
        ('{\n  "a": 1\n}\n', '{\n  "a": 1,\n  "defaultSessionEnv": {\n    "B": "1"\n  }\n}\n'),
        # empty
        ("defaultSessionEnv: {}\na: 1\n", 'defaultSessionEnv:\n  B: "1"\na: 1\n'),
        ("defaultSessionEnv: {} # c\n", 'defaultSessionEnv: # c\n  B: "1"\n'),
        ("defaultSessionEnv: &x {}\n", 'defaultSessionEnv: &x\n  B: "1"\n'),
        ("defaultSessionEnv: {\n  }\n", 'defaultSessionEnv: {B: "1"\n  }\n'),
        # a block
        ("defaultSessionEnv:\n  A: x\na: 1\n", 'defaultSessionEnv:\n  A: x\n  B: "1"\na: 1\n'),
        ("defaultSessionEnv:\n     A: x # c", 'defaultSessionEnv:\n     A: x # c\n     B: "1"'),
        ("defaultSessionEnv:\n  B: x # c\n", 'defaultSessionEnv:\n  B: "1" # c\n'),
        ("defaultSessionEnv:\n  B: 'x'\n", "defaultSessionEnv:\n  B: '1'\n"),
        ("defaultSessionEnv:\n  B:   !!str 5\n", 'defaultSessionEnv:\n  B:   "1"\n'),
        ("defaultSessionEnv:\n  B: |-\n    x\n  A: y\n", 'defaultSessionEnv:\n  B: "1"\n  A: y\n'),
        ("defaultSessionEnv:\n  B: | # c\n    x\n\n", 'defaultSessionEnv:\n  B: "1" # c\n\n'),
        ('defaultSessionEnv:\n  B: "x\n    y"\n', 'defaultSessionEnv:\n  B: "1"\n'),
        ("t: &t x\ndefaultSessionEnv:\n  B: *t\n", 't: &t x\ndefaultSessionEnv:\n  B: "1"\n'),
        # in braces
        ("defaultSessionEnv: {A: x}\n", 'defaultSessionEnv: {A: x, B: "1"}\n'),
        ("defaultSessionEnv: {A: x, }\n", 'defaultSessionEnv: {A: x, B: "1", }\n'),
        ('defaultSessionEnv: {"A": "x"}\n', 'defaultSessionEnv: {"A": "x", "B": "1"}\n'),
        ("defaultSessionEnv: {B: x}\n", 'defaultSessionEnv: {B: "1"}\n'),
        ("defaultSessionEnv: {\n    A: x # c\n  }\n",
         'defaultSessionEnv: {\n    A: x,\n    B: "1" # c\n  }\n'),
        # already there
        ("defaultSessionEnv:\n  B: '1'\n", "defaultSessionEnv:\n  B: '1'\n"),
        ("defaultSessionEnv: {\"B\": !!str 1}\n", "defaultSessionEnv: {\"B\": !!str 1}\n"),
        ("\ufeffa: 1\n", '\ufeffa: 1\ndefaultSessionEnv:\n  B: "1"\n'),
    ],
)  # fmt: skip
def test_setting(text: str, result: str) -> None:
    assert edited(text, {"B": "1"}) == result
    assert edited(result, {"B": "1"}) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("defaultSessionEnv:\n  A: x\n  B: y # c\n# d\n", "defaultSessionEnv:\n  A: x\n# d\n"),
        ("defaultSessionEnv:\n  B: y\n  A: x", "defaultSessionEnv:\n  A: x"),
        ("defaultSessionEnv:\n  A: x\n  B: y", "defaultSessionEnv:\n  A: x"),
        ("defaultSessionEnv:\r\n  A: x\r\n  B: y", "defaultSessionEnv:\r\n  A: x"),
        ("defaultSessionEnv:\n  B: |\n    y\n\n  A: x\n", "defaultSessionEnv:\n\n  A: x\n"),
        ("defaultSessionEnv:\n  B: y\n", "defaultSessionEnv: {}\n"),
        ("defaultSessionEnv:\n  B: y\n  C: z", "defaultSessionEnv: {}"),
        ("defaultSessionEnv:  # c\n  B: y\na: 1", "defaultSessionEnv: {}  # c\na: 1"),
        ("defaultSessionEnv: !!map\n  B: y\n", "defaultSessionEnv: !!map {}\n"),
        ("defaultSessionEnv: {A: x, B: y}\n", "defaultSessionEnv: {A: x}\n"),
        ("defaultSessionEnv: {B: y, A: x}\n", "defaultSessionEnv: {A: x}\n"),
        ("defaultSessionEnv: {A: x, B: y,}\n", "defaultSessionEnv: {A: x,}\n"),
        ("defaultSessionEnv: {A: x, B: y, C: z}\n", "defaultSessionEnv: {A: x}\n"),
        ("defaultSessionEnv: { B: y, C: z, }\n", "defaultSessionEnv: {}\n"),
        ('{"defaultSessionEnv": {\n  "B": "y"\n}, "a": 1}', '{"defaultSessionEnv": {}, "a": 1}'),
        ("defaultSessionEnv: {\n  B: y, # c\n  A: x\n }\n",
         "defaultSessionEnv: {\n   # c\n  A: x\n }\n"),
        ("a: 1\n", "a: 1\n"),
        ("# c\n", "# c\n"),
        ("defaultSessionEnv: {}\n", "defaultSessionEnv: {}\n"),
    ],
)  # fmt: skip
def test_removing(text: str, result: str) -> None:
    assert edited(text, {}, ("B", "C")) == result
    assert edited(result, {}, ("B", "C")) == result


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("60000", '"60000"'),
        ("", '""'),
        ("it's", '"it\'s"'),
        ('say "x"', "'say \"x\"'"),
        ("a\\b", "'a\\b'"),
        ("'\"\\", '"\'\\"\\\\"'),
        ("\t", '"\\t"'),
        ("a\u2028b\x85\ufeff", '"a\\u2028b\\u0085\\ufeff"'),
        ("é😀 # ${X}", '"é😀 # ${X}"'),
    ],
)
def test_values_are_quoted_on_one_line(value: str, written: str) -> None:
    text = edited("a: 1\n", {"B": value})
    assert text == f"a: 1\ndefaultSessionEnv:\n  B: {written}\n"
    assert yaml.safe_load(text)[ENV] == {"B": value}
    assert compose(ENV, {"B": value}) == f"defaultSessionEnv:\n  B: {written}\n"


def test_a_name_that_is_a_word_of_yaml_is_quoted() -> None:
    assert edited("", {"NULL": "x", "Y": "y"}) == 'defaultSessionEnv:\n  "NULL": "x"\n  "Y": "y"\n'


def test_a_new_file_without_variables() -> None:
    assert compose(ENV, {}) == "defaultSessionEnv: {}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"x: &a\n  A: {CANARY}\ndefaultSessionEnv: *a\n",
         "defaultSessionEnv is an alias of another key's value (line 3, column 20)"),
        (f"defaultSessionEnv: &a\n  A: {CANARY}\ny:\n  - *a\n",
         "defaultSessionEnv has an anchor, and another key is an alias of it (line 4, column 5)"),
        (f"defaultSessionEnv:\n  B: &t {CANARY}\ny: *t\n", "without changing something else"),
        (f"defaultSessionEnv:\n  B: &t {CANARY}\n  A: *t\n", "without changing something else"),
        (f"- {CANARY}\n", "it holds no settings"),
        (f"a: {CANARY}\ndefaultSessionEnv: null\n", "it holds no settings"),
    ],
)  # fmt: skip
def test_what_can_not_be_edited_alone(text: str, words: str) -> None:
    with pytest.raises(CannotEditError) as raised:
        edited(text, {"B": "1"})
    assert words in str(raised.value)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "x: &a {B: '1'}\ndefaultSessionEnv: *a\n",
        "defaultSessionEnv: &a {B: '1'}\ny: *a\n",
        "t: &t '1'\ndefaultSessionEnv:\n  B: *t\n",
    ],
)
def test_nothing_is_touched_where_nothing_changes(text: str) -> None:
    assert edited(text, {"B": "1"}, ("C",)) == text


def test_a_variable_that_others_are_aliases_of_is_not_removed() -> None:
    with pytest.raises(CannotEditError, match="without changing something else"):
        edited("defaultSessionEnv:\n  B: &t x\n  A: *t\n", {}, ("B",))


def test_where_a_value_stands() -> None:
    file = read("a: &x {b: [1, no, ~]}\nc: *x\nd:\n")
    assert file.where(["a", "b", 1]) == "line 1, column 15"
    assert file.where(["c", "b", 0], as_string=True) == (
        "line 1, column 12: a number without quotes, write it in quotes"
    )
    assert file.where(["a", "b", 2], as_string=True) == "line 1, column 19: null without quotes"
    assert file.where(["d"], as_string=True) == "line 3, column 3: nothing is written there"
    assert file.where(["a", "unknown"]) == "line 1, column 4"
    assert "a" not in repr(file).removeprefix("YamlFile")


# "@" stands for a name of its own.
foreign = st.lists(
    st.sampled_from(
        [
            "@: v # c\n",
            "# comment\n",
            "\n",
            "@: |\n   text\n    more\n\n",
            "@: >+\n  text\n\n",
            "@:\n- a\n-  b: &x@ 1\n   c: *x@\n",
            "@: &y@ {a: 1, \"b\":'it''s'}\n@2: *y@\n",
            "@: [a,\n  b # c\n  ]\n",
            "@: 'two\n   lines'\n",
            "'@' :\t!!str 0o17\n",
            "@:\n    deep:\n      er: ~\n",
            "@:\n",
            "<<@: {<<: 1}\n",
            '@: "\\u00e9\u2028\x85"\n',
        ]
    ),
    max_size=4,
)
there = st.dictionaries(
    st.sampled_from(["A", *NAMES]),
    st.sampled_from(["plain", "'it''s'", '"x"', "!!str 5", "http://h:1/#x", "|-\n      lit"]),
    max_size=4,
)
inline = st.dictionaries(
    st.sampled_from(["A", *NAMES]), st.sampled_from(["plain", "'it''s'", '"x"']), max_size=4
)
wanted = st.dictionaries(
    st.sampled_from(NAMES),
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Co"]), max_size=6)
    | st.sampled_from(["no", "60000", "it's", 'say "x"', "a\\", "# x", ": x", "*a"]),
    max_size=4,
)


def as_block(variables: dict[str, str]) -> str:
    lines = [f"  {name}: {value} # ours\n" if "\n" not in value else f"  {name}: {value}\n"
             for name, value in variables.items()]  # fmt: skip
    return f"{ENV}: # env\n" + "".join(lines) if lines else f"{ENV}: {{}} # env\n"


def in_braces(variables: dict[str, str]) -> str:
    return f"{ENV}: {{{', '.join(f'{name}: {value}' for name, value in variables.items())}}}\n"


ours = there.map(as_block) | inline.map(in_braces) | st.just("")


def named(parts: list[str], letter: str) -> str:
    return "".join(part.replace("@", f"{letter}{index}") for index, part in enumerate(parts))


@pytest.mark.slow
@given(foreign, ours, foreign, wanted, st.sets(st.sampled_from(["A", *NAMES])), st.booleans(),
       st.booleans())  # fmt: skip
def test_an_edit_changes_our_variables_and_no_other_byte(
    before: list[str],
    env: str,
    after: list[str],
    values: dict[str, str],
    removed: set[str],
    crlf: bool,
    final: bool,
) -> None:
    head, tail = named(before, "p"), named(after, "q")
    if crlf:
        head, env, tail = (text.replace("\n", "\r\n") for text in (head, env, tail))
    if not final:
        tail = tail.rstrip("\r\n")
    removed -= values.keys()
    data = head + env + tail
    old = read(data).root or {}
    result = edit(data, ENV, values, removed)
    new: Any = read(result).root or {}
    kept = {name: value for name, value in old.get(ENV, {}).items() if name not in removed}
    if ENV in old or values:
        assert new == {**old, ENV: {**kept, **values}}
        assert list(new[ENV]) == list({**kept, **values})
    else:
        assert result == data
    at = len(head) if env else len(_common(head + tail, result))
    assert result.startswith((head + tail)[:at])
    assert result.endswith((head + tail)[at:])
    assert edit(result, ENV, values, removed) == result
    if "\r\n" in data:
        assert "\n" not in result.replace("\r\n", "")


def _common(one: str, other: str) -> str:
    """Return what both begin with."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return one[:index]
    return one[: len(other)]
