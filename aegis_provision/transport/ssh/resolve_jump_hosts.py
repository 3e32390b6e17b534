"""The hops of a connection: jump hosts (bastions) and the host, by inventory and ssh config.

:mod:`~aegis_provision.transport.ssh.connect_through_jump_hosts` connects through them.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.inventory.addresses import parse_bastion
from aegis_provision.transport.connect_options import LoginSecrets
from aegis_provision.transport.open_files import raise_shortage
from aegis_provision.transport.ssh.known_hosts import entry_names
from aegis_provision.transport.ssh.ssh_config import SshConfig, read_ssh_config
from aegis_provision.transport.ssh.ssh_config_lookup import Query
from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError
from aegis_provision.transport.ssh.ssh_config_tokens import TokenError, at_home
from aegis_provision.transport.tcp import DIRECT, Way
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.providers.secret import Secret
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.ssh.ssh_config import HostOptions

_DEFAULT_PORT = 22
DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
MOST_HOPS = 8
"""How many bastions there may be on the way to a host."""

_STEP = "ssh config"
_BASTION = "bastion "


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server to connect to: a jump host, or the host itself.

    ``key_names`` are the names that its key may be kept under, the first one its own.
    ``files_named`` is false if ``identity_files`` are only the default ones, which need not be
    there. ``use_agent`` says whether any of the agent's keys may be offered, or only those that
    belong to ``identity_files``. ``revoked_keys`` are the paths of files of keys to refuse.

    ``known_hosts`` are all the files to trust; ``new_keys_file`` is the one that
    ``--host-key accept-new`` adds keys to, ``None`` where there is none to save them in.
    ``identity_agent`` is the path of the agent's socket, ``None`` for no agent, and
    ``certificate_files`` are those of CertificateFile. ``methods`` are the ways to log in that the
    config leaves, in its order. ``proxy_command`` is a ProxyCommand with its tokens filled in, set
    only where it leads to the first hop; else ``way`` is how the first connection leaves.
    ``connect_timeout`` and ``server_alive_interval`` are seconds, ``None`` where the config says
    nothing. The algorithms are lists as they are written, with a ``+``, ``-`` or ``^``, ``None``
    for the defaults; ``required_rsa_size`` is the fewest bits of an RSA key.
    ``passphrase`` opens key files; ``password`` is the host's own, and never a jump host's.
    """

    host: str
    port: int
    user: str
    key_names: tuple[str, ...]
    identity_files: tuple[str, ...]
    files_named: bool
    use_agent: bool
    revoked_keys: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    new_keys_file: Path | None
    identity_agent: str | None
    certificate_files: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("publickey", "keyboard-interactive", "password")
    proxy_command: str | None = None
    way: Way = DIRECT
    connect_timeout: float | None = None
    server_alive_interval: int | None = None
    host_key_algorithms: str | None = None
    pubkey_accepted_algorithms: str | None = None
    ca_signature_algorithms: str | None = None
    kex_algorithms: str | None = None
    ciphers: str | None = None
    macs: str | None = None
    required_rsa_size: int | None = None
    passphrase: Secret | None = field(default=None, repr=False, compare=False)
    password: Secret | None = field(default=None, repr=False, compare=False)

    @property
    def key_name(self) -> str:
        """Return the name that its key is kept under."""
        return self.key_names[0]


@contextmanager
def at_hop(hops: Sequence[Hop], index: int) -> Iterator[None]:
    """Name the jump host in an :class:`Unreachable` that is raised before the last hop."""
    try:
        yield
    except Unreachable as problem:
        if index == len(hops) - 1 or problem.step.startswith(_BASTION):
            raise
        step = f"{_BASTION}{hops[index].key_name}: {problem.step}"
        raise Unreachable(
            step, problem.reason, problem.hint, stage=problem.stage, passing=problem.passing
        ) from None


def resolve_hops(target: Target, options: ConnectOptions) -> tuple[Hop, ...]:
    """Return the servers to connect through, the host itself last.

    Raises :class:`Unreachable`, and ``OSError`` where this machine has no file or memory left.
    """
    try:
        hops = _resolve(target, options)
    except (SshConfigError, TokenError) as problem:
        raise Unreachable(_STEP, str(problem), "correct it, or say --ssh-config none") from None
    secrets = options.login_secrets.get(target.host, LoginSecrets())
    *jump_hosts, host = (replace(hop, passphrase=secrets.passphrase) for hop in hops)
    return (*jump_hosts, replace(host, password=secrets.password))


def ssh_config_of(options: ConnectOptions) -> SshConfig:
    """Return the ssh config, which is not read again unless its files changed.

    Raises :class:`SshConfigError`.
    """
    # One thread reads it for all: what they find out by its commands is kept with it.
    with _READING:
        return _config(
            options.ssh_config,
            options.system_ssh_config,
            (_version(options.ssh_config), _version(options.system_ssh_config)),
            options.home,
            options.login_name,
            frozenset(options.environ.items()),
            options.timeout,
        )


_READING = threading.Lock()


_Version = tuple[int, int, int]


def _version(path: Path | None) -> _Version | None:
    try:
        found = path.stat() if path is not None else None
    except OSError as problem:
        raise_shortage(problem)
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _config(
    path: Path | None,
    system_path: Path | None,
    versions: tuple[_Version | None, _Version | None],  # noqa: ARG001 - the cache's key
    home: Path,
    local_user: str,
    environ: frozenset[tuple[str, str]],
    timeout: float,
) -> SshConfig:
    return read_ssh_config(
        path,
        home=home,
        local_user=local_user,
        environ=dict(environ),
        system_path=system_path,
        timeout=timeout,
    )


def query_of(target: Target) -> Query:
    """Return what is asked of the ssh config for ``target``."""
    through = None if target.jump is None else bool(target.jump)
    return Query(target.address, target.user, target.port, through)


def jump_queries(names: Sequence[str]) -> tuple[Query, ...]:
    """Return what is asked of the ssh config for jump hosts. Raises :class:`Unreachable`."""
    queries = []
    for index, name in enumerate(names):
        bastion = parse_bastion(name)
        if bastion is None:
            raise Unreachable(_STEP, "ProxyJump is not [user@]host[:port]", "correct it")
        # The first one's own way counts; the others are reached over those before them.
        through = True if index else None
        queries.append(Query(bastion.host, bastion.user, bastion.port, through, jump_host=True))
    return tuple(queries)


def _resolve(target: Target, options: ConnectOptions) -> tuple[Hop, ...]:
    config, query = ssh_config_of(options), query_of(target)
    found = config.lookup(query)
    last = _hop(found, query, target.identity_file, options)
    jump = found.proxy_jump if target.jump is None else target.jump
    if jump:
        return (*_jump_hosts(jump, config, options, MOST_HOPS), last)
    return (last if target.jump is None else replace(last, proxy_command=None),)


def _jump_hosts(
    names: tuple[str, ...], config: SshConfig, options: ConnectOptions, hops_left: int
) -> tuple[Hop, ...]:
    if len(names) > hops_left:
        raise Unreachable(_STEP, f"more than {MOST_HOPS} bastions", "is one behind itself?")
    hops: list[Hop] = []
    for index, query in enumerate(jump_queries(names)):
        found = config.lookup(query)
        if index == 0 and found.proxy_jump:
            hops.extend(_jump_hosts(found.proxy_jump, config, options, hops_left - len(names)))
        hops.append(_hop(found, query, None, options))
    return tuple(hops)


def _hop(
    found: HostOptions, query: Query, identity_file: str | None, options: ConnectOptions
) -> Hop:
    number = found.port or _DEFAULT_PORT
    files: tuple[str, ...]
    if identity_file is not None:
        files = (at_home(identity_file, options.home),)
    elif found.identity_files is not None:
        files = found.identity_files
    else:
        files = tuple(str(options.home / ".ssh" / name) for name in DEFAULT_KEYS)
    by_key = "publickey" in found.methods
    known_hosts, new_keys_file = _known_hosts(found, options)
    return Hop(
        host=found.host_name,
        port=number,
        user=found.user or options.login_name,
        key_names=_key_names(found, number),
        identity_files=files if by_key else (),
        files_named=identity_file is not None or found.identity_files is not None,
        use_agent=by_key and identity_file is None and not found.identities_only,
        revoked_keys=found.revoked_host_keys,
        known_hosts=known_hosts,
        new_keys_file=new_keys_file,
        identity_agent=_agent_socket(found, options),
        certificate_files=found.certificate_files,
        methods=found.methods,
        proxy_command=_proxy_command(found, query),
        way=Way(found.address_family, found.bind_address, found.bind_interface),
        connect_timeout=found.connect_timeout,
        server_alive_interval=found.server_alive_interval,
        host_key_algorithms=found.host_key_algorithms,
        pubkey_accepted_algorithms=found.pubkey_accepted_algorithms,
        ca_signature_algorithms=found.ca_signature_algorithms,
        kex_algorithms=found.kex_algorithms,
        ciphers=found.ciphers,
        macs=found.macs,
        required_rsa_size=found.required_rsa_size,
    )


def _proxy_command(found: HostOptions, query: Query) -> str | None:
    """Return the ProxyCommand that leads to a hop, if it is the first one."""
    if query.through is not None or found.proxy_jump or found.proxy_command is None:
        return None
    if found.proxy_command == "-":
        raise Unreachable(
            _STEP,
            f"ProxyCommand - takes the connection from our own input for {query.host}, "
            "and is not supported",
            "use a command that makes the connection",
        )
    if found.proxy_use_fdpass:
        raise Unreachable(
            _STEP,
            f"ProxyUseFdpass is set for {query.host} beside its ProxyCommand, and is not supported",
            "use a ProxyCommand that carries the connection itself (ProxyUseFdpass no)",
        )
    return found.proxy_command


def _known_hosts(
    found: HostOptions, options: ConnectOptions
) -> tuple[tuple[Path, ...], Path | None]:
    """Return the files to trust, and the one to add keys to: --known-hosts wins over the config.

    Keys are never added where they would be lost: to no file, or to a device.
    """
    users: Sequence[Path] = options.known_hosts
    systems: Sequence[Path] = ()
    if not options.known_hosts_named:
        ssh, system = options.home / ".ssh", Path("/etc/ssh")
        users = (ssh / "known_hosts", ssh / "known_hosts2")
        systems = (system / "ssh_known_hosts", system / "ssh_known_hosts2")
        if found.user_known_hosts is not None:
            users = tuple(map(Path, found.user_known_hosts))
        if found.global_known_hosts is not None:
            systems = tuple(map(Path, found.global_known_hosts))
    first = users[0] if users else None
    saves = first is not None and (first.is_file() or not first.exists())
    return (*users, *systems), first if saves else None


def _agent_socket(found: HostOptions, options: ConnectOptions) -> str | None:
    """Return the agent's socket (``IdentityAgent`` of ssh_config(5))."""
    agent = found.identity_agent
    if agent is None or agent == "SSH_AUTH_SOCK":
        return options.agent_socket
    if agent.lower() == "none":
        return None
    if agent.startswith("$"):
        return options.environ.get(agent[1:]) or None
    return agent


def _key_names(found: HostOptions, port: int) -> tuple[str, ...]:
    if found.host_key_alias is not None:
        return (found.host_key_alias.lower(),)
    return entry_names(found.host_name, port)
