"""A file of an inventory: its bytes, its role, and whether its content is an inventory at all."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.did_you_mean import is_slip
from aegis_provision.documents.nodes import Mapping, Node, is_null
from aegis_provision.documents.syntax_errors import looks_like_ini
from aegis_provision.documents.yaml_reader import decode, read_document
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.documents.nodes import Source

FileKind = Literal["inventory", "ansible", "group_vars", "host_vars"]
Content = Literal["inventory", "ini", "other"]

POLICY_FILES = ("policy.yml", "policy.yaml")
"""The names of what is a policy beside an inventory, and no part of it."""

_PARTS = ("hosts", "children", "vars")
_OF_GROUPS = frozenset({"all", "providers"})
_BEGINS_A_GROUP = re.compile(r"""(?:["']?[\w.-]+["']?[ \t]*:[ \t]*(?:\#.*)?|\{.*)""", re.VERBOSE)


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file: an inventory, or the settings of one group or host.

    One of kind ``ansible`` is no file: ``data`` is what Ansible says of an inventory.
    ``subject`` is the group's or host's name, empty for an inventory. ``rank`` is the index of
    the ``-i`` that it belongs to: a later one wins. ``name`` is the path as the operator sees it.
    ``certain`` says that its name alone makes it one of ours: ``host_vars/eu-01.example.com`` is
    one if there is such a host, and ``host_vars/README.md`` hardly ever. ``printed`` says that
    ``name`` is a script, and ``data`` what it printed: an inventory for ``--list``, a host's
    variables for ``--host``.
    """

    kind: FileKind
    subject: str
    name: str
    data: bytes = field(repr=False)
    rank: int
    certain: bool = True
    printed: bool = False

    @property
    def priority(self) -> int:
        """Return what wins among settings of one host or group: the higher number.

        As in Ansible, a variable file beside the inventory comes after the inventory itself; what a
        script says of a host is a part of the inventory, in however many pieces it is printed.
        """
        return 2 * self.rank + (0 if self.kind == "inventory" or self.printed else 1)


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
    return all(isinstance(entry.value, Mapping) or is_null(entry.value) for entry in node) and any(
        entry.key.text in _OF_GROUPS or _is_group(entry.value) for entry in node
    )


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
