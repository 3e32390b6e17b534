"""SFTP as another user: the SFTP server itself runs under sudo.

So one code path serves with and without it, and a sudoers rule for that one command is enough.
"""

from __future__ import annotations

import shlex

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.transport.protocol import Unreachable
from aegis_provision.transport.sudo_rules import SudoCommand, refusal

SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/libexec/ssh/sftp-server",
    "/usr/lib/sftp-server",
    "/usr/local/libexec/sftp-server",
)
"""Where the SFTP server lies: Debian, Fedora, Arch and SUSE, macOS and the BSDs, Alpine."""

NO_SERVER = "no sftp-server in the usual places"
_STEP = "sudo"
_LONGEST_QUOTE = 120


def sudo_words(user: str, server: str) -> list[str]:
    """Return the command that runs ``server`` as ``user``, asking nobody anything."""
    return ["sudo", "-n", "-u", user, server]


def remote_command(user: str) -> str:
    """Return a command for the login shell, whichever it is: one word for /bin/sh to run."""
    places = " ".join(shlex.quote(place) for place in SERVERS)
    sudo = " ".join(shlex.quote(word) for word in sudo_words(user, ""))[: -len("''")]
    script = (
        f"LC_ALL=C; export LC_ALL; for server in {places}; do "
        f'if [ -x "$server" ]; then exec {sudo}"$server"; fi; done; '
        f"echo {shlex.quote(NO_SERVER)} >&2; exit 127"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


def sudo_problem(user: str, login: str, said: str) -> Unreachable:
    """Return what is wrong, going by what sudo or the shell ``said`` on standard error."""
    allow = SudoCommand((SERVERS[0],), user).hint(login)
    lower = said.lower()
    if refused := refusal(said, login, user):
        return Unreachable(_STEP, refused, allow)
    if "unknown user" in lower:
        return Unreachable(_STEP, f"there is no user {user} on the host", "correct become_user")
    if NO_SERVER in said:
        return Unreachable(_STEP, NO_SERVER, "install OpenSSH's SFTP server on the host")
    if "not found" in lower:
        return Unreachable(
            _STEP, "there is no sudo on the host", "log in as the file's owner instead"
        )
    return Unreachable(_STEP, f"the SFTP server did not start as {user}{quoted(said)}", allow)


def quoted(said: str) -> str:
    """Return what the far side ``said`` as a remark: its first words, and nothing unprintable."""
    words = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    if may_hold_secret(words):
        return " (what it said may hold a secret)"
    return f' (it said: "{words[:_LONGEST_QUOTE]}")' if words else ""
