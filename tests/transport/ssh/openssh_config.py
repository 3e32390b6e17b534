"""What OpenSSH's client makes of an ssh config for a host, and what we do, as one value each."""

from __future__ import annotations

import getpass
import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aegis_provision.transport.ssh.ssh_config import HostOptions, SshConfig, read_ssh_config
from aegis_provision.transport.ssh.ssh_config_lookup import Query

HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
ME = getpass.getuser()

# What the real client takes as default identities depends on its version; the tests never ask.
_KINDS = ("rsa", "dsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss")
DEFAULT_KEYS = {f"{HOME}/.ssh/id_{kind}" for kind in _KINDS}
METHODS = ("publickey", "keyboard-interactive", "password")
USERS_FILES = (f"{HOME}/.ssh/known_hosts", f"{HOME}/.ssh/known_hosts2")
SYSTEM_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True)
class Answer:
    """What a client makes of a config for one host."""

    host_name: str
    port: int
    user: str
    identity_files: tuple[str, ...]
    certificate_files: tuple[str, ...]
    identities_only: bool
    host_key_alias: str | None
    revoked_host_keys: str | None
    proxy_jump: str | None
    proxy_command: str | None
    known_hosts: tuple[str, ...]
    identity_agent: str | None
    methods: tuple[str, ...]
    address_family: str
    bind: tuple[str | None, str | None]
    connect_timeout: float | None
    server_alive_interval: int
    required_rsa_size: int


def theirs(config: Path, host: str, *arguments: str) -> Answer | None:
    """Return what OpenSSH's client makes of it, ``None`` where it refuses the file."""
    completed = subprocess.run(
        ["ssh", "-G", "-F", config, *arguments, host], capture_output=True, text=True, check=False
    )
    if completed.returncode != 0:
        return None
    values: dict[str, str] = {}
    for line in completed.stdout.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key, value)
    files = _files(config, host, *arguments)
    timeout = values["connecttimeout"]
    return Answer(
        host_name=values["hostname"],
        port=int(values["port"]),
        user=values["user"],
        identity_files=files["identity"],
        certificate_files=files["certificate"],
        identities_only=values.get("identitiesonly") == "yes",
        host_key_alias=values.get("hostkeyalias"),
        revoked_host_keys=_with_tokens(values, host, "revokedhostkeys"),
        proxy_jump=values.get("proxyjump"),
        proxy_command=_with_tokens(values, host, "proxycommand"),
        known_hosts=(
            *_known_hosts(values.get("userknownhostsfile", "none")),
            *_known_hosts(values.get("globalknownhostsfile", "none")),
        ),
        identity_agent=values.get("identityagent"),
        methods=_methods(values),
        address_family=values["addressfamily"],
        bind=(values.get("bindaddress"), values.get("bindinterface")),
        connect_timeout=None if timeout in {"none", "0"} else float(timeout),
        server_alive_interval=int(values["serveraliveinterval"]),
        required_rsa_size=int(values["requiredrsasize"]),
    )


def _known_hosts(text: str) -> list[str]:
    return [] if text.lower() == "none" else text.split(" ")


def _methods(values: dict[str, str]) -> tuple[str, ...]:
    preferred = values.get("preferredauthentications", ",".join(METHODS))
    keywords = ("pubkeyauthentication", "kbdinteractiveauthentication", "passwordauthentication")
    left_out = {
        method
        for method, keyword in zip(METHODS, keywords, strict=True)
        if values[keyword] in {"no", "false"}
    }
    return tuple(name for name in preferred.split(",") if name in {*METHODS} - left_out)


def _with_tokens(values: dict[str, str], host: str, key: str) -> str | None:
    """Return a value as it would be used: -G leaves some tokens as they are."""
    alias = values.get("hostkeyalias", host)
    tokens = {"h": values["hostname"], "p": values["port"], "r": values["user"], "%": "%"}
    tokens |= {"n": host, "k": alias, "d": str(HOME)}
    text = values.get(key)
    return text and re.sub("%(.)", lambda match: tokens[match[1]], text)


def _files(config: Path, host: str, *arguments: str) -> dict[str, tuple[str, ...]]:
    # -G leaves tokens as they are. A connection fills them in, one that goes nowhere too.
    completed = subprocess.run(
        ["ssh", "-v", "-F", config, "-o", "ProxyCommand=/bin/false", *arguments, host],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found: dict[str, tuple[str, ...]] = {}
    for kind in ("identity", "certificate"):
        marker = f"debug1: {kind} file "
        named = (
            line.removeprefix(marker).rpartition(" type ")[0]
            for line in completed.stderr.splitlines()
            if line.startswith(marker)
        )
        found[kind] = tuple(
            name for name in named if not name.endswith("-cert") and name not in DEFAULT_KEYS
        )
    return found


def reading(config: Path, **environ: str) -> SshConfig:
    """Read a config in our own environment, and with some more variables."""
    return read_ssh_config(
        config, home=HOME, local_user=ME, environ={**os.environ, **environ}, timeout=10.0
    )


def lookup(
    config: Path, host: str, user: str | None = None, port: int | None = None
) -> HostOptions:
    return reading(config).lookup(Query(host, user, port))


def ours(config: Path, host: str, user: str | None = None, port: int | None = None) -> Answer:
    found = lookup(config, host, user, port)
    users, systems = found.user_known_hosts, found.global_known_hosts
    return Answer(
        host_name=found.host_name,
        port=found.port or 22,
        user=found.user or ME,
        identity_files=found.identity_files or (),
        certificate_files=found.certificate_files,
        identities_only=found.identities_only,
        host_key_alias=found.host_key_alias,
        revoked_host_keys=" ".join(found.revoked_host_keys) or None,
        proxy_jump=",".join(found.proxy_jump or ()) or None,
        proxy_command=found.proxy_command,
        known_hosts=(
            *(USERS_FILES if users is None else users),
            *(SYSTEM_FILES if systems is None else systems),
        ),
        identity_agent=found.identity_agent,
        methods=found.methods,
        address_family=found.address_family,
        bind=(found.bind_address, found.bind_interface),
        connect_timeout=found.connect_timeout,
        server_alive_interval=found.server_alive_interval or 0,
        required_rsa_size=found.required_rsa_size or 1024,
    )
