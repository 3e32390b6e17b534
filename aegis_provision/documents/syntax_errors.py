"""Explains what is no YAML in plain words: the parser's errors, and inventories in INI format."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.documents.nodes import Source, Span

if TYPE_CHECKING:
    import yaml

    from aegis_provision.documents.diagnostic import Diagnostic

_QUOTES = "put the value into quotes"
_INDENT = "line it up with its neighbours; YAML indents with spaces alone"

# What the parser says -> code, our words, hint, and whether the place where the trouble began
# tells more than the place where the parser gave up.
_WORDS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("while scanning a quoted scalar", "unclosed-quote", "this quote is never closed",
     "close it, and mind quotes inside of the value", True),
    ("while parsing a flow mapping", "unclosed-brace", "this '{' is not closed properly",
     "separate entries with ',' and close with '}'", True),
    ("while parsing a flow sequence", "unclosed-bracket", "this '[' is not closed properly",
     "separate items with ',' and close with ']'", True),
    ("while parsing a flow node", "unfinished", "inside of '[' or '{' a value is missing here",
     "write the value, or close the brackets", False),
    ("mapping values are not allowed", "stray-colon", "a ':' that begins no entry here",
     f"check the indentation; if it belongs to a value, {_QUOTES}", False),
    ("could not find expected ':'", "missing-colon", "this key has no ':' after it",
     "write 'key: value', with a space after the colon", True),
    ("did not find expected key", "bad-indentation", "this line does not fit the block around it",
     _INDENT, False),
    ("did not find expected '-' indicator", "bad-indentation",
     "this line does not fit the list around it", _INDENT, False),
    ("block sequence entries are not allowed", "bad-indentation", "a list begins here out of place",
     "write the list on lines of its own, below its key", False),
    ("while scanning an alias", "bad-alias", "'*' begins an alias, and no name follows",
     _QUOTES, True),
    ("while scanning an anchor", "bad-anchor", "'&' begins an anchor, and no name follows",
     _QUOTES, True),
    ("while parsing a quoted scalar", "bad-escape", "an escape that YAML does not know",
     "double the backslash, or use single quotes", False),
    ("escape", "bad-escape", "an escape that YAML does not know",
     "double the backslash, or use single quotes", False),
    ("hexdecimal", "bad-escape", "an escape that YAML does not know",
     "double the backslash, or use single quotes", False),
    ("nesting depth", "too-deep", "nested too deep",
     "close brackets where they end, and nest less", False),
    ("tag", "bad-tag", "'!' begins a tag, and this is none", _QUOTES, False),
    ("directive", "bad-directive", "'%' begins a directive, and this is none", _QUOTES, False),
    ("incompatible YAML", "bad-directive", "a version of YAML that is not known",
     "remove the line", False),
    ("did not find expected <document start>", "after-document",
     "text that belongs to nothing before it", _INDENT, False),
)  # fmt: skip

_SECTION = re.compile(r"\[[^\[\]\s:]+(?::(?:vars|children|hosts))?\][ \t]*(?:[#;].*)?")
# A host with a range, a port and variables, as far as it may have them.
_HOST = re.compile(
    r"""(?!-)[\w.:\[\]-]*[\w.\]-]
        (?:[ \t]+\w[\w.-]*=(?:[^\s"']|"[^"]*"|'[^']*')*)*
        [ \t]*(?:[ \t][#;].*)?""",
    re.VERBOSE,
)


def explain_syntax_error(source: Source, problem: yaml.MarkedYAMLError) -> Diagnostic:
    """Return the diagnostic for what the parser raised, without any of its text."""
    if looks_like_ini(source.text):
        return ini_inventory(source)
    mark = problem.problem_mark or problem.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    span = _span(source, line, column)
    text = _line(source, line)
    char = text[column : column + 1]
    if char == "\t" or "\t" in text[: len(text) - len(text.lstrip())]:
        return error(
            "tab", "a tab where YAML indents with spaces", span, hint="replace it by spaces"
        )
    if char in {"@", "`", "%"} and "cannot start any token" in (problem.problem or ""):
        return error("bad-start", f"a plain value can't begin with '{char}'", span, hint=_QUOTES)
    if char and char in "}]" and "flow" not in (problem.context or ""):
        return error("stray-bracket", f"a '{char}' that closes nothing", span, hint="remove it")
    parser_words = f"{problem.context or ''} / {problem.problem or ''}"
    found = next((row for row in _WORDS if row[0] in parser_words), None)
    if found is None:
        return error("yaml-syntax", "this is not YAML", span, hint=_INDENT)
    _, code, message, hint, at_context = found
    begin = problem.context_mark
    context = _span(source, begin.line, begin.column) if begin is not None else span
    if at_context:
        return error(code, message, context, hint=hint)
    if context == span or code != "bad-indentation":
        return error(code, message, span, hint=hint)
    related = (Related(context, "the block around it begins here"),)
    return error(code, message, span, hint=hint, related=related)


def _span(source: Source, line: int, column: int) -> Span:
    return Span(source, line + 1, column + 1, line + 1, column + 2)


def _line(source: Source, line: int) -> str:
    lines = source.text.split("\n", line + 1)
    return lines[line] if line < len(lines) else ""


def looks_like_ini(text: str) -> bool:
    """Tell whether ``text``, which is no YAML mapping, is most likely an inventory in INI format.

    As Ansible reads one, lines are hosts (``h1 ansible_host=10.0.0.1``) until the first section
    (``[gpu]``, ``[gpu:vars]``); ``#`` and ``;`` begin comments. One word alone may be anything.
    """
    words = 0
    for line in text.splitlines():
        content = line.strip()
        if not content or content[0] in "#;":
            continue
        if _SECTION.fullmatch(content):
            return True
        if _HOST.fullmatch(content) is None:
            return False
        words += len(content.split())
    return words > 1


_AEGIS = re.compile(r"\baegis\s*=")
_CONFIGURATION = re.compile(r"^\[defaults\]", re.MULTILINE)


def ini_inventory(source: Source) -> Diagnostic:
    """Return the error for an inventory in INI format, with the command that converts it.

    Ansible's configuration looks like one too.
    """
    if _CONFIGURATION.search(source.text) is not None:
        return error(
            "ansible-configuration",
            "this is a configuration of Ansible's, and -i names an inventory",
            Span(source, 1, 1, 1, 2),
            hint="the inventory that it names is read by: -i ansible:",
            quotable=False,
        )
    return error(
        "ini-inventory",
        "this is an inventory in INI format, and only YAML is read",
        Span(source, 1, 1, 1, 2),
        hint=conversion(source.name)
        if _AEGIS.search(source.text) is None
        else f"let Ansible read it: -i ansible:{source.name}",
        # A line with variables in it may hold a password under any name.
        quotable="=" not in source.text.partition("\n")[0],
    )


def conversion(name: str) -> str:
    """Return how the inventory called ``name`` is converted.

    Without ``--export`` each host comes out with all settings of its groups as its own.
    """
    path = f"./{name}" if name.startswith("-") else name
    return (
        f"convert it with: ansible-inventory -i {shlex.quote(path)} --list --yaml --export "
        "(vaulted files come out decrypted: look through the result before you keep it)"
    )
