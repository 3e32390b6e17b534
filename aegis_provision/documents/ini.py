"""Recognises inventories in Ansible's INI format, which are not read, beside broken YAML."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.source import Source, Span

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic

_SECTION = re.compile(r"\[[^\[\]\s:]+(?::(?:vars|children|hosts))?\][ \t]*(?:[#;].*)?")
# A host with a range, a port and variables, as far as it may have them.
_HOST = re.compile(
    r"""(?!-)[\w.:\[\]-]*[\w.\]-]
        (?:[ \t]+\w[\w.-]*=(?:[^\s"']|"[^"]*"|'[^']*')*)*
        [ \t]*(?:[ \t][#;].*)?""",
    re.VERBOSE,
)


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


def ini_inventory(source: Source) -> Diagnostic:
    """Return the error for an inventory in INI format, with the command that converts it."""
    found = error(
        "ini-inventory",
        "this is an inventory in INI format, and only YAML is read",
        Span(source, 1, 1, 1, 2),
        hint=conversion(source.name),
    )
    # A line with variables in it may hold a password under any name.
    return replace(found, quotable="=" not in source.text.partition("\n")[0])


def conversion(name: str) -> str:
    """Return how the inventory called ``name`` is converted.

    Without ``--export`` each host comes out with all settings of its groups as its own.
    """
    path = f"./{name}" if name.startswith("-") else name
    return (
        f"convert it with: ansible-inventory -i {shlex.quote(path)} --list --yaml --export "
        "(vaulted files come out decrypted: look through the result before you keep it)"
    )
