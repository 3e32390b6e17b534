"""SFTP as another user: its server runs under sudo or doas, or as the directory's owner.

So one code path serves with and without it, and a rule for that one command is enough.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from aegis_provision.aegis.identify_server import NO_COMMANDS
from aegis_provision.documents.secret_detection import may_hold_secret
from aegis_provision.errors import Unreachable
from aegis_provision.humanize import blank_control
from aegis_provision.transport.become_method import BecomeCommand, refusal

if TYPE_CHECKING:
    from aegis_provision.inventory.host import BecomeMethod, Target

SERVERS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/ssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/sftp-server",
    "/usr/lib/misc/sftp-server",
    "/usr/local/libexec/sftp-server",
    "/usr/pkg/libexec/sftp-server",
    "/opt/homebrew/libexec/sftp-server",
    "/run/current-system/sw/libexec/sftp-server",
    "/run/current-system/profile/libexec/sftp-server",
)
"""Where packages put OpenSSH's SFTP server.

Debian and Ubuntu; Fedora and RHEL; Alpine, Arch, illumos, and SUSE up to Leap 15; SUSE since then;
macOS, FreeBSD, OpenBSD, NetBSD, OpenWrt and Void; Debian's link for dropbear; Gentoo; the ports of
FreeBSD; pkgsrc; Homebrew; NixOS and Guix, if it is in their profiles.
"""

LET_IT_RUN = "look at the login's shell, and at ForceCommand in the host's sshd_config"
"""What to do about a host that runs no commands."""

NO_SERVER = "no sftp-server in the usual places"
NO_WAY = "neither setpriv, runuser, su nor sudo or doas can run it as its owner"
NO_GROUP = 65534
"""The group of a user without one: never the superuser's, which may read what others may not."""

_ROOT = 0
_INSTALL = (
    "install OpenSSH's SFTP server on the host (openssh-sftp-server on Debian, Ubuntu, Alpine and "
    "OpenWrt, openssh-server on Fedora, RHEL and SUSE, openssh on Arch), or name its place with "
    "sftp_server_path"
)
_CORRECT = "correct sftp_server_path, or leave it out"
_LONGEST_QUOTE = 120
# Where sudo and doas lie on the BSDs and on NixOS, if the login's PATH does not say it.
_PATH = 'PATH="$PATH:/usr/local/bin:/usr/pkg/bin:/run/wrappers/bin:/usr/sbin:/sbin"; export PATH'
_FOUND = re.compile(r"^sftp-server=(/.*)$", re.MULTILINE)
_OURS = re.compile(r"^(?:sftp-server=/.*|begun:[0-9a-f]+)$", re.MULTILINE)
_OTHER_METHOD: dict[BecomeMethod, BecomeMethod] = {"sudo": "doas", "doas": "sudo"}


def remote_command(target: Target, mark: str) -> str:
    """Return the command that runs the SFTP server as ``target`` wants it, for any login shell.

    It is one word for /bin/sh to run. It prints ``begun(mark)`` first: a host that runs a command
    of its own instead, such as ``internal-sftp`` as the login, does not. Which server it finds it
    says on its standard error, which :func:`become_problem` reads.
    """
    servers = servers_of(target)
    run = 'exec "$server"'
    check = ""
    if target.become_user is not None:
        method, other = target.become_method, _OTHER_METHOD[target.become_method]
        run = f'exec {method} -n -u {shlex.quote(target.become_user)} "$server"'
        check = (
            f"if ! command -v {method} >/dev/null; then "
            f"if command -v {other} >/dev/null; then echo {_no_method(method, other)} >&2; "
            f"else echo {_no_method(method)} >&2; fi; exit 127; fi; "
        )
    script = (
        f"LC_ALL=C; export LC_ALL; {_PATH}; mark={mark}; {check}"
        f"for server in {shlex.join(servers)}; do "
        'if [ -x "$server" ]; then echo "sftp-server=$server" >&2; echo "begun:$mark"; '
        f"{run}; fi; done; "
        f"echo {shlex.quote(NO_SERVER)} >&2; exit 127"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


def begun(mark: str) -> bytes:
    """Return what the command of :func:`remote_command` prints before the SFTP server starts."""
    return f"begun:{mark}\n".encode()


def servers_of(target: Target) -> tuple[str, ...]:
    """Return where the SFTP server of ``target`` is looked for."""
    return SERVERS if target.sftp_server_path is None else (target.sftp_server_path,)


def owner_command(
    uid: int,
    gid: int,
    mark: str,
    servers: tuple[str, ...] = SERVERS,
    method: BecomeMethod = "sudo",
) -> str:
    """Return a command for the login shell that runs the SFTP server as the user ``uid``.

    It prints ``started(uid, mark)`` first: a host that runs a command of its own instead, such as
    ``internal-sftp`` as the login, does not. A user without an entry in passwd(5) has the group
    ``gid``; the SFTP server does not start for such a user (it looks its real user up), so it runs
    with this effective user, and without capabilities. doas, unlike sudo, can't be asked whether
    it would do it.
    """
    become = (
        'if sudo -n -l -u "#$uid" "$server" >/dev/null 2>&1; then '
        'run sudo -n -u "#$uid" "$server"; fi; '
        if method == "sudo"
        else 'if [ -n "$name" ] && command -v doas >/dev/null 2>&1; then '
        'run doas -n -u "$name" "$server"; fi; '
    )
    script = (
        f"LC_ALL=C; export LC_ALL; {_PATH}; uid={uid}; mark={mark}; "
        f"for server in {shlex.join(servers)}; do "
        'if [ -x "$server" ]; then break; fi; server=; done; '
        f'if [ -z "$server" ]; then echo {shlex.quote(NO_SERVER)} >&2; exit 127; fi; '
        'entry=$(getent passwd "$uid" 2>/dev/null || grep "^[^:]*:[^:]*:$uid:" /etc/passwd); '
        "IFS=:; set -f; set -- $entry; unset IFS; name=$1; group=$4; "
        'run() { echo "started:$uid:$mark"; exec "$@"; }; '
        'try() { "$@" true >/dev/null 2>&1 && run "$@" "$server"; }; '
        'if [ "$(id -u)" = 0 ]; then if [ -n "$name" ]; then '
        'try setpriv --reuid="$uid" --regid="$group" --init-groups; '
        'try runuser -u "$name" --; '
        'if su -s /bin/sh "$name" -c true >/dev/null 2>&1; then '
        'run su -s /bin/sh "$name" -c "exec $server"; fi; '
        f'else try setpriv --euid="$uid" --egid={gid if gid != _ROOT else NO_GROUP} --clear-groups '
        "--inh-caps=-all --bounding-set=-all; fi; fi; "
        f"{become}"
        f"echo {shlex.quote(NO_WAY)} >&2; exit 126"
    )
    return f"exec /bin/sh -c {shlex.quote(script)}"


def started(uid: int, mark: str) -> bytes:
    """Return what the command of :func:`owner_command` prints before the SFTP server starts."""
    return f"started:{uid}:{mark}\n".encode()


def become_problem(
    target: Target, login: str, stderr: str, *, has_begun: bool = True
) -> Unreachable:
    """Return why the SFTP server of ``target`` did not start, going by ``stderr``.

    That is what sudo, doas or the shell wrote. ``has_begun`` says that a server was found, and
    sudo or doas asked. The rule that is told names that server.
    """
    if target.become_user is None:
        return _own_problem(target, stderr)
    user, method = target.become_user, target.become_method
    said = _OURS.sub("", stderr)
    allow = BecomeCommand((_server_in(stderr, target),), user, method).hint(login)
    lower = said.lower()
    if refused := refusal(said, login, user, method):
        return Unreachable(method, refused, allow)
    if "unknown user" in lower or "no passwd entry for" in lower:
        return Unreachable(method, f"there is no user {user} on the host", "correct become_user")
    if NO_SERVER in said:
        return _no_server(method, target)
    if _no_method(method, _OTHER_METHOD[method]) in said:
        hint = f"{_OTHER_METHOD[method]} is there: set become_method to it"
        return Unreachable(method, f"there is no {method} on the host", hint)
    if _no_method(method) in said or "not found" in lower:
        hint = "log in as the file's owner instead"
        return Unreachable(method, f"there is no {method} on the host", hint)
    if not has_begun:
        return Unreachable(method, f"{NO_COMMANDS}{quoted(said)}", LET_IT_RUN)
    return Unreachable(method, f"the SFTP server did not start as {user}{quoted(said)}", allow)


def _own_problem(target: Target, stderr: str) -> Unreachable:
    if NO_SERVER in stderr:
        return _no_server("sftp", target)
    words = f"{target.sftp_server_path} did not start{quoted(_OURS.sub('', stderr))}"
    return Unreachable("sftp", words, _CORRECT)


def _no_server(step: str, target: Target) -> Unreachable:
    if target.sftp_server_path is not None:
        return Unreachable(step, f"there is no {target.sftp_server_path} on the host", _CORRECT)
    return Unreachable(step, NO_SERVER, _INSTALL)


def _no_method(method: BecomeMethod, other: BecomeMethod | None = None) -> str:
    """Return what :func:`remote_command` says where there is no ``method``, but ``other``."""
    return f"no-{method}-here" + (f"-but-{other}" if other else "")


def _server_in(stderr: str, target: Target) -> str:
    """Return which server was found on the host; no other path of the host's is believed."""
    found = _FOUND.search(stderr)
    servers = servers_of(target)
    return found[1] if found is not None and found[1] in servers else servers[0]


def owner_problem(uid: int, stderr: str) -> str:
    """Return why the SFTP server did not start as the user ``uid``, going by its ``stderr``."""
    for reason in (NO_SERVER, NO_WAY):
        if reason in stderr:
            return f"it can't be worked with as uid {uid}: {reason}"
    if refusal(stderr, "", "", "doas"):
        return f"it can't be worked with as uid {uid}: {NO_WAY}"
    return f"the SFTP server did not start as uid {uid}{quoted(stderr)}"


def quoted(output: str) -> str:
    """Return the far side's ``output`` in brackets: its first words, and nothing unprintable."""
    words = " ".join(blank_control(output).split())
    if may_hold_secret(words):
        return " (what it said may hold a secret)"
    return f' (it said: "{words[:_LONGEST_QUOTE]}")' if words else ""
