"""Why there was no answer of a server's: one word for each reason, wherever it is asked from."""

from __future__ import annotations

from enum import Enum


class ConnectFailure(Enum):
    """Why there was no answer to judge."""

    NOT_LISTENING = "not_listening"
    UNKNOWN_NAME = "unknown_name"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    HUNG_UP = "hung_up"
    NOT_HTTP = "not_http"
    NOT_TLS = "not_tls"
    UNTRUSTED = "untrusted"
    UNTRUSTED_BY_HOST = "untrusted_by_host"
    WRONG_NAME = "wrong_name"
    EXPIRED = "expired"
