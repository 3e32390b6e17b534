"""Fills in what an ssh config leaves open: ``%`` tokens, ``${NAME}`` and ``~`` (ssh_config(5))."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN = re.compile(r"\$\{[^}]*\}?|%.?", re.DOTALL)
_ENVIRONMENT_NAME = re.compile("[A-Za-z0-9_]+")


class TokenError(ValueError):
    """Something that can't be filled in; the text says what."""


def fill_in(text: str, tokens: Mapping[str, str], environ: Mapping[str, str] | None = None) -> str:
    """Return ``text`` with its tokens filled in, and ``${NAME}`` out of an ``environ``.

    What is filled in is not looked at again (OpenSSH's ``percent_dollar_expand``). ``tokens`` have
    their ``%`` sign. Raises :class:`TokenError`.
    """

    def value(match: re.Match[str]) -> str:
        piece = match[0]
        if piece.startswith("%"):
            if piece in tokens:
                return tokens[piece]
            raise TokenError(f"{piece} is not supported there")
        if environ is None:
            return piece
        name = piece[2:-1]
        if not piece.endswith("}") or not name:
            raise TokenError(f"{piece} is not ${{NAME}}")
        if name not in environ:
            raise TokenError(f"{name} is not set in the environment")
        return environ[name]

    if environ is None:
        return re.sub("%.?", value, text, flags=re.DOTALL)
    return _OPEN.sub(value, text)


def is_environment_name(text: str) -> bool:
    """Tell whether ``text`` may stand behind a ``$`` in IdentityAgent."""
    return _ENVIRONMENT_NAME.fullmatch(text) is not None


def at_home(path: str, home: Path) -> str:
    """Return ``path`` with ``~/`` at its beginning filled in, and ``~name/`` where it is known.

    Raises :class:`TokenError` for a user that is not known.
    """
    if path == "~" or path.startswith("~/"):
        return str(home / path[2:].lstrip("/"))
    if path.startswith("~"):
        try:
            return str(Path(path).expanduser())
        except RuntimeError:
            raise TokenError(f"there is no user for {path}") from None
    return path


def connection_tokens(
    *,
    host: str,
    original: str,
    port: int,
    remote_user: str,
    local_user: str,
    home: Path,
    alias: str | None,
    jump_host: str,
) -> dict[str, str]:
    """Return the tokens of a connection (TOKENS of ssh_config(5)), with ``%j`` and ``%C``.

    ``host`` is the real name, ``original`` the one that was asked for.
    """
    this_host = socket.gethostname()
    parts = (this_host, host, str(port), remote_user, jump_host)
    hashed = hashlib.sha1(os.fsencode("".join(parts)), usedforsecurity=False)
    return {
        "%%": "%",
        "%C": hashed.hexdigest(),
        "%L": this_host.partition(".")[0],
        "%d": str(home),
        "%h": host,
        "%i": str(os.getuid()),
        "%j": jump_host,
        "%k": alias or original,
        "%l": this_host,
        "%n": original,
        "%p": str(port),
        "%r": remote_user,
        "%u": local_user,
    }
