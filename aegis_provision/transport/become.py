"""SFTP as another user: the SFTP server itself runs under sudo, or as the directory's owner.

So one code path serves with and without it, and a sudoers rule for that one command is enough.
Here is also what sudo refuses, and the line of sudoers(5) that would allow it: for SFTP under sudo
and for a restart under sudo the message is the same.
"""

from __future__ import annotations

import getopt
import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.errors import Unreachable
from aegis_provision.humanize import blank_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
NO_GROUP = 65534
"""The group of a user without one: never the superuser's, which may read what others may not."""

_ROOT = 0
_STEP = "sudo"
_LONGEST_QUOTE = 120
# sudo's and sudo-rs' own words for a password that can't be typed, and for a missing rule.
_WANTS_PASSWORD = (
    "password is required",
    "a terminal is required",
    "no tty present",
    "must have a tty",
    "authentication is required",
)
_NOT_ALLOWED = ("not allowed", "not in the sudoers", "may not run", "i'm afraid i can't do that")
# sudoers(5), "Other special characters and reserved words", and its wildcards.
_SPECIAL = re.compile(r"[,:=\\*?\[\]!# ]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BEFORE_SUDO = frozenset({"exec", "command"})
_NOT_EXACT = re.compile(r"[$`<>*?\[~^\n]")
_ENDS_COMMAND = frozenset("();|&")
_OPTIONS = "nEHSkbBPu:"
_LONG_OPTIONS = (
    "non-interactive",
    "preserve-env",
    "set-home",
    "stdin",
    "reset-timestamp",
    "background",
    "bell",
    "preserve-groups",
    "user=",
)
# Where these commands lie on every system that has them.
_COMMAND_PATHS = {
    "systemctl": "/usr/bin/systemctl",
    "service": "/usr/sbin/service",
    "rc-service": "/sbin/rc-service",
}


def remote_command(user: str) -> str:
    """Return a command for any login shell: one word for /bin/sh to run."""
    script = (
        f"LC_ALL=C; export LC_ALL; for server in {shlex.join(SERVERS)}; do "
        f'if [ -x "$server" ]; then exec sudo -n -u {shlex.quote(user)} "$server"; fi; done; '
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
    script = (
        f'LC_ALL=C; export LC_ALL; PATH="$PATH:/usr/sbin:/sbin"; uid={uid}; mark={mark}; '
        f"for server in {shlex.join(SERVERS)}; do "
        'if [ -x "$server" ]; then break; fi; server=; done; '
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


def sudo_problem(user: str, login: str, stderr: str) -> Unreachable:
    """Return what is wrong, going by what sudo or the shell wrote on ``stderr``."""
    allow = SudoCommand((SERVERS[0],), user).hint(login)
    lower = stderr.lower()
    if refused := refusal(stderr, login, user):
        return Unreachable(_STEP, refused, allow)
    if "unknown user" in lower:
        return Unreachable(_STEP, f"there is no user {user} on the host", "correct become_user")
    if NO_SERVER in stderr:
        return Unreachable(_STEP, NO_SERVER, "install OpenSSH's SFTP server on the host")
    if "not found" in lower:
        return Unreachable(
            _STEP, "there is no sudo on the host", "log in as the file's owner instead"
        )
    return Unreachable(_STEP, f"the SFTP server did not start as {user}{quoted(stderr)}", allow)


def owner_problem(uid: int, stderr: str) -> str:
    """Return why the SFTP server did not start as the user ``uid``, going by its ``stderr``."""
    for reason in (NO_SERVER, NO_WAY):
        if reason in stderr:
            return f"it can't be worked with as uid {uid}: {reason}"
    return f"the SFTP server did not start as uid {uid}{quoted(stderr)}"


def quoted(output: str) -> str:
    """Return the far side's ``output`` in brackets: its first words, and nothing unprintable."""
    words = " ".join(blank_control(output).split())
    if may_hold_secret(words):
        return " (what it said may hold a secret)"
    return f' (it said: "{words[:_LONGEST_QUOTE]}")' if words else ""


@dataclass(frozen=True, slots=True)
class SudoCommand:
    """A command that runs under sudo, as ``user``; ``words`` are the command and its arguments."""

    words: tuple[str, ...]
    user: str = "root"

    def rule(self, login: str) -> str:
        """Return the line of sudoers that lets ``login`` run just this, without a password."""
        path = _COMMAND_PATHS.get(self.words[0], self.words[0])
        words = " ".join(_SPECIAL.sub(_escaped, word) for word in (path, *self.words[1:]))
        return f"{login} ALL=({self.user}) NOPASSWD: {words}"

    def hint(self, login: str) -> str:
        """Return what to do if sudo does not let ``login`` run this."""
        found = f"allow it with: {self.rule(login)}"
        name = self.words[0]
        if posixpath.isabs(_COMMAND_PATHS.get(name, name)):
            return found
        return f"{found} (with the whole path of {name})"


def _escaped(special: re.Match[str]) -> str:
    """Return a character as sudoers wants it; a backslash is one for its fnmatch(3) too."""
    return "\\" * 4 if special[0] == "\\" else f"\\{special[0]}"


def refusal(output: str, login: str, user: str) -> str:
    """Return why sudo did not run a command, by its ``output``; empty if it refused nothing.

    ``login`` is who asked, ``user`` as whom it was to run.
    """
    lower = output.lower()
    if any(words in lower for words in _WANTS_PASSWORD):
        return f"sudo wants a password to become {user}"
    if any(words in lower for words in _NOT_ALLOWED):
        return f"sudo does not let {login} become {user}"
    return ""


def sudo_commands(command: str) -> tuple[SudoCommand, ...]:
    """Return what a command for /bin/sh runs under sudo, as far as that can be told exactly.

    What the shell would still change (a variable, a pattern, a redirection), options that ask for
    a shell, a group or an environment: nothing is said of these.
    """
    if _NOT_EXACT.search(command):
        return ()
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return ()
    return tuple(found for words in _commands(tokens) if (found := _under_sudo(words)) is not None)


def _commands(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each simple command."""
    words: list[str] = []
    for token in tokens:
        if token and _ENDS_COMMAND.issuperset(token):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _under_sudo(words: Sequence[str]) -> SudoCommand | None:
    rest = list(words)
    while rest and (rest[0] in _BEFORE_SUDO or _ASSIGNMENT.match(rest[0])):
        del rest[0]
    if not rest or posixpath.basename(rest[0]) != "sudo":
        return None
    try:
        options, rest = getopt.getopt(rest[1:], _OPTIONS, list(_LONG_OPTIONS))
    except getopt.GetoptError:
        return None
    if not rest or _ASSIGNMENT.match(rest[0]):
        return None
    users = [value for name, value in options if name in {"-u", "--user"}]
    return SudoCommand(tuple(rest), *users[-1:])
