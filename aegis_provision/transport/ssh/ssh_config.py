"""The operator's ssh config: a host's name, login, keys and way (ssh_config(5)).

How the files are gone through is in :mod:`~aegis_provision.transport.ssh.ssh_config_lookup`, what
becomes of each keyword in :mod:`~aegis_provision.transport.ssh.ssh_config_keywords`. Host keys are
always checked, also if ``StrictHostKeyChecking`` says no.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, cast

from aegis_provision.transport.ssh.ssh_config_lookup import (
    ConfigFiles,
    Lookup,
    Query,
    at_place,
    none,
)
from aegis_provision.transport.ssh.ssh_config_reader import (
    SshConfigReader,
    jump_names,
    port_number,
    seconds,
)
from aegis_provision.transport.ssh.ssh_config_tokens import TokenError, at_home, fill_in
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aegis_provision.transport.ssh.ssh_config_reader import Option
    from aegis_provision.transport.tcp import AddressFamily

_METHODS = ("publickey", "keyboard-interactive", "password")
_YES = frozenset({"yes", "true"})
_NO = frozenset({"no", "false"})


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What the config says about one host. ``None`` stands for "nothing".

    ``proxy_jump`` is empty for ``none``, and so are files where the config says ``none``; paths and
    ``proxy_command`` have ``~`` and tokens filled in. ``identity_agent`` is a path, ``none``, or
    ``$NAME`` for what a variable of the environment says. The algorithms are as they are written,
    with a ``+``, ``-`` or ``^``; ``methods`` are the ways to log in that are not ruled out.
    """

    host_name: str
    host_key_alias: str | None
    port: int | None
    user: str | None
    identity_files: tuple[str, ...] | None
    identities_only: bool
    revoked_host_keys: tuple[str, ...]
    proxy_jump: tuple[str, ...] | None
    proxy_command: str | None
    proxy_use_fdpass: bool
    user_known_hosts: tuple[str, ...] | None
    global_known_hosts: tuple[str, ...] | None
    identity_agent: str | None
    certificate_files: tuple[str, ...]
    methods: tuple[str, ...]
    address_family: AddressFamily
    bind_address: str | None
    bind_interface: str | None
    connect_timeout: float | None
    server_alive_interval: int | None
    host_key_algorithms: str | None
    pubkey_accepted_algorithms: str | None
    ca_signature_algorithms: str | None
    kex_algorithms: str | None
    ciphers: str | None
    macs: str | None
    required_rsa_size: int | None


@dataclass(frozen=True, slots=True)
class SshConfig:
    """A config that was read; what was looked up is kept, for each host once."""

    files: ConfigFiles
    _found: dict[Query, HostOptions] = field(default_factory=dict, repr=False)

    def lookup(self, query: Query) -> HostOptions:
        """Return what applies to ``query``'s host.

        Raises :class:`SshConfigError` for what OpenSSH's client refuses only for some hosts: a
        value that can't be filled in, a command that gives no answer, a host that is to be refused.
        """
        found = self._found.get(query)
        if found is None:
            found = self._found[query] = _options(Lookup(self.files, query).run(), self.files)
        return found

    def may_say(self, query: Query, keys: frozenset[str]) -> Iterator[Option]:
        """Yield what may be said of ``query``'s host with ``keys``; no program is run for it.

        Where a ``Match exec`` decides, both outcomes are thought of.
        """
        found = Lookup(self.files, query, decided=False).run().found
        for key in sorted(keys):
            yield from found.get(key, ())


def read_ssh_config(
    path: Path | None,
    *,
    home: Path,
    local_user: str,
    environ: Mapping[str, str],
    system_path: Path | None = None,
    timeout: float = 15.0,
) -> SshConfig:
    """Return the config at ``path``, then the system-wide one; ``None`` stands for no file.

    With a ``system_path``, the file at ``path`` is the one that OpenSSH's client reads by itself:
    no other user may be able to write it. ``timeout`` bounds each command and each name (seconds).
    Raises :class:`SshConfigError` for a line that can't be right, or a file that can't be read.
    """
    files = []
    if path is not None:
        reader = SshConfigReader(home, environ)
        files.append((reader, reader.read(path, checked=system_path is not None)))
    if system_path is not None and system_path.exists():
        reader = SshConfigReader(home, environ, users_own=False)
        files.append((reader, reader.read(system_path)))
    return SshConfig(ConfigFiles.of(files, home, local_user, environ, timeout))


def _options(lookup: Lookup, files: ConfigFiles) -> HostOptions:
    found = lookup.found

    def first(key: str) -> str | None:
        return found[key][0].value if key in found else None

    def is_yes(key: str, default: str = "no") -> bool:
        return (first(key) or default).lower() in _YES

    user = _user(lookup, files)
    tokens = lookup.final_tokens(user or files.local_user)
    fill = _Filler(tokens, files)
    port, alias, size = first("port"), first("hostkeyalias"), first("requiredrsasize")
    jump, command = first("proxyjump"), found.get("proxycommand")
    timeout, interval = seconds(first("connecttimeout") or "none"), first("serveraliveinterval")
    agent = found.get("identityagent")
    return HostOptions(
        host_name=lookup.name,
        host_key_alias=None if alias is None else alias.lower(),
        port=None if port is None else port_number(port),
        user=user,
        identity_files=fill.many("IdentityFile", found.get("identityfile")),
        identities_only=is_yes("identitiesonly"),
        revoked_host_keys=fill.files_of("RevokedHostKeys", found.get("revokedhostkeys")) or (),
        proxy_jump=None if jump is None else () if none(jump) else jump_names(jump),
        proxy_command=None if command is None else fill.command(command[0]),
        proxy_use_fdpass=is_yes("proxyusefdpass"),
        user_known_hosts=fill.files_of("UserKnownHostsFile", found.get("userknownhostsfile")),
        global_known_hosts=_as_written(found.get("globalknownhostsfile")),
        identity_agent=None if agent is None else fill.agent(agent[0]),
        certificate_files=fill.many("CertificateFile", found.get("certificatefile")) or (),
        methods=_methods(first, is_yes),
        address_family=cast("AddressFamily", (first("addressfamily") or "any").lower()),
        bind_address=first("bindaddress"),
        bind_interface=first("bindinterface"),
        connect_timeout=timeout or None,
        server_alive_interval=None if interval is None else seconds(interval),
        host_key_algorithms=first("hostkeyalgorithms"),
        pubkey_accepted_algorithms=first("pubkeyacceptedalgorithms"),
        ca_signature_algorithms=first("casignaturealgorithms"),
        kex_algorithms=first("kexalgorithms"),
        ciphers=first("ciphers"),
        macs=first("macs"),
        required_rsa_size=None if size is None else int(size),
    )


def _user(lookup: Lookup, files: ConfigFiles) -> str | None:
    option = lookup.found.get("user")
    if option is None or lookup.asks_for_user:
        return option[0].value if option else None
    tokens = lookup.final_tokens(files.local_user)
    unknown_yet = {"%C", "%r"}
    known = {token: value for token, value in tokens.items() if token not in unknown_yet}
    return _Filler(known, files).text("User", option[0])


def _methods(
    first: Callable[[str], str | None], is_yes: Callable[[str, str], bool]
) -> tuple[str, ...]:
    """Return the ways to log in that the config leaves, in its order."""
    preferred = first("preferredauthentications")
    names = _METHODS if preferred is None else tuple(preferred.split(","))
    ruled_out = set()
    if (first("pubkeyauthentication") or "yes").lower() in _NO:
        ruled_out.add("publickey")
    if not is_yes("passwordauthentication", "yes"):
        ruled_out.add("password")
    if not is_yes("kbdinteractiveauthentication", "yes"):
        ruled_out.add("keyboard-interactive")
    return tuple(name for name in names if name in _METHODS and name not in ruled_out)


def _as_written(options: Sequence[Option] | None) -> tuple[str, ...] | None:
    """Return the files of GlobalKnownHostsFile, in which OpenSSH's client fills nothing in."""
    if options is None:
        return None
    return () if none(options[0].value) else options[0].values


@dataclass(frozen=True, slots=True)
class _Filler:
    """Fills in what options leave open, for one host."""

    tokens: Mapping[str, str]
    files: ConfigFiles

    def text(self, name: str, option: Option, value: str | None = None) -> str:
        try:
            return fill_in(value or option.value, self.tokens, self.files.environ)
        except TokenError as problem:
            raise at_place(option, name, problem) from None

    def path(self, name: str, option: Option, value: str) -> str:
        try:
            return fill_in(at_home(value, self.files.home), self.tokens, self.files.environ)
        except TokenError as problem:
            raise at_place(option, name, problem) from None

    def many(self, name: str, options: Sequence[Option] | None) -> tuple[str, ...] | None:
        """Return the paths of a keyword that may stand several times, without ``none``."""
        if options is None:
            return None
        every: dict[str, Option] = {}
        for option in options:
            if not none(option.value):
                every.setdefault(option.value, option)
        return tuple(self.path(name, option, value) for value, option in every.items())

    def files_of(self, name: str, options: Sequence[Option] | None) -> tuple[str, ...] | None:
        """Return the paths of a keyword that takes several."""
        if options is None:
            return None
        option = options[0]
        if none(option.value):
            return ()
        return tuple(self.path(name, option, value) for value in option.values)

    def agent(self, option: Option) -> str:
        """Return what IdentityAgent says, with a path filled in."""
        value = option.value
        if none(value) or value == "SSH_AUTH_SOCK" or (value[:1] == "$" and value[1:2] != "{"):
            return value
        return self.path("IdentityAgent", option, value)

    def command(self, option: Option) -> str | None:
        """Return a ProxyCommand; it knows fewer tokens, and nothing of the environment."""
        if none(option.value):
            return None
        known = {token: self.tokens[token] for token in ("%%", "%h", "%k", "%n", "%p", "%r")}
        try:
            return fill_in(option.value, known)
        except TokenError as problem:
            raise at_place(option, "ProxyCommand", problem) from None
