"""Goes through an ssh config for one host, as OpenSSH's client does, and keeps what counts.

The first value wins; Include, Host and Match count where they stand. If a ``Match final`` or
CanonicalizeHostname asks for it, the same files are gone through a second time: by then the host's
real name is known, and what the first pass set stays.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import defaultdict
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import escape_control
from aegis_provision.inventory.addresses import parse_bastion
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.canonical_names import CanonicalNames, NoSuchNameError
from aegis_provision.transport.ssh.known_hosts import matches
from aegis_provision.transport.ssh.match_commands import MatchCommandError, MatchCommands
from aegis_provision.transport.ssh.ssh_config_reader import (
    WITHOUT_ARGUMENT,
    Block,
    Criterion,
    Include,
    Option,
    Place,
    SshConfigError,
    SshConfigReader,
    Unknown,
    jump_names,
    port_number,
    unknown_keyword,
)
from aegis_provision.transport.ssh.ssh_config_tokens import TokenError, connection_tokens, fill_in
from aegis_provision.transport.tcp import FAMILIES, look_up_now
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aegis_provision.transport.tcp import AddressFamily

Found: TypeAlias = "dict[str, list[Option]]"

VERSION = "OpenSSH_10.5p1"
"""What ``Match version`` is compared with: the client whose keywords we know."""

_DEFAULT_PORT = 22
_FEW_BLOCKS = 32
_MANY = frozenset({"identityfile", "certificatefile"})
_YES = frozenset({"yes", "true"})
_NO = frozenset({"no", "false"})
_ASKED = Place(Path("the inventory"), 0, users_own=True)
_WILD = re.compile(r"[*?!]")


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: a host, by the name in the inventory or in a ProxyJump.

    ``user`` and ``port`` are those that were named there. ``through`` says that jump hosts are
    named elsewhere, ``False`` that there are none, ``None`` that the config decides. A
    ``jump_host`` is only gone through.
    """

    host: str
    user: str | None = None
    port: int | None = None
    through: bool | None = None
    jump_host: bool = False


@dataclass(frozen=True, slots=True)
class _Index:
    """Which blocks name a host in plain, and which must be looked at for every host."""

    plain: Mapping[str, tuple[int, ...]]
    others: tuple[int, ...]

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> _Index:
        plain: defaultdict[str, list[int]] = defaultdict(list)
        others = []
        for number, block in enumerate(blocks):
            if block.kind != "host" or any(map(_WILD.search, block.patterns)):
                others.append(number)
                continue
            for pattern in dict.fromkeys(block.patterns):
                plain[pattern].append(number)
        return cls({name: tuple(numbers) for name, numbers in plain.items()}, tuple(others))

    def candidates(self, blocks: Sequence[Block], name: str) -> list[Block]:
        return [blocks[at] for at in sorted((*self.plain.get(name, ()), *self.others))]


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """The files of a config, in their order, and what it takes to go through them.

    ``local_user`` is who runs the tool. ``options`` are all that stand in the files, but for those
    of Includes that depend on the host (``has_includes_for_hosts``).
    """

    files: tuple[tuple[SshConfigReader, tuple[Block, ...]], ...]
    home: Path
    local_user: str
    environ: Mapping[str, str] = field(repr=False)
    commands: MatchCommands
    names: CanonicalNames
    options: tuple[Option, ...]
    has_includes_for_hosts: bool
    has_unknown: bool
    wants_final: bool
    _included: dict[tuple[bool, str], tuple[tuple[Block, ...], ...]] = field(
        default_factory=dict, repr=False
    )
    _indexes: dict[int, _Index] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        files: Sequence[tuple[SshConfigReader, tuple[Block, ...]]],
        home: Path,
        local_user: str,
        environ: Mapping[str, str],
        timeout: float,
    ) -> ConfigFiles:
        """Return ``files`` with nothing asked yet; ``timeout`` bounds each question (seconds)."""
        items = [item for _, blocks in files for item in _items(blocks)]
        return cls(
            tuple(files),
            home,
            local_user,
            environ,
            MatchCommands(environ, timeout),
            CanonicalNames(timeout),
            tuple(item for item in items if isinstance(item, Option)),
            any(isinstance(item, Include) for item in items),
            any(isinstance(item, Unknown) for item in items),
            any(wants_final(blocks) for _, blocks in files),
        )

    def included(
        self, reader: SshConfigReader, item: Include, tokens: Mapping[str, str]
    ) -> tuple[tuple[Block, ...], ...]:
        """Return what an Include with tokens in it leads to. Raises :class:`SshConfigError`."""
        try:
            pattern = fill_in(item.pattern, tokens, self.environ)
        except TokenError:  # OpenSSH's client goes on without it
            return ()
        key = reader.users_own, pattern
        if key not in self._included:
            self._included[key] = tuple(reader.included(pattern, item.depth))
        return self._included[key]

    def candidates(self, blocks: tuple[Block, ...], name: str) -> Iterable[Block]:
        """Return those of ``blocks`` that may be about ``name``: not the Hosts of other names."""
        if len(blocks) < _FEW_BLOCKS:
            return blocks
        index = self._indexes.get(id(blocks))
        if index is None:
            index = self._indexes[id(blocks)] = _Index.of(blocks)
        return index.candidates(blocks, name)


class Lookup:
    """Goes through a config for one host; what it finds is in ``found``, in order.

    Unless ``decided``, what depends on a program may or may not apply: then ``found`` has every
    value that may win, and no name is looked for in DNS.
    """

    def __init__(self, config: ConfigFiles, query: Query, *, decided: bool = True) -> None:
        """Begin with what was asked for, which wins over the config."""
        self._config, self._query, self._decided = config, query, decided
        self.found: Found = {}
        self.name = query.host
        self._final = False
        self._maybe = False
        self._strict = config.has_unknown
        self._wants_final = config.wants_final
        self._open: set[str] = set()
        asked = {
            "user": query.user,
            "port": None if query.port is None else str(query.port),
            "proxyjump": {None: None, True: "elsewhere", False: "none"}[query.through],
        }
        for key, value in asked.items():
            if value is not None:
                self.found[key] = [Option(key, (value,), _ASKED)]

    def run(self) -> Lookup:
        """Go through the files, a second time where they ask for it."""
        self._pass()
        self.name = _real_name(self._host_name(), self._family())
        canonical = self._first("canonicalizehostname", "no").lower()
        if canonical not in _NO:
            self._canonicalize(canonical)
        if canonical not in _NO or self._wants_final:
            self._final = True
            self._pass()
        return self

    def _pass(self) -> None:
        for reader, blocks in self._config.files:
            self._gather(reader, blocks, active=True)

    def _gather(self, reader: SshConfigReader, blocks: tuple[Block, ...], *, active: bool) -> None:
        every = self._strict or not active
        for block in blocks if every else self._config.candidates(blocks, self.name):
            before = self._maybe
            applies: bool | None = active and self._applies(block)
            if applies is None:
                self._maybe = True
            if applies is not False or self._strict:
                for item in block.body:
                    self._take(reader, item, active=applies is not False)
            self._maybe = before

    def _take(self, reader: SshConfigReader, item: object, *, active: bool) -> None:
        if isinstance(item, Option):
            if active:
                self._keep(item)
        elif isinstance(item, Unknown):
            ignored = self._first("ignoreunknown", "")
            if not ignored or not matches(item.key, ignored.lower().split(",")):
                raise unknown_keyword(item)
        elif isinstance(item, Include):
            for blocks in self._config.included(reader, item, self.tokens()):
                self._wants_final |= wants_final(blocks)
                self._gather(reader, blocks, active=active)
        else:
            self._gather(reader, cast("tuple[Block, ...]", item), active=active)

    def _keep(self, option: Option) -> None:
        """Keep an option, if it is the first of its name. Of two proxies, the first one counts."""
        key, found = option.key, self.found
        if key == "refuseconnection" and self._decided:
            raise SshConfigError(f"{option.place}: RefuseConnection: {quote(option.value)}")
        if key in _MANY:
            found.setdefault(key, []).append(option)
            return
        if key == "proxyjump" and "proxycommand" in found:
            return
        if key == "proxycommand" and not none(self._first("proxyjump", "none")):
            return
        if key not in found:
            found[key] = [option]
            if self._maybe:
                self._open.add(key)
        elif key in self._open:
            found[key].append(option)
            if not self._maybe:
                self._open.discard(key)

    @property
    def asks_for_user(self) -> bool:
        """Tell whether the user was named with the host, not in the config."""
        return self._query.user is not None

    def _first(self, key: str, default: str) -> str:
        return self.found[key][0].value if key in self.found else default

    def _applies(self, block: Block) -> bool | None:
        """Tell whether ``block`` is about the host; ``None`` if only a program could tell."""
        if block.kind == "always":
            return True
        if block.kind == "host":
            return matches(self.name, block.patterns)
        result: bool | None = True
        for criterion in block.criteria:
            if criterion.name == "exec" and not result:
                continue  # OpenSSH's client runs no program then
            met = self._is_met(criterion, block.place)
            if met is None:
                result = None if result else result
            elif not met:
                result = False
        return result

    def _is_met(self, criterion: Criterion, place: Place) -> bool | None:
        if criterion.name in WITHOUT_ARGUMENT:
            return (criterion.name == "all" or self._final) != criterion.negated
        if criterion.name == "exec":
            if not self._decided:
                return None
            return self._succeeds(criterion.value, place) != criterion.negated
        if criterion.name == "localnetwork":
            return _is_local(criterion.value) != criterion.negated
        subject, value = self._subject(criterion.name), criterion.value
        if criterion.name in {"host", "originalhost"}:
            value = value.lower()
        met = matches(subject, value.split(",")) if subject else not value
        return met != criterion.negated

    def _subject(self, name: str) -> str:
        """Return what a criterion is about, as it is by now."""
        match name:
            case "host":
                return (self.name if self._final else self._host_name()).lower()
            case "originalhost":
                return self._query.host.lower()
            case "user":
                return self._first("user", self._config.local_user)
            case "localuser":
                return self._config.local_user
            case "tagged":
                return self._first("tag", "")
            case "sessiontype":
                return "none" if self._query.jump_host else "shell"
            case "version":
                return VERSION
        return ""  # there is no command

    def _succeeds(self, command: str, place: Place) -> bool:
        text = f"{place}: Match exec"
        try:
            return self._config.commands.succeeds(fill_in(command, self.tokens()))
        except (TokenError, MatchCommandError) as problem:
            raise SshConfigError(f"{text}: {problem}") from None

    def _host_name(self) -> str:
        if "hostname" not in self.found:
            return self.name
        option = self.found["hostname"][0]
        try:
            return fill_in(option.value, {"%%": "%", "%h": self._query.host})
        except TokenError as problem:
            raise at_place(option, "HostName", problem) from None

    def tokens(self) -> dict[str, str]:
        """Return what tokens stand for, by what is known by now."""
        host = self.name if self._final else self._host_name()
        alias = self._first("hostkeyalias", "")
        return self._tokens(host, alias or host)

    def final_tokens(self, remote_user: str) -> dict[str, str]:
        """Return what tokens stand for once everything is known."""
        alias = self._first("hostkeyalias", "").lower()
        return self._tokens(self.name, alias or self._query.host, remote_user)

    def _tokens(self, host: str, alias: str, remote_user: str | None = None) -> dict[str, str]:
        jump = self._first("proxyjump", "none")
        last = None if none(jump) else parse_bastion(jump_names(jump)[-1])
        return connection_tokens(
            host=host,
            original=self._query.host,
            port=port_number(self._first("port", str(_DEFAULT_PORT))) or _DEFAULT_PORT,
            remote_user=remote_user or self._first("user", self._config.local_user),
            local_user=self._config.local_user,
            home=self._config.home,
            alias=alias,
            jump_host=last.host if last else "",
        )

    def _is_direct(self) -> bool:
        return none(self._first("proxyjump", "none")) and none(self._first("proxycommand", "none"))

    def _canonicalize(self, how: str) -> None:
        """Look for a short name in CanonicalDomains (OpenSSH's ``resolve_canonicalize``)."""
        if not self._decided or is_address(self.name):
            return
        if not self._is_direct() and how != "always":
            return
        if self.name.endswith("."):
            names = [self.name]
        elif self.name.count(".") > int(self._first("canonicalizemaxdots", "1")):
            self._follow_alias(how)
            return
        else:
            names = [f"{self.name}.{domain}." for domain in self._domains()]
        for name in names:
            alias = self._resolve(name)
            if alias is not None:
                self.name = self._permitted_alias(name.removesuffix("."), alias)
                return
        if self._first("canonicalizefallbacklocal", "yes").lower() not in _YES:
            raise SshConfigError(
                f"CanonicalizeHostname finds {quote(self.name)} in no domain, "
                "and CanonicalizeFallbackLocal is no"
            )
        self._follow_alias(how)

    def _domains(self) -> Iterator[str]:
        options = self.found.get("canonicaldomains")
        for domain in options[0].values if options else ():
            if none(domain):
                return
            yield domain.lower().removesuffix(".")

    def _follow_alias(self, how: str) -> None:
        """Follow an alias of a name as it is, if CNAMEs are permitted."""
        if self._permitted() and (self._is_direct() or how == "always"):
            alias = self._resolve(self.name)
            if alias is not None:
                self.name = self._permitted_alias(self.name, alias)

    def _family(self) -> AddressFamily:
        return cast("AddressFamily", self._first("addressfamily", "any").lower())

    def _resolve(self, name: str) -> str | None:
        try:
            return self._config.names.alias(name, self._family())
        except NoSuchNameError:
            return None

    def _permitted(self) -> tuple[str, ...]:
        rules = self.found.get("canonicalizepermittedcnames")
        return () if rules is None or none(rules[0].value) else rules[0].values

    def _permitted_alias(self, name: str, alias: str) -> str:
        """Return the name to go on with: ``alias``, if a rule permits it for ``name``."""
        for rule in self._permitted():
            sources, _, targets = rule.lower().partition(":")
            if (
                alias
                and alias != name
                and matches(name, sources.split(","))
                and matches(alias, (targets or sources).split(","))
            ):
                return alias.lower()
        return name


def wants_final(blocks: Sequence[Block]) -> bool:
    """Tell whether a ``Match final`` stands anywhere in ``blocks``."""
    return any(
        any(criterion.name == "final" for criterion in block.criteria)
        or any(isinstance(item, tuple) and wants_final(item) for item in block.body)
        for block in blocks
    )


def none(text: str) -> bool:
    """Tell whether a value is ``none``."""
    return text.lower() == "none"


def at_place(option: Option, name: str, problem: Exception) -> SshConfigError:
    """Return the error for an option, called ``name``, that can't be filled in."""
    value = escape_control(option.value)
    return SshConfigError(f"{option.place}: {name} {value}: {problem}")


def is_address(name: str) -> bool:
    """Tell whether OpenSSH's client takes ``name`` for an address, if for a broken one."""
    return "%" in name or ":" in name or not name.strip("0123456789.")


def _items(blocks: Sequence[Block]) -> Iterator[object]:
    for block in blocks:
        for item in block.body:
            if isinstance(item, tuple):
                yield from _items(item)
            else:
                yield item


def _real_name(name: str, family: AddressFamily) -> str:
    """Return ``name`` as OpenSSH's client goes on with it: addresses in their one usual form.

    An address of another family is none to it.
    """
    try:
        [(*_, address), *_] = look_up_now(name, None, FAMILIES[family], socket.AI_NUMERICHOST)
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    except OSError:  # a name, or nothing at all
        return name if is_address(name) else name.lower()


def _is_local(networks: str) -> bool:
    """Tell whether an interface of this machine has an address in one of ``networks``."""
    from aegis_provision.transport.network_interfaces import interface_addresses

    try:
        found = interface_addresses()
    except OSError as problem:
        raise_shortage(problem)
        return False
    return any(
        item.address in ipaddress.ip_network(network)
        for network in networks.split(",")
        for item in found
    )
