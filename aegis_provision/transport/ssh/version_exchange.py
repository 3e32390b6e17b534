"""Our half of the first exchange of SSH: who speaks, and which version of the protocol (RFC 4253).

The code that makes a connection says it at once: the server's answer then comes while the library
is still being loaded.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    import paramiko

VERSION = "SSH-2.0-aegis_provision"
"""What the software's name may not have is a minus sign or a space (RFC 4253, section 4.2)."""

_LINE = f"{VERSION}\r\n".encode()


def say_version(connection: socket.socket | paramiko.Channel) -> None:
    """Say our version over a new connection.

    A new connection takes so short a line whole. That it is lost already is told to the first
    reader, with what the server said before.
    """
    with suppress(OSError):
        connection.send(_LINE)
