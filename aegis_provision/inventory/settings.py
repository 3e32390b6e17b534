"""Reads a mapping of host settings: each value is checked by itself and keeps its place."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.diagnostic import error, note, warning
from aegis_provision.documents.nodes import Mapping, Node, Scalar
from aegis_provision.documents.nodes import Sequence as SequenceNode
from aegis_provision.documents.quoting import quote, quote_some
from aegis_provision.documents.secret_detection import looks_secret
from aegis_provision.inventory.addresses import (
    ALLOWED,
    is_address,
    is_name,
    is_port,
    parse_bastion,
)
from aegis_provision.inventory.ansible_variables import (
    ALIASES,
    BECOME_METHODS,
    CONNECTIONS,
    VARIABLE_PREFIX,
    Substitute,
    effective_names,
    is_other_become_method,
    says_nothing,
    substitute_for,
    substitute_for_options,
)
from aegis_provision.inventory.pins import LONGEST_REASON, parse_date
from aegis_provision.inventory.shared_with_ansible import is_setting
from aegis_provision.inventory.ssh_arguments import SSH_ARGUMENTS, read_ssh_arguments
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Entry, Span
    from aegis_provision.inventory.host import Setting

Value = str | int | bool | tuple[str, ...]
Problem = tuple[str, str]
"""What is wrong, and what to do about it."""

ENV_PREFIX = "env."
"""How a further session variable is keyed: ``env`` merges name by name."""

FILLED_IN_BY_ANSIBLE = (
    "write the value itself, or let Ansible fill it in: -i ansible:PATH, with settings of ours "
    "under 'aegis'"
)
"""What to do about a template of Ansible's."""

_FREE_TEXT = frozenset({"restart_command", "pin_reason"})
_REMOVED = "null"
_EMPTY = "give it a value, or remove it; 'null', written out, removes the variable from hosts"

_WORDS = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}
_BASTIONS = frozenset({"ProxyJump", "ProxyCommand"})
_BOOLEANS = frozenset({"become", "trust_directory"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PROGRAM = re.compile(r"/[A-Za-z0-9._+@=/-]{1,255}")
_SITE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})")
_UNIT = re.compile(r"(?!-)[A-Za-z0-9@._:\\-]{1,255}")


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting at one place. ``priority`` orders places of one host or group.

    ``value`` is ``None`` for a session variable that is to be removed, and for a variable of
    Ansible's that is as good as not set (:attr:`is_unset`). ``written`` is the key as it stands
    there, which may be Ansible's name for it. ``holder`` is whose it is where that is not the host
    or group that it is said of; ``overrode`` is what it beat before.
    """

    key: str
    value: Value | None = field(repr=False)
    span: Span
    priority: int
    written: str = ""
    holder: str = ""
    holder_kind: Literal["host", "group"] = "host"
    overrode: tuple[Setting, ...] = field(default=(), repr=False)

    @property
    def is_unset(self) -> bool:
        """Tell whether it merely hides the same variable of Ansible's, set farther away."""
        return self.value is None and not self.key.startswith(ENV_PREFIX)


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """A further session variable at one place; ``None`` for one that hosts are not to have."""

    name: str
    value: str | None = field(repr=False)
    span: Span


def read_env(node: Node) -> tuple[tuple[EnvEntry, ...], tuple[Diagnostic, ...]]:
    """Return the variables in an ``env``, and an error for each that is empty.

    Only the written word ``null`` removes one: a value that was forgotten must not. What the schema
    refuses is skipped.
    """
    found: list[EnvEntry] = []
    problems: list[Diagnostic] = []
    for entry in node if isinstance(node, Mapping) else ():
        name, value = entry.key.text, entry.value
        if not isinstance(value, Scalar):
            continue
        if isinstance(value.value, str) or value.text == _REMOVED:
            text = value.value if isinstance(value.value, str) else None
            found.append(EnvEntry(name, text, value.span))
        elif value.value is None:
            span = value.span if value.text else entry.key.span
            words = f"{quote(name)} must be a string, and this is empty"
            problems.append(error("wrong-type", words, span, hint=_EMPTY))
    return tuple(found), tuple(problems)


@dataclass(slots=True)
class _Unsupported:
    """A variable of Ansible's that leads elsewhere: what stands for it, where, how often."""

    substitute: Substitute
    span: Span
    places: int = 0


@dataclass(slots=True)
class SettingsReader:
    """Reads mappings of settings and gathers what is wrong with them.

    ``ignored`` holds Ansible's variables that mean nothing here, with the place of the first.
    """

    diagnostics: list[Diagnostic] = field(default_factory=list)
    ignored: dict[str, Span] = field(default_factory=dict)
    _unsupported: dict[tuple[str, tuple[str, ...]], _Unsupported] = field(default_factory=dict)

    def read(self, node: Node | None, priority: int) -> tuple[Declared, ...]:
        """Return the settings in ``node``. What the schema refuses is skipped here."""
        if not isinstance(node, Mapping):
            return ()
        return tuple(self._settings(node, priority))

    def ansible_diagnostics(self) -> Iterator[Diagnostic]:
        """Yield diagnostics about Ansible's variables that are not taken.

        Each that changes the connection is one warning, however many places set it; all others are
        one note. Their lines are not quoted: an option may hold a password.
        """
        for (name, options), found in self._unsupported.items():
            more = f", in {found.places} places" if found.places > 1 else ""
            what = f'{", ".join(options)} in "{name}"' if options else f'"{name}"'
            verbs = ("change", "are") if len(options) > 1 else ("changes", "is")
            yield warning(
                "ansible-leads-elsewhere",
                f"{what} {verbs[0]} how Ansible connects, and {verbs[1]} not taken here{more}",
                found.span,
                hint=found.substitute.words,
                quotable=False,
            )
        if self.ignored:
            yield note(
                "ignored-variables",
                "variables of Ansible's that mean nothing here are ignored: "
                f"{quote_some(list(self.ignored))}",
                next(iter(self.ignored.values())),
                quotable=False,
            )

    def _not_taken(self, name: str, entry: Entry, names: Collection[str]) -> None:
        substitute = substitute_for(name, entry.value, names)
        if substitute is None:
            self.ignored.setdefault(name, entry.key.span)
            return
        self._add_unsupported(name, substitute, entry.key.span)

    def _add_unsupported(
        self, name: str, substitute: Substitute, span: Span, options: tuple[str, ...] = ()
    ) -> None:
        """Note a variable that leads elsewhere, and which ``options`` in it do."""
        new = _Unsupported(substitute, span)
        self._unsupported.setdefault((name, options), new).places += 1

    def _ssh_arguments(
        self, entries: Sequence[Entry], names: Collection[str], priority: int
    ) -> Iterator[Declared]:
        """Yield the bastions that arguments of ``ssh`` name; of several, as ``ssh`` does, one.

        Variables without one that is taken hide the same variables farther away; a way that can't
        be taken hides those that come later for ``ssh`` too.
        """
        is_set = "jump" in names
        hidden: dict[str, Span] = {}
        for entry in sorted(entries, key=lambda entry: SSH_ARGUMENTS.index(entry.key.text)):
            name, value = entry.key.text, entry.value
            found = read_ssh_arguments(_words(value))
            left = tuple(item for item in found.left if not (is_set and item in _BASTIONS))
            if left:
                self._add_unsupported(name, substitute_for_options(left), entry.key.span, left)
            elif found.jump is None or is_set:
                self.ignored.setdefault(name, entry.key.span)
            if found.jump is not None and not is_set:
                is_set = True
                yield Declared("jump", found.jump, value.span, priority, name)
            else:
                hidden.setdefault(name, value.span)
            if not is_set and not _BASTIONS.isdisjoint(left):
                # It comes first for 'ssh' all the same: no later one counts.
                is_set = True
                for later in SSH_ARGUMENTS[SSH_ARGUMENTS.index(name) :]:
                    hidden.setdefault(later, value.span)
        if "jump" not in names:
            for name, span in hidden.items():
                yield Declared("jump", None, span, priority, name)

    def _settings(self, node: Mapping, priority: int) -> Iterator[Declared]:
        names = effective_names(node)
        arguments: list[Entry] = []
        for entry in node:
            written = entry.key.text
            if written not in names:
                continue
            if written in SSH_ARGUMENTS:
                arguments.append(entry)
                continue
            key = ALIASES.get(written, written)
            if says_nothing(written, entry.value):
                yield Declared(key, None, entry.value.span, priority, written)
                continue
            if key == "env":
                yield from self._env(entry.value, priority)
                continue
            if key.startswith(VARIABLE_PREFIX) or is_other_become_method(written, entry.value):
                self._not_taken(written, entry, names)
                continue
            value = _value(key, entry.value, from_ansible=written in ALIASES)
            if value is None:
                if written in ALIASES:
                    self._wrong_alias(written, entry.value)
                continue
            problem = _problem(key, value)
            if problem is not None:
                # What is no setting at all is an error already.
                if is_setting(key):
                    self.diagnostics.append(
                        error("bad-value", f'"{written}" {problem[0]}', entry.value.span,
                              hint=problem[1])
                    )  # fmt: skip
                continue
            yield Declared(key, value, entry.value.span, priority, written)
        if arguments:
            yield from self._ssh_arguments(arguments, names, priority)

    def _env(self, node: Node, priority: int) -> Iterator[Declared]:
        entries, problems = read_env(node)
        self.diagnostics.extend(problems)
        for item in entries:
            key = ENV_PREFIX + item.name
            yield Declared(key, item.value, item.span, priority, key)

    def _wrong_alias(self, written: str, node: Node) -> None:
        self.diagnostics.append(
            error(
                "wrong-type",
                f'"{written}" has a value that does not fit "{ALIASES[written]}"',
                node.span,
                hint="write one value, and put quotes around text",
            )
        )


def _value(key: str, node: Node, *, from_ansible: bool) -> Value | None:
    """Return the setting's value in its own type, ``None`` where the node is of another."""
    if key == "jump" and isinstance(node, SequenceNode):
        items = [item.value for item in node.items if isinstance(item, Scalar)]
        hops = tuple(item for item in items if isinstance(item, str))
        return hops if len(hops) == len(node.items) else None
    if not isinstance(node, Scalar):
        return None
    value = node.value
    if key in _BOOLEANS:
        return _boolean(value, from_ansible=from_ansible)
    if key == "port":
        return _port(value)
    if key == "timeout_ms" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return None
    if key == "jump":
        return () if value == "none" else tuple(item.strip() for item in value.split(","))
    if key == "connection" and from_ansible:
        return CONNECTIONS.get(value, value)
    if key == "become_method" and from_ansible:
        return BECOME_METHODS.get(value, value)
    return value


def _words(node: Node) -> str:
    """Return arguments as text; what is none is no arguments that could be taken apart."""
    if not isinstance(node, Scalar):
        return "'"
    return node.value if isinstance(node.value, str) else node.text


def boolean_of(value: object) -> bool | None:
    """Return whether a value means yes or no to Ansible, ``None`` where it means neither."""
    return value if isinstance(value, bool) else _WORDS.get(str(value).lower())


def _boolean(value: object, *, from_ansible: bool) -> bool | None:
    if isinstance(value, bool):
        return value
    return boolean_of(value) if from_ansible else None


def _port(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    # Other text is an error about the port's range, since the schema allows text.
    return 0 if isinstance(value, str) else None


def _problem(key: str, value: Value) -> Problem | None:
    """Return what is wrong with the value of ``key``, and what to do about it."""
    if isinstance(value, str) and "{{" in value and key not in _FREE_TEXT:
        problem = "holds a template of Ansible's, which is not filled in here"
        return problem, FILLED_IN_BY_ANSIBLE
    if key in _RULES:
        holds, problem_and_hint = _RULES[key]
        return None if holds(value) else problem_and_hint
    check = _CHECKS.get(key)
    return check(value) if check is not None else None


def _path_problem(value: Value) -> Problem | None:
    path = str(value)
    if not path or path.rpartition("/")[2] in {"", "."}:
        return "names no file", "name the file itself, such as /opt/aegis/aegis.config.json"
    if _CONTROL.search(path):
        return "holds a control character", "remove it"
    if path.startswith("~"):
        return (
            "begins with '~', which is not expanded on the host",
            "leave out '~/': a relative path begins at the login directory",
        )
    if ".." in path.split("/"):
        return "holds '..'", "write the path without it"
    return _reference_problem(path)


def _local_path_problem(value: Value) -> Problem | None:
    path = str(value)
    if not path or _CONTROL.search(path):
        return "names no file", "name the private key's file"
    return _reference_problem(path)


def _reference_problem(path: str) -> Problem | None:
    if "${" in path:
        return "holds a '${', which is not filled in here", "write the path itself"
    return None


def reason_problem(value: Value) -> Problem | None:
    """Return what is wrong with the reason of a pin, and what to do about it."""
    text = str(value)
    if not text.strip() or _CONTROL.search(text) or len(text) > LONGEST_REASON:
        return "is no reason", f"write one line of {LONGEST_REASON} characters at most"
    if looks_secret(text):
        return "holds what looks like a token", "say it in words: this file holds no secret"
    return None


def _is_bastions(value: Value) -> bool:
    return isinstance(value, tuple) and all(parse_bastion(hop) for hop in value)


def _is_host_and_port(value: Value) -> bool:
    bastion = parse_bastion(str(value))
    return bastion is not None and bastion.user is None and bastion.port is not None


_RULES: dict[str, tuple[Callable[[Value], bool], Problem]] = {
    "address": (
        lambda value: is_address(str(value)),
        ("is no host name or IP address", f"an address is made of {ALLOWED}"),
    ),
    "port": (
        lambda value: isinstance(value, int) and is_port(value),
        ("is no TCP port", "a port is a number from 1 to 65535"),
    ),
    "connection": (
        lambda value: value in {"ssh", "local"},
        ("must be ssh or local", "other ways to connect are not offered"),
    ),
    "jump": (_is_bastions, ("is no bastion", "write [user@]host[:port], or a list of them")),
    **dict.fromkeys(
        ("user", "become_user"),
        (
            lambda value: is_name(str(value)),
            ("is no user name", f"a user's name is made of {ALLOWED}"),
        ),
    ),
    "become_method": (
        lambda value: value in {"sudo", "doas"},
        ("must be sudo or doas", "other ways to become a user are not offered"),
    ),
    "sftp_server_path": (
        lambda value: _PROGRAM.fullmatch(str(value)) is not None,
        ("is no absolute path of a program", "write it as /usr/lib/openssh/sftp-server"),
    ),
    "site": (
        lambda value: _SITE.fullmatch(str(value)) is not None,
        ("is no site", "a site's name is made of letters, digits, '.', '_' and '-'"),
    ),
    "service": (
        lambda value: _UNIT.fullmatch(str(value)) is not None,
        ("is no systemd unit", "write the unit's name, such as aegis or aegis.service"),
    ),
    "restart_command": (
        lambda value: bool(str(value).strip()) and not _CONTROL.search(str(value)),
        ("is no command", "write one line"),
    ),
    "api": (
        _is_host_and_port,
        ("is not HOST:PORT", "write it as the host itself sees it, such as 127.0.0.1:9100"),
    ),
    "pin_until": (
        lambda value: parse_date(str(value)) is not None,
        ("is no date", "write the last day as YYYY-MM-DD, such as 2026-12-31"),
    ),
}
"""What the value of a setting has to be, and what is told where it is not."""

_CHECKS: dict[str, Callable[[Value], Problem | None]] = {
    "config_path": _path_problem,
    "identity_file": _local_path_problem,
    "pin_reason": reason_problem,
}
