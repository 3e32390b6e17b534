"""Recognises what was named as an inventory and is none: a playbook, a plugin's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error
from aegis_provision.documents.nodes import Mapping, Scalar, Sequence, Span
from aegis_provision.inventory.ansible_variables import VARIABLE_PREFIX
from aegis_provision.inventory.shared_with_ansible import OURS, is_setting

if TYPE_CHECKING:
    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Node

_OF_ANSIBLES_PLAYS = (
    "become", "collections", "connection", "environment", "gather_facts", "handlers",
    "import_playbook", "post_tasks", "pre_tasks", "remote_user", "roles", "tasks", "vars",
    "vars_files",
)  # fmt: skip
_OF_REQUIREMENTS = frozenset({"collections", "roles"})
_PLUGIN = "plugin"
_NO_INVENTORY = ", and -i names an inventory"


def other_document(node: Node) -> Diagnostic | None:
    """Return the error for a document of another kind that is known, ``None`` for all else."""
    if isinstance(node, Sequence) and any(map(_is_play, node.items)):
        return _playbook(node)
    if not isinstance(node, Mapping):
        return None
    plugin = node.entry(_PLUGIN)
    name = node.span.source.name
    if plugin is not None and isinstance(plugin.value, Scalar):
        words = f"{name} configures a plugin of Ansible's, and none is run here"
        hint = f"let Ansible run it: -i ansible:{name}, with settings of ours under '{OURS}'"
        return _error("inventory-plugin", words, node, hint)
    keys = {entry.key.text for entry in node}
    if keys and keys <= _OF_REQUIREMENTS and any(isinstance(e.value, Sequence) for e in node):
        words = f"{name} lists what ansible-galaxy installs{_NO_INVENTORY}"
        return _error("requirements", words, node, "name a file that lists hosts")
    if all(map(_is_variable, keys)) and any(not isinstance(e.value, Mapping) for e in node):
        words = f"{name} holds variables of one group or host{_NO_INVENTORY}"
        hint = "name the inventory: 'group_vars/' and 'host_vars/' beside it are read with it"
        return _error("variables-file", words, node, hint)
    return None


def _is_variable(key: str) -> bool:
    return is_setting(key) or key == OURS or key.startswith(VARIABLE_PREFIX)


def _is_play(node: Node) -> bool:
    return isinstance(node, Mapping) and any(map(node.entry, ("hosts", "import_playbook")))


def _playbook(node: Sequence) -> Diagnostic:
    ours = all(
        isinstance(item, Mapping) and not any(map(item.entry, _OF_ANSIBLES_PLAYS))
        for item in node.items
    )
    name = node.span.source.name
    if ours:
        words = f"{name} is a playbook{_NO_INVENTORY}"
        hint = f"name the playbook without a flag: aegis-provision plan {name} -i INVENTORY"
    else:
        words = f"{name} is a playbook of Ansible's{_NO_INVENTORY}"
        hint = "name the inventory that it runs on, as Ansible reads it: -i ansible:INVENTORY"
    return _error("playbook", words, node, hint)


def _error(code: str, words: str, node: Node, hint: str) -> Diagnostic:
    # The first line may hold anything, a password too.
    return error(code, words, Span(node.span.source, 1, 1, 1, 2), hint=hint,
                 quotable=code == "playbook")  # fmt: skip
