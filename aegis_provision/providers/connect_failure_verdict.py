"""The verdict on a provider that did not answer: what stands in the way, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aegis_provision.documents.quoting import quote
from aegis_provision.providers.connect_failure import ConnectFailure
from aegis_provision.providers.probe_verdict import Aspect, Verdict

if TYPE_CHECKING:
    from aegis_provision.providers.probe_verdict import Expected

_SERVER = "the provider's server"
_OF_TLS = frozenset(
    {
        ConnectFailure.NOT_TLS,
        ConnectFailure.UNTRUSTED,
        ConnectFailure.UNTRUSTED_BY_HOST,
        ConnectFailure.WRONG_NAME,
        ConnectFailure.EXPIRED,
    }
)
_PASSING = frozenset(
    {
        ConnectFailure.NOT_LISTENING,
        ConnectFailure.UNREACHABLE,
        ConnectFailure.TIMED_OUT,
        ConnectFailure.HUNG_UP,
    }
)


def connect_failure_verdict(
    why: ConnectFailure, expected: Expected, seconds: float = 0.0
) -> Verdict:
    """Return what it means that no answer came. ``seconds`` is how long was waited for one."""
    if why in _OF_TLS:
        aspect = Aspect.TLS
    else:
        aspect = Aspect.ANSWER if why is ConnectFailure.NOT_HTTP else Aspect.CONNECTION
    message, hint = _words(why, expected, seconds)
    return Verdict(ok=False, message=message, hint=hint, aspect=aspect, passing=why in _PASSING)


def _words(why: ConnectFailure, expected: Expected, seconds: float) -> tuple[str, str]:
    setting = expected.source("base_url")
    where = quote(urlsplit(expected.base_url).netloc.rpartition("@")[2])
    if why in _OF_TLS:
        return _tls_words(why, where, str(setting))
    match why:
        case ConnectFailure.NOT_LISTENING:
            return (
                f"nothing listens on {where}, as the host sees it",
                f"{_start(expected)}, or set {setting}",
            )
        case ConnectFailure.UNKNOWN_NAME:
            return (
                f"the host finds no address for {where}",
                f"check the name in {setting}, and the host's DNS",
            )
        case ConnectFailure.UNREACHABLE:
            return (
                f"the host has no way to {where}",
                f"check the host's network and firewall, or set {setting}",
            )
        case ConnectFailure.TIMED_OUT:
            return (
                f"{where} did not answer within {seconds:.0f} s",
                (
                    "check from that host whether a firewall drops the connection, or whether the "
                    f"provider is overloaded, or set {setting}"
                ),
            )
        case ConnectFailure.HUNG_UP:
            is_plain = expected.base_url.startswith("http:")
            tls = " (https:// may be wanted)" if is_plain else ""
            return (
                f"{where} hung up without an answer",
                f"check that the provider's API is what listens there{tls}, or set {setting}",
            )
        case _:
            return (
                f"{where} answered, but not in HTTP",
                f"check the scheme and the port of {setting}: https:// may be wanted",
            )


def _start(expected: Expected) -> str:
    """Say which server to start, and where."""
    host = urlsplit(expected.base_url).hostname or ""
    if host != "localhost" and not host.startswith(("127.", "::1")):
        return f"start {expected.local_server or _SERVER} there"
    if expected.local_server:
        return f"start {expected.local_server} on that host"
    return f"start {_SERVER} on that host (LM Studio and Ollama have to run there)"


def _tls_words(why: ConnectFailure, where: str, setting: str) -> tuple[str, str]:
    certificate = f"the certificate of {where}"
    for_sessions = (
        "and set NODE_EXTRA_CA_CERTS (under env) to a file with them on the host, for Claude Code "
        f"there; or set {setting}"
    )
    match why:
        case ConnectFailure.NOT_TLS:
            return (
                f"{where} does not speak TLS as https:// wants it",
                f"check the scheme and the port of {setting}: http:// may be meant",
            )
        case ConnectFailure.WRONG_NAME:
            return (
                f"{certificate} is for another name",
                f"set {setting} to the name that the certificate has",
            )
        case ConnectFailure.EXPIRED:
            return (
                f"{certificate} is out of date",
                f"renew it there, check the clocks here and on the host, or set {setting}",
            )
        case ConnectFailure.UNTRUSTED_BY_HOST:
            return (
                f"{certificate} is of an authority that the host does not trust",
                (
                    "if it is your own authority's, add its certificates to the host's own, "
                    f"{for_sessions}"
                ),
            )
        case _:
            return (
                f"{certificate} is of an authority that this machine does not trust",
                (
                    "if it is your own authority's, set SSL_CERT_FILE here to its certificates, "
                    f"{for_sessions}"
                ),
            )
