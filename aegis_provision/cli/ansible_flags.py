"""Flags of ``ansible`` and ``ansible-playbook`` that we do not have, and where that is set here.

What is said of a host stands in the inventory, so that every run and every operator means the same;
what is said of the operator's side stands in the ssh config or the environment.
"""

from __future__ import annotations

_IN = "in the inventory, under the host, its group or 'all: vars:'"
_SSH = "in your ssh config (--ssh-config)"
_USER = f"the login: write 'user: NAME' {_IN}, or User {_SSH}"
_KEY = (
    f"the key to log in with: write 'identity_file: PATH' {_IN}, or IdentityFile {_SSH}, or add "
    "it to your agent (ssh-add)"
)
_BECOME = f"to work as another user: write 'become: true' {_IN}"
_BECOME_USER = f"the user to become: write 'become_user: NAME' {_IN}"
_SUDO = "how to become another user: that is always 'sudo -n' or 'doas -n', so allow it there"
_SUDO_PASSWORD = (
    "the password of sudo: none is ever asked for or sent, so allow it without one (NOPASSWD in "
    f"sudoers), or log in as the file's owner ('user: NAME' {_IN})"
)
_PASSWORD = (
    "the password to log in with: log in with a key, or export it as a variable and write "
    f"'password: ${{NAME}}' {_IN}"
)
_VARIABLES = (
    f"variables: write settings {_IN}, one provider's under 'providers:', and export what "
    "'${NAME}' refers to, or put it into a file that --env-file names"
)
_TAGS = (
    "tags: choose hosts with --limit, and what is done with another playbook; hosts that "
    "are as they should be are left alone anyway"
)
_VAULT = (
    "the password of ansible-vault: nothing is decrypted here, so export secrets, or name an env "
    "file with --env-file; for an inventory of Ansible's (-i ansible:PATH) set "
    "ANSIBLE_VAULT_PASSWORD_FILE, or vault_password_file in ansible.cfg"
)
_VALIDATE = "a check of what you wrote: 'aegis-provision validate' does that, playbooks too"
_START = (
    "where to begin: a run is taken up with 'aegis-provision apply --retry last', and hosts that "
    "are as they should be are left alone anyway"
)
_CONNECTION = f"the way to connect: write 'connection: ssh' or 'connection: local' {_IN}"
_OPTIONS = f"options of ssh: write 'jump: BASTION' {_IN}, and all else {_SSH}"
_HOSTS = "a list of hosts: 'aegis-provision hosts PATTERN' shows it"
_NOTHING = "about modules and tasks, of which there are none here"

_MEANS = {
    **dict.fromkeys(("-u", "--user"), _USER),
    **dict.fromkeys(("--private-key", "--key-file"), _KEY),
    **dict.fromkeys(("-b", "--become"), _BECOME),
    "--become-user": _BECOME_USER,
    "--become-method": _SUDO,
    **dict.fromkeys(
        ("-K", "--ask-become-pass", "--become-password-file", "--become-pass-file"), _SUDO_PASSWORD
    ),
    **dict.fromkeys(
        ("-k", "--ask-pass", "--connection-password-file", "--conn-pass-file"), _PASSWORD
    ),
    **dict.fromkeys(("-e", "--extra-vars"), _VARIABLES),
    **dict.fromkeys(("-t", "--tags", "--skip-tags", "--list-tags"), _TAGS),
    **dict.fromkeys(
        ("-J", "--ask-vault-pass", "--ask-vault-password", "--vault-password-file",
         "--vault-pass-file", "--vault-id"),
        _VAULT,
    ),
    "--syntax-check": _VALIDATE,
    **dict.fromkeys(("--start-at-task", "--step"), _START),
    **dict.fromkeys(("-c", "--connection"), _CONNECTION),
    **dict.fromkeys(
        ("--ssh-common-args", "--ssh-extra-args", "--sftp-extra-args", "--scp-extra-args"), _OPTIONS
    ),
    "--list-hosts": _HOSTS,
    "-T": "the time for one step: that is --timeout SECONDS",
    "--inventory-file": "the inventory: that is -i PATH",
    **dict.fromkeys(
        ("-m", "--module-name", "-a", "--args", "-M", "--module-path", "--list-tasks",
         "--force-handlers", "--flush-cache", "--playbook-dir"),
        _NOTHING,
    ),
}  # fmt: skip


def meaning_to_ansible(flag: str) -> str | None:
    """Return what ``flag`` is to Ansible, and where that is set here; ``None`` for other flags."""
    words = _MEANS.get(flag)
    return None if words is None else f"To Ansible it is {words}."
