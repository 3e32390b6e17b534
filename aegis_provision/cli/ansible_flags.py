"""Flags of Ansible's programs that we do not have, and where that is set here.

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
_SUDO = (
    f"how to become another user: write 'become_method: sudo' or 'become_method: doas' {_IN}, and "
    "allow it there without a password"
)
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
_STEP = "a question before each task: 'aegis-provision apply' asks once, before it writes anything"
_CHECK = (
    "a run that changes nothing: 'aegis-provision plan' never does, nor 'aegis-provision apply "
    "--check'"
)
_DIFF = "changes as a diff: that is --diff of 'aegis-provision plan' and 'aegis-provision apply'"
_LATER = "how long a task may run by itself: a host's work has --deadline SECONDS"
_LIST = "the inventory as JSON: that is 'aegis-provision hosts --format json'"
_ONE_HOST = "one host of the inventory: that is 'aegis-provision hosts --host HOST'"
_GRAPH = "the inventory as a tree: that is 'aegis-provision hosts --graph'"
_OUTPUT = (
    "the file for the inventory: write it with 'aegis-provision hosts --format json >FILE'; a plan "
    "is kept with 'aegis-provision plan --out FILE'"
)
_RESULTS = (
    "what becomes of results: 'aegis-provision history' has them, --format and --report FILE.html "
    "give them another form"
)
_PLAYBOOK_DIR = (
    "the directory of group_vars beside a playbook: run the command in that directory, or set "
    "ANSIBLE_PLAYBOOK_DIR"
)
_PULL = "about fetching a playbook: fetch it ('git pull') before the command"
_HOST_KEY = f"{_PULL}; unknown keys of hosts are taken with --host-key accept-new"
_CONNECTION = f"the way to connect: write 'connection: ssh' or 'connection: local' {_IN}"
_OPTIONS = f"options of ssh: write 'jump: BASTION' {_IN}, and all else {_SSH}"
_HOSTS = "a list of hosts: 'aegis-provision hosts PATTERN' shows it"
_NOTHING = "about modules and tasks, of which there are none here"

_SHORTEST = len("--tag")
_MEANS = {
    **dict.fromkeys(("-u", "--user"), _USER),
    **dict.fromkeys(("--private-key", "--key-file"), _KEY),
    **dict.fromkeys(("-b", "--become", "-s", "--sudo", "-S", "--su"), _BECOME),
    **dict.fromkeys(("--become-user", "--sudo-user", "-R", "--su-user"), _BECOME_USER),
    "--become-method": _SUDO,
    **dict.fromkeys(
        ("-K", "--ask-become-pass", "--become-password-file", "--become-pass-file",
         "--ask-sudo-pass", "--ask-su-pass"),
        _SUDO_PASSWORD,
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
    "--start-at-task": _START,
    "--step": _STEP,
    **dict.fromkeys(("-C", "--check"), _CHECK),
    **dict.fromkeys(("-D", "--diff"), _DIFF),
    **dict.fromkeys(("-B", "--background", "-P", "--poll"), _LATER),
    **dict.fromkeys(("--list", "--export", "--vars", "-y", "--yaml", "--toml"), _LIST),
    "--host": _ONE_HOST,
    "--graph": _GRAPH,
    "--output": _OUTPUT,
    **dict.fromkeys(("-o", "--one-line", "--tree"), _RESULTS),
    "--playbook-dir": _PLAYBOOK_DIR,
    **dict.fromkeys(
        ("-U", "--url", "--checkout", "-d", "--directory", "--force", "--full", "--purge",
         "--clean", "--only-if-changed", "--track-subs", "--verify-commit", "--sleep"),
        _PULL,
    ),
    "--accept-host-key": _HOST_KEY,
    "--version": "the version: that is 'aegis-provision --version'",
    **dict.fromkeys(("-c", "--connection"), _CONNECTION),
    **dict.fromkeys(
        ("--ssh-common-args", "--ssh-extra-args", "--sftp-extra-args", "--scp-extra-args"), _OPTIONS
    ),
    "--list-hosts": _HOSTS,
    **dict.fromkeys(("-T", "--task-timeout"), "the time for one step: that is --timeout SECONDS"),
    "--inventory-file": "the inventory: that is -i PATH",
    **dict.fromkeys(
        ("-m", "--module-name", "-a", "--args", "-M", "--module-path", "--list-tasks",
         "--force-handlers", "--flush-cache"),
        _NOTHING,
    ),
}  # fmt: skip


def meaning_to_ansible(flag: str) -> str | None:
    """Return what ``flag`` is to Ansible, and where that is set here; ``None`` for other flags.

    As Ansible does, a long one is known by its beginning, where all that begin so mean the same.
    """
    meant = {_MEANS[flag]} if flag in _MEANS else set[str]()
    if not meant and len(flag) >= _SHORTEST:
        meant = {words for name, words in _MEANS.items() if name.startswith(flag)}
    return f"To Ansible it is {meant.pop()}." if len(meant) == 1 else None
