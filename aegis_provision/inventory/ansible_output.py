"""Reads what Ansible's programs print of an inventory: its groups, and the variables that are ours.

``ansible-inventory --list --export`` prints groups and, for each group and host, the variables as
they were written there: templates are not rendered, and vaults stay closed. The task of
:func:`task_arguments`, which ``ansible`` runs on the control node, prints the resolved variables of
each host. What is for us in both becomes one JSON document. All other variables, which may be
secrets, are dropped here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from aegis_provision.inventory.ansible_variables import ALIASES, HARMLESS_VALUES, UNSUPPORTED
from aegis_provision.inventory.shared_with_ansible import OURS
from aegis_provision.inventory.ssh_arguments import SSH_ARGUMENTS, without_values
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

CONFIGURATION = {
    "ansible_user": "DEFAULT_REMOTE_USER",
    "ansible_port": "DEFAULT_REMOTE_PORT",
    "ansible_private_key_file": "DEFAULT_PRIVATE_KEY_FILE",
    "ansible_connection": "DEFAULT_TRANSPORT",
    "ansible_become": "DEFAULT_BECOME",
    "ansible_become_user": "DEFAULT_BECOME_USER",
    "ansible_become_method": "DEFAULT_BECOME_METHOD",
    "ansible_host_key_checking": "HOST_KEY_CHECKING",
}
"""The settings of Ansible's configuration that count where a variable is not set."""

PRIORITY = "ansible_group_priority"
VAULTED = "(vaulted)"
"""What stands for a value that is encrypted in its place."""

_HIDDEN = "..."

_MERGE = "DEFAULT_HASH_BEHAVIOUR"
_PLAYBOOK_DIR = "PLAYBOOK_DIR"
_SHOWN = (OURS, *ALIASES, *SSH_ARGUMENTS, *HARMLESS_VALUES)
_NAMED = tuple(name for name in UNSUPPORTED if name not in _SHOWN)
_BEGIN, _END = "aegis-provision-begins", "aegis-provision-ends"
_RESULT = re.compile(
    r"^(?P<host>\S+) \| (?P<status>[A-Z]+)!? (?:\| rc=\d+ )?=> (?=\{)", re.MULTILINE
)

# Each value is printed as base64 of its JSON: no filter, callback or terminal changes that. A host
# that has no settings of ours costs its name alone. Where a template names something that is not
# defined it is to be asked for by the host's own task: in 'hostvars' there are no 'hostvars'. What
# is omitted ('default(omit)') is as good as not set.
_OPEN = "?"
_OF_ANY = f"value | to_json | b64encode | default({_OPEN!r})"
_OF_ITS_OWN = "lookup('ansible.builtin.vars', name) | to_json | b64encode"
_TEMPLATE = (
    "{% for host in HOSTS %}"
    "host={{ host | b64encode }} "
    "{% set found = hostvars[host] %}"
    "{% if ISOURS %}ours= "
    "{% for name in SHOWN if name in found %}"
    "{% set value = found[name] %}"
    "{% if value is undefined or value != omit %}{{ name }}={{ VALUE }} {% endif %}"
    "{% endfor %}"
    "{% for name in NAMED if name in found %}{{ name }}= {% endfor %}"
    "{% endif %}"
    "{% endfor %}"
)
_NO_CONNECTION = re.compile(r"the connection plugin '([^']+)' was not found")
_SETTING = "{{ lookup('config', 'NAME', on_missing='skip') | to_json | b64encode }}"
_OF_SSH = (
    "{{ lookup('config', 'NAME', plugin_type='connection', plugin_name='ssh', on_missing='skip')"
    " | to_json | b64encode }}"
)


class AnsibleOutputError(ValueError):
    """What a program of Ansible's printed is not what it prints; the text says how."""


@dataclass(frozen=True, slots=True)
class ResolvedVariables:
    """The rendered variables of each host that is ours, and Ansible's configuration.

    ``hosts`` names all hosts, in order. ``failures`` says in Ansible's words why a host has no
    variables here. The variables of the ``unresolved`` hosts can be rendered only by a task that
    runs for the host itself.
    """

    hosts: tuple[str, ...]
    variables: Mapping[str, Mapping[str, Any]] = field(repr=False)
    configuration: Mapping[str, Any] = field(repr=False)
    failures: Mapping[str, str] = field(default_factory=dict)
    unresolved: tuple[str, ...] = ()

    def completed(self, own: ResolvedVariables, hosts: Iterable[str]) -> ResolvedVariables:
        """Return what ``own``, the tasks of single hosts, say beside this; ``hosts`` are all.

        A host whose connection plugin is not installed gets no task: it is one that Ansible
        reaches in another way than we could.
        """
        elsewhere: dict[str, dict[str, Any]] = {}
        failures = {}
        for host, words in own.failures.items():
            plugin = _NO_CONNECTION.search(words)
            if plugin is None:
                failures[host] = words
            else:
                elsewhere[host] = {OURS: {}, "ansible_connection": plugin[1]}
        return ResolvedVariables(
            tuple(dict.fromkeys((*self.hosts, *hosts))),
            {**self.variables, **own.variables, **elsewhere},
            self.configuration or own.configuration,
            failures,
        )

    @property
    def merges(self) -> bool:
        """Tell whether Ansible merges mappings of several groups, rather than to replace them."""
        return self.configuration.get(_MERGE) == "merge"

    @property
    def playbook_dir(self) -> str:
        """Return the directory whose ``group_vars`` count too, empty for that of the operator."""
        return str(self.configuration.get(_PLAYBOOK_DIR) or "")


def task_arguments(*, of_each: bool = False, every_host: bool = False) -> str:
    """Return the arguments of the ``debug`` task that prints the variables that are ours.

    It prints those of all hosts at once; ``of_each`` those of the host it runs for. Of hosts
    without settings of ours it prints them with ``every_host``.
    """
    template = _TEMPLATE
    for word, value in (
        ("HOSTS", "[inventory_hostname]" if of_each else "groups['all']"),
        ("VALUE", _OF_ITS_OWN if of_each else _OF_ANY),
        ("SHOWN", json.dumps(_SHOWN)),
        ("NAMED", json.dumps(_NAMED)),
        ("ISOURS", "true" if every_host else f"{OURS!r} in found"),
    ):
        template = template.replace(word, value)
    settings = [
        *((f"{item}=", _SETTING.replace("NAME", item)) for item in _settings()),
        *((f"{item}=", _OF_SSH.replace("NAME", _ssh_option(item))) for item in SSH_ARGUMENTS),
    ]
    asked = " ".join(name + expression for name, expression in settings)
    return json.dumps({"msg": f"{_BEGIN} {template}config= {asked} {_END}"})


def _settings() -> tuple[str, ...]:
    return (*CONFIGURATION.values(), _MERGE, _PLAYBOOK_DIR)


def _ssh_option(variable: str) -> str:
    return variable.removeprefix("ansible_")


def read_resolved(output: bytes) -> ResolvedVariables:
    """Return what the task printed. Raises :class:`AnsibleOutputError`."""
    text = output.decode("utf-8", errors="replace")
    hosts: list[str] = []
    variables: dict[str, dict[str, Any]] = {}
    ours: set[str] = set()
    unknown: dict[str, None] = {}
    configuration: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for name, succeeded, message in _results(text):
        if not succeeded:
            failures[name] = message
            continue
        words = message.split(f"{_BEGIN} ", 1)[-1].rpartition(f" {_END}")[0].split()
        current: dict[str, Any] = {}
        for word in words:
            key, _, value = word.partition("=")
            if key == "host":
                hosts.append(_decoded(value).decode("utf-8", errors="replace"))
                current = variables.setdefault(hosts[-1], {})
            elif key == "ours" and hosts:
                ours.add(hosts[-1])
            elif key == "config":
                current = configuration
            elif value == _OPEN and hosts:
                unknown[hosts[-1]] = None
            else:
                current[key] = _json(_decoded(value)) if value else _HIDDEN
    if not hosts and not configuration and not failures:
        raise AnsibleOutputError("prints no result of the task that it was given")
    for name in SSH_ARGUMENTS if configuration else ():
        text = str(configuration.get(name) or "")
        configuration[name] = without_values(text)
    kept = {host: _kept(found) for host, found in variables.items() if host in ours}
    names = tuple(dict.fromkeys(hosts))
    return ResolvedVariables(names, kept, configuration, failures, tuple(unknown))


def _results(text: str) -> Iterator[tuple[str, bool, str]]:
    """Yield each host's result, as Ansible's ``minimal`` callback prints it."""
    for found in _RESULT.finditer(text):
        try:
            result, _ = json.JSONDecoder().raw_decode(text, found.end())
        except ValueError:
            continue
        message = result.get("msg", "") if isinstance(result, dict) else ""
        yield found["host"], found["status"] in {"SUCCESS", "CHANGED"}, str(message)


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise AnsibleOutputError("prints a value in an unknown form") from None


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise AnsibleOutputError("prints a value that is no JSON") from None


def read_listed(output: bytes) -> dict[str, Any]:
    """Return what ``ansible-inventory --list --export`` printed, less variables that are not ours.

    That is the ``groups``, each with its ``hosts`` and ``children``, and what is ``declared`` for
    ``groups`` and ``hosts``. Raises :class:`AnsibleOutputError`.
    """
    listed = _json(output)
    if not isinstance(listed, dict):
        raise AnsibleOutputError("prints no inventory")
    meta = listed.pop("_meta", {})
    groups: dict[str, Any] = {}
    declared: dict[str, Any] = {}
    for name, group in listed.items():
        body = group if isinstance(group, dict) else {}
        groups[name] = {part: _names(body.get(part)) for part in ("hosts", "children")}
        own = _kept(body.get("vars"))
        if own:
            declared[name] = own
    hosts = meta.get("hostvars") if isinstance(meta, dict) else None
    of_hosts = {name: _kept(found) for name, found in hosts.items()} if hosts else {}
    return {
        "groups": groups,
        "declared": {
            "groups": declared,
            "hosts": {name: found for name, found in of_hosts.items() if found},
        },
    }


def _names(listed: object) -> list[str]:
    return [str(name) for name in listed] if isinstance(listed, list) else []


def _kept(variables: object) -> dict[str, Any]:
    """Return the variables that are for us; of those that lead elsewhere the names alone."""
    found: dict[str, Any] = {}
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if name in SSH_ARGUMENTS:
            found[name] = without_values(value if isinstance(value, str) else "")
        elif name in _SHOWN or name == PRIORITY:
            found[name] = _plain(value)
        elif name in _NAMED:
            found[name] = _HIDDEN
    return found


def _plain(value: Any) -> Any:
    """Return a value without Ansible's marks: of what is encrypted, and of what is unsafe."""
    if isinstance(value, dict):
        if "__ansible_vault" in value:
            return VAULTED
        if "__ansible_unsafe" in value:
            return value["__ansible_unsafe"]
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def document(
    listed: Mapping[str, Any], resolved: ResolvedVariables, host_vars: Mapping[str, str]
) -> bytes:
    """Return all of it as the JSON that stands for an inventory's text.

    ``host_vars`` says in which file beside the inventory Ansible looks for a host's variables.
    """
    configuration = {
        **{name: resolved.configuration.get(setting) for name, setting in CONFIGURATION.items()},
        **{name: resolved.configuration.get(name) for name in SSH_ARGUMENTS},
    }
    content = {
        "merges": resolved.merges,
        "groups": listed["groups"],
        "hosts": list(resolved.hosts),
        "variables": dict(resolved.variables),
        "declared": listed["declared"],
        "configuration": {
            name: value for name, value in configuration.items() if value not in (None, "", [])
        },
        "host_vars": {name: host_vars[name] for name in resolved.variables if name in host_vars},
    }
    return json.dumps(content, ensure_ascii=False).encode("utf-8", errors="replace")
