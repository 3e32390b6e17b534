"""Ansible's connection variables: which are settings of ours, and which lead elsewhere.

The names and their order are those of ansible-core 2.19 (the options of its connection plugins
``ssh``, ``paramiko_ssh`` and ``local``, and of its become plugins ``sudo`` and ``su``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.nodes import Mapping, Scalar
from aegis_provision.inventory.ssh_arguments import CONFIG_FILE, HOST_KEY_OPTIONS, SSH_ARGUMENTS
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aegis_provision.documents.nodes import Node

VARIABLE_PREFIX = "ansible_"
"""What the names of all variables begin with that Ansible itself reads."""

ALIASES = {
    "ansible_host": "address",
    "ansible_port": "port",
    "ansible_user": "user",
    "ansible_ssh_private_key_file": "identity_file",
    "ansible_connection": "connection",
    "ansible_become": "become",
    "ansible_become_user": "become_user",
    "ansible_become_method": "become_method",
    "ansible_ssh_host": "address",
    "ansible_ssh_port": "port",
    "ansible_ssh_user": "user",
    "ansible_private_key_file": "identity_file",
}
"""Ansible's connection variables that are the same settings under another name.

Of several for one setting the first is the one that we write ourselves.
"""

STRONGER = {
    "ansible_host": "ansible_ssh_host",
    "ansible_port": "ansible_ssh_port",
    "ansible_user": "ansible_ssh_user",
    "ansible_private_key_file": "ansible_ssh_private_key_file",
}
"""The name that Ansible takes instead where a host has both, however far away it was set."""

_STRONGER_NAMES = {
    **{name: (stronger,) for name, stronger in STRONGER.items()},
    **{name: SSH_ARGUMENTS[:at] for at, name in enumerate(SSH_ARGUMENTS)},
}

CONNECTIONS = {
    "smart": "ssh",
    "paramiko": "ssh",
    "ansible.builtin.ssh": "ssh",
    "ansible.legacy.ssh": "ssh",
    "paramiko_ssh": "ssh",
    "ansible.builtin.paramiko_ssh": "ssh",
    "ansible.legacy.paramiko_ssh": "ssh",
    "ansible.builtin.local": "local",
    "ansible.legacy.local": "local",
}
"""The values of ``ansible_connection`` that mean the same as ours, beside ``ssh`` and ``local``."""

BECOME_METHODS = {
    "sudo": "sudo",
    "ansible.builtin.sudo": "sudo",
    "ansible.legacy.sudo": "sudo",
    "doas": "doas",
    "community.general.doas": "doas",
}
"""The values of ``ansible_become_method`` that are taken; others (``su``, ...) lead elsewhere."""


@dataclass(frozen=True, slots=True)
class Substitute:
    """What stands for a variable that is not taken: in words, and as settings of ours."""

    words: str
    settings: tuple[str, ...] = ()


_OPTIONS = Substitute(
    "name a bastion with 'jump', and say the rest in your ssh config (--ssh-config)", ("jump",)
)
_CONFIG_FILE = Substitute("name that ssh config with --ssh-config")
_PROGRAM = Substitute("no ssh program is run: say what it is for in your ssh config (--ssh-config)")
_PASSWORD = Substitute(
    "log in with a key, from your agent or with 'identity_file', or name a variable of your "
    "environment: 'password: ${NAME}'",
    ("identity_file", "password"),
)
_PASSPHRASE = Substitute(
    "put the key into your agent (ssh-add), or name a variable of your environment: "
    "'identity_passphrase: ${NAME}'",
    ("identity_passphrase",),
)
_KEY = Substitute("put the key into a file, and name it with 'identity_file'", ("identity_file",))
_HOST_KEYS = Substitute(
    "host keys are always checked: name a file with --known-hosts, or say --host-key accept-new"
)
# What stands for options of ssh; for all others it is a bastion, or the ssh config.
_BY_OPTION = {
    **dict.fromkeys(("HostName",), "name it with 'address'"),
    **dict.fromkeys(("-p", "Port"), "name it with 'port'"),
    **dict.fromkeys(("-l", "User"), "name it with 'user'"),
    **dict.fromkeys(
        ("-i", "IdentityFile"),
        "name the key with 'identity_file', and that of a bastion in your ssh config "
        "(--ssh-config)",
    ),
    CONFIG_FILE: _CONFIG_FILE.words,
    **dict.fromkeys(HOST_KEY_OPTIONS, _HOST_KEYS.words),
}
_SUDO = Substitute("'become' is 'sudo -n', or 'doas -n' with 'become_method: doas': allow it there")
_BECOME_USER = Substitute("name that user with 'become_user'", ("become_user",))

UNSUPPORTED = {
    **dict.fromkeys(("ansible_sftp_extra_args", "ansible_scp_extra_args"), _OPTIONS),
    "ansible_paramiko_proxy_command": Substitute("name a bastion with 'jump'", ("jump",)),
    **dict.fromkeys(
        ("ansible_ssh_executable", "ansible_sftp_executable", "ansible_scp_executable"), _PROGRAM
    ),
    "ansible_ssh_transfer_method": Substitute("files always go through SFTP: allow it on the host"),
    **dict.fromkeys(
        ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_paramiko_pass",
         "ansible_paramiko_password"),
        _PASSWORD,
    ),
    **dict.fromkeys(
        ("ansible_private_key_passphrase", "ansible_ssh_private_key_passphrase"), _PASSPHRASE
    ),
    **dict.fromkeys(("ansible_private_key", "ansible_ssh_private_key"), _KEY),
    "ansible_ssh_pkcs11_provider": Substitute(
        "add the token to your agent (ssh-add -s), or name it in your ssh config (--ssh-config)"
    ),
    **dict.fromkeys(
        ("ansible_host_key_checking", "ansible_ssh_host_key_checking",
         "ansible_paramiko_host_key_checking"),
        _HOST_KEYS,
    ),
    "ansible_paramiko_host": Substitute("name it with 'address'", ("address",)),
    "ansible_paramiko_port": Substitute("name it with 'port'", ("port",)),
    "ansible_paramiko_user": Substitute("name it with 'user'", ("user",)),
    "ansible_paramiko_private_key_file": Substitute(
        "name it with 'identity_file'", ("identity_file",)
    ),
    **dict.fromkeys(
        ("ansible_become_method", "ansible_become_exe", "ansible_become_flags", "ansible_sudo_exe",
         "ansible_sudo_flags", "ansible_su_exe", "ansible_su_flags", "ansible_doas_exe",
         "ansible_doas_flags"),
        _SUDO,
    ),
    **dict.fromkeys(("ansible_sudo_user", "ansible_su_user", "ansible_doas_user"), _BECOME_USER),
}  # fmt: skip
"""Variables that change where, as whom or through what Ansible connects, and are not taken."""

# What is done anyway: variables that say so change nothing.
HARMLESS_VALUES = {
    "ansible_ssh_transfer_method": frozenset({"sftp", "smart"}),
    **dict.fromkeys(
        (name for name, substitute in UNSUPPORTED.items() if substitute is _HOST_KEYS),
        frozenset({"true", "yes", "on", "1"}),
    ),
}


def says_nothing(name: str, value: Node) -> bool:
    """Tell whether a variable is as good as not set: Ansible's ``ssh``, or sudo, then gets none."""
    setting = ALIASES.get(name)
    if setting is None or not isinstance(value, Scalar):
        return False
    empty = setting in {"user", "identity_file", "become_user"} and value.value == ""
    return empty or value.value is None


def stronger_names(name: str) -> tuple[str, ...]:
    """Return the names that Ansible takes instead of ``name``, however far away they were set.

    Of several arguments of ``ssh`` the first that names a way counts.
    """
    return _STRONGER_NAMES.get(name, ())


def effective_names(variables: Mapping) -> Collection[str]:
    """Return the names among ``variables`` that count: less those that a stronger one replaces."""
    names = {entry.key.text for entry in variables}
    said = {entry.key.text for entry in variables if not says_nothing(entry.key.text, entry.value)}
    return {name for name in names if STRONGER.get(name) not in said}


def is_other_become_method(name: str, value: Node) -> bool:
    """Tell whether a variable names a way to become a user that is not taken, or none at all."""
    if name != "ansible_become_method" or (isinstance(value, Scalar) and "{{" in value.text):
        return False
    return not isinstance(value, Scalar) or value.value not in BECOME_METHODS


def substitute_for(name: str, value: Node, names: Collection[str]) -> Substitute | None:
    """Return what stands for a variable that leads elsewhere, ``None`` where it does not.

    It does not where its value is empty or what we do anyway, nor where ``names``, those of the
    same mapping, hold a setting that stands for it already.
    """
    substitute = UNSUPPORTED.get(name)
    if substitute is None:
        return None
    if isinstance(value, Scalar) and (
        value.value in {None, ""} or value.text.lower() in HARMLESS_VALUES.get(name, ())
    ):
        return None
    settings = {ALIASES.get(item, item) for item in names}
    return None if settings.intersection(substitute.settings) else substitute


def substitute_for_options(left: Sequence[str]) -> Substitute:
    """Return what stands for ``left``, options of ``ssh`` that are not taken."""
    named = {name: _BY_OPTION.get(name, _OPTIONS.words) for name in left}
    # In the order of the table, and each remedy once.
    remedies = [*dict.fromkeys(_BY_OPTION.values()), _OPTIONS.words]
    return Substitute("; ".join(words for words in remedies if words in named.values()))
