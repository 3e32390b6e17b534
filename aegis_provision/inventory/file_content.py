"""Recognises by its content whether a file of a directory is an inventory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.decoding import decode
from aegis_provision.documents.ini import looks_like_ini
from aegis_provision.documents.nodes import Mapping, Node, Scalar
from aegis_provision.documents.reader import read_document
from aegis_provision.documents.suggestion import is_slip

if TYPE_CHECKING:
    from aegis_provision.documents.source import Source

Content = Literal["inventory", "ini", "other"]

_PARTS = ("hosts", "children", "vars")
_OF_GROUPS = frozenset({"all", "providers"})
_BEGINS_A_GROUP = re.compile(r"""(?:["']?[\w.-]+["']?[ \t]*:[ \t]*(?:\#.*)?|\{.*)""", re.VERBOSE)


def content_of(name: str, data: bytes) -> Content:
    """Return whether a file holds an inventory in YAML, one in INI format, or something else.

    A broken one counts as an inventory where it begins as one, so that what is wrong is told.
    """
    source, _ = decode(name, data)
    if source is None:
        return "other"
    node, _ = read_document(source)
    if isinstance(node, Mapping):
        return "inventory" if _is_inventory(node) else "other"
    if looks_like_ini(source.text):
        return "ini"
    return "inventory" if _begins_a_group(source) else "other"


def _is_inventory(node: Mapping) -> bool:
    """Tell whether all of ``node`` may be groups, and some of it looks like one."""
    return all(_may_be_group(entry.value) for entry in node) and any(
        entry.key.text in _OF_GROUPS or _is_group(entry.value) for entry in node
    )


def _may_be_group(node: Node) -> bool:
    return isinstance(node, Mapping) or (isinstance(node, Scalar) and node.value is None)


def _is_group(node: Node) -> bool:
    return isinstance(node, Mapping) and any(
        entry.key.text == part or is_slip(entry.key.text, part) for entry in node for part in _PARTS
    )


def _begins_a_group(source: Source) -> bool:
    for line in source.text.splitlines():
        content = line.strip()
        if content and content != "---" and not content.startswith("#"):
            return _BEGINS_A_GROUP.fullmatch(content) is not None
    return False
