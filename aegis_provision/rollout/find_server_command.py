"""The command that asks a host which Aegis runs there, and where that looks for its file.

``find_server.sh`` is what the host runs; :mod:`aegis_provision.aegis.find_server_output` reads what
it prints.
"""

from __future__ import annotations

import shlex
from functools import cache

from aegis_provision.packaged_files import read_find_server


def server_command(
    unit: str | None, port: int, become_user: str | None, file: str | None = None
) -> str:
    """Return the command for /bin/sh that tells of a host's server.

    ``unit`` is the systemd unit that runs it, ``port`` that of its API, ``file`` the absolute path
    of the target, if that is known. It runs as ``become_user``
    if sudo lets the login do that, who may look into that user's processes; else as the login.
    """
    words = f"sh {shlex.quote(unit or '')} {port} {shlex.quote(file or '')}"
    direct = f'exec /bin/sh -c "$script" {words}'
    if become_user is not None:
        sudo = f"sudo -n -u {shlex.quote(become_user)}"
        # To ask first keeps a refusal out of the host's log of incidents.
        allowed = f'[ "$(id -u)" != 0 ] && {sudo} -l /bin/sh >/dev/null 2>&1'
        as_user = f'{sudo} /bin/sh -c "$script" {words} 2>/dev/null && exit 0'
        direct = f"if {allowed}; then {as_user}; fi; {direct}"
    return f"script={shlex.quote(_script())}; {direct}"


@cache
def _script() -> str:
    """Return the program without its comments and indentation."""
    lines = (line.strip() for line in read_find_server().splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))
