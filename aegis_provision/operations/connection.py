"""How to reach hosts: what the operator said, filled up with their environment."""

from __future__ import annotations

import os
import pwd
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import warning
from aegis_provision.errors import InputError
from aegis_provision.humanize import counted, listed
from aegis_provision.rollout.capacity import capacity_of
from aegis_provision.rollout.connection_pool import ConnectionSettings
from aegis_provision.transport.connect_options import ConnectOptions, NoHomeError, home_directory
from aegis_provision.transport.open_files import file_limit, files_left, raise_limit
from aegis_provision.values import dataclass
from aegis_provision.workers.scheduler_address import check_scheduler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Target
    from aegis_provision.providers.secret import Secret
    from aegis_provision.transport.connect_options import LoginSecrets
    from aegis_provision.transport.ssh.connect_through_jump_hosts import LoggedIn

_PLACES = 3
_NO_HOME = Path("/")
"""What login(1) and sshd(8) take for the home of those who have none."""

_NO_SSH_CONFIG = Path("none")
_SYSTEM_SSH_CONFIG = Path("/etc/ssh/ssh_config")


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How hosts are reached, as the operator said it; the defaults are the command line's.

    ``forks`` hosts at once; ``timeout`` bounds one step on a host and ``deadline`` its whole work,
    in seconds. ``ssh_config`` is a path, ``none`` to read no file, or ``None`` for OpenSSH's own;
    without ``known_hosts`` OpenSSH's files count. ``accept_new`` takes unknown host keys.
    ``workers`` processes share the hosts, or with a ``scheduler`` those of its Dask cluster.
    """

    forks: int = 32
    timeout: float = 15.0
    deadline: float = 120.0
    ssh_config: Path | None = None
    known_hosts: tuple[Path, ...] = ()
    accept_new: bool = False
    workers: int = 1
    scheduler: str | None = None


def connection_settings(
    options: ConnectionOptions,
    environ: Mapping[str, str],
    secrets: tuple[Secret, ...],
    logins: Mapping[str, LoginSecrets] | None = None,
) -> ConnectionSettings:
    """Return how to reach hosts.

    ``secrets`` are the operator's tokens, used or not; ``logins`` are the secrets to log in with,
    by host. Where nothing is said the files are those that OpenSSH's client reads (ssh_config(5)).
    Where nothing says where the operator's home is, nothing of theirs is read; what was named is.
    Raises :class:`Error` for an ssh config that was named and is not there, and for a directory in
    a file's place, and for a scheduler that must not be used.
    """
    from aegis_provision.transport.connect import connect
    from aegis_provision.transport.shared_connections import SharedConnections

    scheduler = None if options.scheduler is None else check_scheduler(options.scheduler)
    try:
        home = home_directory(environ)
    except NoHomeError:
        home = _NO_HOME
    connect_options = ConnectOptions(
        timeout=options.timeout,
        ssh_config=_ssh_config(options.ssh_config, home),
        known_hosts=_known_hosts(options.known_hosts, home),
        accept_new=options.accept_new,
        agent_socket=environ.get("SSH_AUTH_SOCK") or None,
        home=home,
        login_name=_login_name(environ),
        known_hosts_named=bool(options.known_hosts),
        system_ssh_config=_SYSTEM_SSH_CONFIG if options.ssh_config is None else None,
        environ=environ,
        login_secrets=logins or {},
    )
    hidden = {
        id(secret): secret
        for login in (logins or {}).values()
        for secret in (login.passphrase, login.password)
        if secret is not None
    }
    known = (*secrets, *hidden.values())
    raise_limit()
    # A worker process has files of its own, for its share of the hosts.
    capacity = capacity_of(-(-options.forks // options.workers), files_left())
    shared: SharedConnections[LoggedIn] = SharedConnections()
    return ConnectionSettings(
        partial(connect, shared=shared),
        connect_options,
        # Those of a cluster have files of their own.
        options.forks if scheduler else min(options.forks, capacity.forks * options.workers),
        options.deadline,
        known,
        shared,
        capacity.kept,
        options.forks,
        options.workers,
        scheduler,
    )


def connection_warnings(
    settings: ConnectionSettings, targets: Iterable[Target]
) -> tuple[Diagnostic, ...]:
    """Return a warning for each keyword of the ssh config that is not honoured and may matter.

    And one if fewer hosts are worked on at once than was asked for. Nothing is connected to, and no
    program is run.
    """
    from aegis_provision.transport.ssh.ssh_config_warnings import ignored_keywords

    targets = tuple(targets)
    ignored = tuple(
        warning(
            "ignored-ssh-keyword",
            f"{listed(map(str, item.places), most=_PLACES)}: {item.keyword.name} is not honoured: "
            f"{item.keyword.why}",
            hosts=item.hosts,
        )
        for item in ignored_keywords(targets, settings.options)
    )
    return (*_fewer_forks(settings, len(targets)), *ignored)


def _fewer_forks(settings: ConnectionSettings, hosts: int) -> tuple[Diagnostic, ...]:
    if settings.forks >= min(settings.wanted_forks, hosts):
        return ()
    at_once, most = counted(settings.forks, "host"), file_limit()
    return (
        warning(
            "fewer-forks",
            f"{at_once} at once, not {settings.wanted_forks}: this process may have {most} files"
            " open",
            hint="raise 'ulimit -n'",
        ),
    )


def _ssh_config(named: Path | None, home: Path) -> Path | None:
    if named == _NO_SSH_CONFIG:
        return None
    if named is not None:
        if not named.exists() or named.is_dir():
            raise InputError(
                f"--ssh-config: no file {named}",
                "name another, or say 'none' to read no file",
            )
        return named
    usual = home / ".ssh" / "config"
    return usual if usual.exists() else None


def _known_hosts(named: tuple[Path, ...], home: Path) -> tuple[Path, ...]:
    for path in named:
        if path.is_dir():
            raise InputError(f"--known-hosts: {path} is a directory, not a file")
    system = Path("/etc/ssh")
    return named or (
        home / ".ssh" / "known_hosts",
        home / ".ssh" / "known_hosts2",
        system / "ssh_known_hosts",
        system / "ssh_known_hosts2",
    )


def _login_name(environ: Mapping[str, str]) -> str:
    named = environ.get("LOGNAME") or environ.get("USER")
    if named:
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def operator_name(login: str) -> str:
    """Return who runs the tool, as records and locks name them."""
    return f"{login}@{socket.gethostname()}"
