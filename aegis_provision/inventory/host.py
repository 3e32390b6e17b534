"""The inventory as values: hosts, groups, and settings that know where they were set."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.documents import nodes
    from aegis_provision.documents.nodes import Span

BecomeMethod: TypeAlias = Literal["sudo", "doas"]
"""How a login becomes another user."""

AUTO_PATH = "auto"
"""The ``config_path`` that means the file which Aegis there reads."""

OVERRIDE_KEYS = ("base_url", "auth_token", "model", "fast_model", "timeout_ms")
"""The five keys that override single values of a provider's recipe (docs/inventory.md)."""

LOGIN_SECRETS = ("identity_passphrase", "password")
"""The settings whose values are references to secrets for logging in."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value and where it was set.

    ``value`` is a string, an integer, a boolean or a tuple of strings (several bastions), or
    ``None`` for a session variable that is removed from the host. It may be a literal secret only
    in input that is refused, and never shows in ``repr``. Until all places are merged ``None`` is
    also a variable of Ansible's that is as good as not set.
    ``holder`` is the host or group that set it (``all`` for a setting of all hosts). ``overrode``
    lists what it beat, nearest to the host first; ``agreeing`` further places that set the same
    value with the same standing (two unrelated groups, or two entries of one host).
    ``written`` is the key as it stands there, which may be Ansible's name for it.
    """

    key: str
    value: str | int | bool | tuple[str, ...] | None = field(repr=False)
    span: Span
    holder: str
    holder_kind: Literal["host", "group"]
    overrode: tuple[Setting, ...] = field(default=(), repr=False)
    agreeing: tuple[Setting, ...] = field(default=(), repr=False)
    written: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a host's file is and how to get there: all that a connection needs.

    ``None`` means "what the ssh config says, or OpenSSH's default". ``jump`` is a list of
    bastions (``[user@]host[:port]``), outermost first; empty means "none, even if the ssh
    config names some". ``become_user`` is ``None`` where the login owns the file itself; the login
    becomes that user by ``become_method``. ``sftp_server_path`` is the program that serves SFTP
    there: ``None`` for the host's subsystem, with ``become_user`` for the usual places.
    ``site`` names the network that it is reached from, for Dask workers, ``None`` for any.
    ``config_path`` is absolute, relative to the login directory, or :data:`AUTO_PATH`.
    ``trust_directory`` lets root write by path in directories that other users can change.
    """

    host: str
    address: str
    port: int | None
    user: str | None
    connection: Literal["ssh", "local"]
    identity_file: str | None
    jump: tuple[str, ...] | None
    become_user: str | None
    config_path: str
    read_via: Literal["search", "explicit"]
    trust_directory: bool = False
    become_method: BecomeMethod = "sudo"
    sftp_server_path: str | None = None
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """How Aegis is restarted on a host, and where its API is.

    ``unit`` is a systemd unit; ``command`` a shell command, which goes before it where both are
    named. ``api`` is ``HOST:PORT`` as the host itself sees it; ``api_token`` the setting whose
    value is a reference to the token, ``None`` for "the one in the host's own file".
    """

    unit: str | None
    command: str | None
    api: str
    api_token: Setting | None


@dataclass(frozen=True, slots=True)
class Host:
    """One host with everything the inventory says about it.

    ``groups`` holds every group it is in, ancestors included, in order of declaration, without
    ``all``. ``settings`` maps a setting's name to the winner (``env`` and the override keys are
    not in it). ``provider`` is ``None`` only where the inventory names none, which is an error.
    ``overrides`` holds the override keys that count, by the rule that a provider brings its own
    values; ``ignored`` those that were set farther away than the provider. ``env`` maps names
    of further session variables, of removed ones too. ``replaced`` are settings of mappings that
    Ansible replaced whole, nearest to the host first; ``host_vars`` is the file in which Ansible
    looks for the host's own, empty for a host of our own inventories, and ``merges`` says that it
    merges such mappings, rather than to replace them.
    """

    name: str
    span: Span
    groups: tuple[str, ...]
    settings: Mapping[str, Setting]
    provider: Setting | None
    overrides: Mapping[str, Setting]
    ignored: tuple[Setting, ...]
    env: Mapping[str, Setting]
    target: Target
    service: Service
    replaced: tuple[Setting, ...] = ()
    host_vars: str = ""
    merges: bool = False

    @property
    def names_api(self) -> bool:
        """Tell whether the inventory says where the API is; else ``service.api`` is a default."""
        return "api" in self.settings

    @property
    def tells_server(self) -> bool:
        """Tell whether the inventory says anything of the Aegis that runs on the host.

        Then the host can be asked which file that Aegis reads.
        """
        keys = ("service", "restart_command", "api")
        return self.target.config_path == AUTO_PATH or any(key in self.settings for key in keys)

    @property
    def pinned(self) -> bool:
        """Tell whether the host has a provider entry of its own."""
        return self.provider is not None and self.provider.holder_kind == "host"

    def effective(self) -> tuple[Setting, ...]:
        """Return every setting that counts: the provider, overrides and ``env`` too."""
        provider = () if self.provider is None else (self.provider,)
        parts = (self.settings, self.overrides, self.env)
        settings, overrides, env = (tuple(part.values()) for part in parts)
        return (*settings, *provider, *overrides, *env)


@dataclass(frozen=True, slots=True)
class Group:
    """A group: its own hosts (names, in order) and its child groups' names."""

    name: str
    span: Span | None
    hosts: tuple[str, ...]
    children: tuple[str, ...]
    settings: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One entry under ``providers:`` as it stands in a file, not yet checked against others."""

    name: str
    span: Span
    body: nodes.Mapping


@dataclass(frozen=True, slots=True)
class Inventory:
    """A whole inventory. Hosts are in inventory order; ``groups`` holds ``all`` too.

    ``others`` are hosts of Ansible's that have no settings of ours, with the groups of each.
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, Group]
    providers: Mapping[str, ProviderEntry]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def members(self, group: str) -> tuple[str, ...]:
        """Return all hosts of ``group``, its children's included, by name in inventory order."""
        if group == "all":
            return tuple(self.hosts)
        return tuple(name for name, host in self.hosts.items() if group in host.groups)

    def members_by_group(self) -> Mapping[str, tuple[str, ...]]:
        """Return what :meth:`members` does for every group, in one pass over the hosts."""
        found: dict[str, list[str]] = {name: [] for name in self.groups}
        for name, host in self.hosts.items():
            for group in host.groups:
                found[group].append(name)
        found["all"] = list(self.hosts)
        return {name: tuple(hosts) for name, hosts in found.items()}
