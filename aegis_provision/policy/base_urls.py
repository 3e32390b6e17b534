"""The base URLs that a policy lets a token travel to.

What connects is JavaScript, which reads a URL by other rules than Python does
(:mod:`aegis_provision.aegis.whatwg_url`): behind a backslash, say, another host may hide. So only
plain URLs are ever allowed, those that every parser splits alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import quote
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~!$&'()+,;=:@-]*)*)",
    re.ASCII,
)
_ORIGIN = re.compile(r"https?://[^/?#\\]*", re.IGNORECASE)
_ANY_BELOW = "*."
_PORTS = {"http": "80", "https": "443"}
_DOTS = frozenset({".", ".."})


@dataclass(frozen=True, slots=True)
class _Url:
    scheme: str
    host: str
    port: str
    path: tuple[str, ...]


def base_url_problem(text: str) -> str:
    """Return what is wrong with a base URL as a policy writes it, empty for nothing."""
    return "" if _parse(text) is not None else f"{quote(text)} is no plain base URL"


def may_travel(base_url: str, allowed: Iterable[str]) -> bool:
    """Tell whether ``base_url`` is one of ``allowed`` or lies below one of them.

    Scheme, host and port are the same (``*.example.com`` is every host below that name), and the
    path begins with the same whole segments.
    """
    url = _parse(base_url)
    return (
        url is not None
        and not url.host.startswith(_ANY_BELOW)
        and any(_covers(other, url) for text in allowed if (other := _parse(text)) is not None)
    )


def _covers(allowed: _Url, url: _Url) -> bool:
    if allowed.host.startswith(_ANY_BELOW):
        same_host = url.host.endswith(allowed.host.removeprefix("*"))
    else:
        same_host = url.host == allowed.host
    same_origin = same_host and (url.scheme, url.port) == (allowed.scheme, allowed.port)
    return same_origin and url.path[: len(allowed.path)] == allowed.path


def _parse(text: str) -> _Url | None:
    """Return the parts of a plain URL, ``None`` for any other text."""
    origin = _ORIGIN.match(text)
    if origin is None:
        return None
    match = _PLAIN.fullmatch(origin[0].lower() + text[origin.end() :])
    if match is None:
        return None
    path = match["path"].rstrip("/").split("/")[1:]
    if any(segment in _DOTS for segment in path):
        return None
    port = match["port"].lstrip("0") if match["port"] else _PORTS[match["scheme"]]
    return _Url(match["scheme"], match["host"], port, tuple(path))
