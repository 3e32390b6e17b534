"""The stand-in provider does as its paths say, and remembers who asked with what."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.fleet.certificates import Authority, make_authority
from tests.fleet.provider_server import Asked, Provider, running_provider

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority") / "ca")


def get(
    url: str, *, trusting: Authority | None = None, timeout: float = 10
) -> tuple[int, bytes, str | None]:
    """Ask for ``url`` with a token: the status, the body, and where it points to."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=trusting.ca_file if trusting else None)
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path, headers={"Authorization": "Bearer t"})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["Location"]
    finally:
        connection.close()


def test_it_lists_its_models_and_remembers_the_token(provider: Provider) -> None:
    status, body, _ = get(provider.base_url() + "/models")
    assert status == 200
    assert [model["id"] for model in json.loads(body)["data"]] == ["big", "small"]
    assert provider.asked == [Asked("GET", "/ok/v1/models", "Bearer t")]
    assert provider.tokens == {"t"}


@pytest.mark.parametrize(
    ("behaviour", "path", "expected"),
    [
        ("ok", "", 404),
        ("v1-only-403", "", 403),
        ("v1-only-403", "/v1", 200),
        ("status-401", "/v1", 401),
        ("status-503", "", 503),
        ("slow-0", "/v1", 200),
        ("html", "/v1", 200),
    ],
)
def test_statuses(provider: Provider, behaviour: str, path: str, expected: int) -> None:
    assert get(provider.base_url(behaviour, path=path) + "/models")[0] == expected


def test_it_may_do_something_else_from_now_on(provider: Provider) -> None:
    url = provider.base_url() + "/models"
    provider.instead = "status-500"
    assert get(url)[0] == 500
    provider.instead = None
    assert get(url)[0] == 200


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("garbage", http.client.BadStatusLine),
        ("close", http.client.RemoteDisconnected),
        ("truncated", http.client.IncompleteRead),
        ("hang", TimeoutError),
    ],
)
def test_answers_that_are_none(
    provider: Provider, behaviour: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        get(provider.base_url(behaviour) + "/models", timeout=0.5)


def test_a_body_without_an_end(provider: Provider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port), timeout=10) as connection:
        connection.sendall(b"GET /flood/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        got = 0
        while got < 1_000_000:
            more = len(connection.recv(65536))
            assert more
            got += more


def test_slow(provider: Provider) -> None:
    before = time.monotonic()
    assert get(provider.base_url("slow-0.3") + "/models")[0] == 200
    assert time.monotonic() - before >= 0.3


def test_a_redirect_points_elsewhere(provider: Provider) -> None:
    with running_provider(redirect_to=provider.base_url(path="")) as first:
        status, _, location = get(first.base_url("redirect") + "/models")
    assert (status, location) == (307, provider.base_url() + "/models")


def test_https(authority: Authority) -> None:
    with running_provider(certificate=authority.issue("127.0.0.1", "localhost")) as provider:
        assert get(provider.base_url() + "/models", trusting=authority)[0] == 200


@pytest.mark.parametrize("wrong", ["name", "authority", "expired"])
def test_certificates_that_are_not_right(authority: Authority, wrong: str) -> None:
    name = "wrong.example.com" if wrong == "name" else "127.0.0.1"
    certificate = authority.issue(name, expired=wrong == "expired")
    trusting = None if wrong == "authority" else authority
    with running_provider(certificate=certificate) as provider:
        with pytest.raises(ssl.SSLCertVerificationError):
            get(provider.base_url() + "/models", trusting=trusting)
        assert provider.asked == []


def test_plain_text_where_tls_is_expected(provider: Provider) -> None:
    with pytest.raises(ssl.SSLError):
        get(provider.base_url(scheme="https") + "/models")
    assert provider.tokens == set()
