"""The hops of a connection: jump hosts (bastions) and the host, by inventory and ssh config.

:mod:`~aegis_provision.transport.ssh.connect_through_jump_hosts` connects through them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.inventory.addresses import parse_bastion
from aegis_provision.transport.ssh.known_hosts import entry_names
from aegis_provision.transport.ssh.ssh_config import (
    SshConfig,
    SshConfigError,
    at_home,
    read_ssh_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.ssh.ssh_config import AddressFamily, HostOptions

_DEFAULT_PORT = 22
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_MOST_HOPS = 8
_STEP = "ssh config"


@dataclass(frozen=True, slots=True)
class Hop:
    """One SSH server to connect to: a jump host, or the host itself.

    ``key_names`` are the names that its key may be kept under, the first one its own.
    ``files_named`` is false if ``identity_files`` are only the default ones, which need not be
    there. ``use_agent`` says whether any of the agent's keys may be offered, or only those that
    belong to ``identity_files``. ``revoked_keys`` is the path of a file of keys to refuse.

    ``known_hosts`` are all the files to trust; ``new_keys_file`` is the one that
    ``--host-key accept-new`` adds keys to, ``None`` where there is none to save them in.
    ``identity_agent`` is the path of the agent's socket, ``None`` for no agent, and
    ``certificate_files`` are those of CertificateFile. ``proxy_command`` is a ProxyCommand with its
    tokens filled in, set only where it leads to the first hop. ``connect_timeout`` and
    ``server_alive_interval`` are seconds, ``None`` where the config says nothing. The algorithms
    are lists as they are written, with a ``+``, ``-`` or ``^``, ``None`` for the defaults.
    """

    host: str
    port: int
    user: str
    key_names: tuple[str, ...]
    identity_files: tuple[str, ...]
    files_named: bool
    use_agent: bool
    revoked_keys: str | None
    known_hosts: tuple[Path, ...]
    new_keys_file: Path | None
    identity_agent: str | None
    certificate_files: tuple[str, ...] = ()
    proxy_command: str | None = None
    address_family: AddressFamily = "any"
    bind_address: str | None = None
    connect_timeout: float | None = None
    server_alive_interval: int | None = None
    server_alive_count_max: int | None = None
    host_key_algorithms: str | None = None
    pubkey_accepted_algorithms: str | None = None
    ca_signature_algorithms: str | None = None

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
        if index == len(hops) - 1:
            raise
        step = f"bastion {hops[index].key_name}: {problem.step}"
        raise Unreachable(step, problem.reason, problem.hint) from None


def resolve_hops(target: Target, options: ConnectOptions) -> tuple[Hop, ...]:
    """Return the servers to connect through, the host itself last. Raises :class:`Unreachable`."""
    try:
        return _resolve(target, options)
    except SshConfigError as problem:
        raise Unreachable(_STEP, str(problem), "correct it, or say --ssh-config none") from None


def _resolve(target: Target, options: ConnectOptions) -> tuple[Hop, ...]:
    config = _config(
        options.ssh_config, options.home, options.login_name, options.environ.get("HOME")
    )
    found = config.lookup(
        target.address, user=target.user, port=target.port, through=bool(target.jump)
    )
    last = _hop(found, target.user, target.port, target.identity_file, options)
    jump = target.jump if target.jump is not None else found.proxy_jump
    if jump is None and found.proxy_command is not None:
        raise Unreachable(
            _STEP,
            "ProxyCommand is set for this host and is not supported",
            "use ProxyJump there, or 'jump' in the inventory",
        )
    return (*_jump_hosts(jump or (), config, options, _MOST_HOPS), last)


@lru_cache(maxsize=16)
def _config(path: Path | None, home: Path, local_user: str, home_variable: str | None) -> SshConfig:
    return read_ssh_config(path, home=home, local_user=local_user, home_variable=home_variable)


def _jump_hosts(
    names: tuple[str, ...], config: SshConfig, options: ConnectOptions, hops_left: int
) -> tuple[Hop, ...]:
    if len(names) > hops_left:
        raise Unreachable(_STEP, f"more than {_MOST_HOPS} bastions", "is one behind itself?")
    hops: list[Hop] = []
    for index, name in enumerate(names):
        bastion = parse_bastion(name)
        if bastion is None:
            raise Unreachable(_STEP, "ProxyJump is not [user@]host[:port]", "correct it")
        found = config.lookup(bastion.host, user=bastion.user, port=bastion.port, through=index > 0)
        if index == 0 and found.proxy_jump:
            hops.extend(_jump_hosts(found.proxy_jump, config, options, hops_left - len(names)))
        hops.append(_hop(found, bastion.user, bastion.port, None, options))
    return tuple(hops)


def _hop(
    found: HostOptions,
    user: str | None,
    port: int | None,
    identity_file: str | None,
    options: ConnectOptions,
) -> Hop:
    number = port or found.port or _DEFAULT_PORT
    files: tuple[str, ...]
    if identity_file is not None:
        files = (at_home(identity_file, options.home),)
    elif found.identity_files:
        files = found.identity_files
    else:
        files = tuple(str(options.home / ".ssh" / name) for name in _DEFAULT_KEYS)
    known_hosts, new_keys_file = _known_hosts(found, options)
    return Hop(
        host=found.host_name,
        port=number,
        user=user or found.user or options.login_name,
        key_names=_key_names(found, number),
        identity_files=files,
        files_named=identity_file is not None or bool(found.identity_files),
        use_agent=identity_file is None and not found.identities_only,
        revoked_keys=found.revoked_host_keys,
        known_hosts=known_hosts,
        new_keys_file=new_keys_file,
        identity_agent=_agent_socket(found, options),
        certificate_files=found.certificate_files,
        address_family=found.address_family,
        bind_address=found.bind_address,
        connect_timeout=found.connect_timeout,
        server_alive_interval=found.server_alive_interval,
        server_alive_count_max=found.server_alive_count_max,
        host_key_algorithms=found.host_key_algorithms,
        pubkey_accepted_algorithms=found.pubkey_accepted_algorithms,
        ca_signature_algorithms=found.ca_signature_algorithms,
    )


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
