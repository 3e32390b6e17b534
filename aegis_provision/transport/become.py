"""SFTP as another user: the SFTP server itself runs under sudo, or as the directory's owner.

So one code path serves with and without it, and a sudoers rule for that one command is enough.
"""

from __future__ import annotations

import shlex

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.errors import Unreachable
from aegis_provision.humanize import blank_control
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
NO_WAY = "neither setpriv, runuser nor sudo can run it as its owner"
NO_COMMANDS = "the host runs no commands for this login"
NO_GROUP = 65534
"""The group of a user without one: never the superuser's, which may read what others may not."""

_ROOT = 0
_STEP = "sudo"
_LONGEST_QUOTE = 120


def sudo_argv(user: str, server: str) -> list[str]:
    """Return the command that runs ``server`` as ``user``, without a prompt."""
    return ["sudo", "-n", "-u", user, server]


def remote_command(user: str) -> str:
    """Return a command for any login shell: one word for /bin/sh to run."""
    places = " ".join(shlex.quote(place) for place in SERVERS)
    sudo = " ".join(shlex.quote(word) for word in sudo_argv(user, ""))[: -len("''")]
    script = (
        f"LC_ALL=C; export LC_ALL; for server in {places}; do "
        f'if [ -x "$server" ]; then exec {sudo}"$server"; fi; done; '
        f"echo {shlex.quote(NO_SERVER)} >&2; exit 127"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


def owner_command(uid: int, gid: int, mark: str) -> str:
    """Return a command for the login shell that runs the SFTP server as the user ``uid``.

    It prints ``started(uid, mark)`` first: a host that runs a command of its own instead, such as
    ``internal-sftp`` as the login, does not. A user without an entry in passwd(5) has the group
    ``gid``; the SFTP server does not start for such a user (it looks its real user up), so it runs
    with this effective user, and without capabilities.
    """
    places = " ".join(shlex.quote(place) for place in SERVERS)
    script = (
        f'LC_ALL=C; export LC_ALL; PATH="$PATH:/usr/sbin:/sbin"; uid={uid}; mark={mark}; '
        f'for server in {places}; do if [ -x "$server" ]; then break; fi; server=; done; '
        f'if [ -z "$server" ]; then echo {shlex.quote(NO_SERVER)} >&2; exit 127; fi; '
        'entry=$(getent passwd "$uid" 2>/dev/null || grep "^[^:]*:[^:]*:$uid:" /etc/passwd); '
        "IFS=:; set -f; set -- $entry; unset IFS; name=$1; group=$4; "
        'run() { echo "started:$uid:$mark"; exec "$@"; }; '
        'try() { "$@" true >/dev/null 2>&1 && run "$@" "$server"; }; '
        'if [ "$(id -u)" = 0 ]; then if [ -n "$name" ]; then '
        'try setpriv --reuid="$uid" --regid="$group" --init-groups; '
        'try runuser -u "$name" --; '
        f'else try setpriv --euid="$uid" --egid={gid if gid != _ROOT else NO_GROUP} --clear-groups '
        "--inh-caps=-all --bounding-set=-all; fi; fi; "
        'if sudo -n -l -u "#$uid" "$server" >/dev/null 2>&1; then '
        'run sudo -n -u "#$uid" "$server"; fi; '
        f"echo {shlex.quote(NO_WAY)} >&2; exit 126"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


def started(uid: int, mark: str) -> bytes:
    """Return what the command of :func:`owner_command` prints before the SFTP server starts."""
    return f"started:{uid}:{mark}\n".encode()


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


def owner_problem(uid: int, said: str) -> str:
    """Return why the SFTP server did not start as the user ``uid``, going by what was ``said``."""
    for known in (NO_SERVER, NO_WAY):
        if known in said:
            return f"it can't be worked with as uid {uid}: {known}"
    return f"the SFTP server did not start as uid {uid}{quoted(said)}"


def quoted(said: str) -> str:
    """Return what the far side ``said`` in brackets: its first words, and nothing unprintable."""
    words = " ".join(blank_control(said).split())
    if may_hold_secret(words):
        return " (what it said may hold a secret)"
    return f' (it said: "{words[:_LONGEST_QUOTE]}")' if words else ""
