"""The command that asks a host which Aegis runs there, and where that looks for its file.

``find_server.sh`` is what the host runs; :mod:`aegis_provision.aegis.find_server_output` reads what
it prints.
"""

from __future__ import annotations

import shlex
from functools import cache
from typing import TYPE_CHECKING

from aegis_provision.packaged_files import read_find_server

if TYPE_CHECKING:
    from aegis_provision.inventory.host import BecomeMethod

# doas(1), -C: it compares a command with the rules, and runs nothing. Where the login may not read
# them it says nothing.
_DOAS_ALLOWS = (
    'doas -C "$(for c in /etc/doas.conf /usr/local/etc/doas.conf; do '
    '[ -r "$c" ] && echo "$c" && break; done)"'
)


def server_command(
    unit: str | None,
    port: int,
    become_user: str | None,
    file: str | None = None,
    method: BecomeMethod = "sudo",
) -> str:
    """Return the command for /bin/sh that tells of a host's server; it reads the program itself.

    ``unit`` is the systemd unit that runs it, ``port`` that of its API, ``file`` the absolute path
    of the target, if that is known. It runs as ``become_user`` if the ``method`` lets the login do
    that, who may look into that user's processes; else as the login.
    """
    words = f"sh {shlex.quote(unit or '')} {port} {shlex.quote(file or '')}"
    direct = f'exec /bin/sh -c "$script" {words}'
    if become_user is not None:
        user = shlex.quote(become_user)
        become = f"{method} -n -u {user}"
        # To ask first keeps a refusal out of the host's log of incidents.
        asked = (
            f"{become} -l /bin/sh >/dev/null 2>&1"
            if method == "sudo"
            else f'[ "$({_DOAS_ALLOWS} -u {user} /bin/sh 2>/dev/null)" = "permit nopass" ]'
        )
        allowed = f'[ "$(id -u)" != 0 ] && {asked}'
        as_user = f'{become} /bin/sh -c "$script" {words} 2>/dev/null && exit 0'
        direct = f"if {allowed}; then {as_user}; fi; {direct}"
    return f"script=$(cat); {direct}"


@cache
def server_script() -> bytes:
    """Return the program without its comments and indentation: what the command has to read."""
    lines = (line.strip() for line in read_find_server().splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#")).encode()
