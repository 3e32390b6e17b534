"""Which base URLs a token may travel to, and which only look as if."""

from __future__ import annotations

import pytest

from aegis_provision.policy.base_urls import base_url_problem, may_travel


@pytest.mark.parametrize(
    ("base_url", "allowed"),
    [
        ("https://a.example", "https://a.example"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/v1", "https://a.example"),
        ("https://a.example/api/v1/", "https://a.example/api/"),
        ("HTTPS://A.example/v1", "https://a.EXAMPLE"),
        ("https://a.example:443/v1", "https://a.example"),
        ("http://a.example", "http://a.example:80"),
        ("https://a.example:0443", "https://a.example"),
        ("http://localhost:11434/v1", "http://localhost:11434"),
        ("http://[::1]:1234/v1", "http://[::1]:1234"),
        ("https://eu.a.example/v1", "https://*.a.example"),
        ("https://x.eu.a.example", "https://*.a.example/"),
    ],
)
def test_it_may_travel_there_and_below(base_url: str, allowed: str) -> None:
    assert not base_url_problem(allowed)
    assert may_travel(base_url, ["https://other.example", allowed])


@pytest.mark.parametrize(
    "base_url",
    [
        "http://a.example/api",
        "https://a.example",
        "https://a.example/apis",
        "https://a.example/API",
        "https://a.example:8443/api",
        "https://a.example.evil.example/api",
        "https://evil.example/https://a.example/api",
        "https://a.example@evil.example/api",
        "https://evil.example@a.example/api",
        "https://evil.example\\.a.example/api",
        "https://evil.example\\@a.example/api",
        "https://evil.example#@a.example/api",
        "https://evil.example?a.example/api",
        "https://a.example/api/../v1",
        "https://a.example/api/%2e%2e/v1",
        "https://a.example/api/..",
        "https:a.example/api",
        "https:/a.example/api",
        " https://a.example/api",
        "https://a.example\t/api",
        "https://a.example/api\n",
        "https://a\u3002example/api",
        "https://*.a.example/api",
        "ftp://a.example/api",
        "a.example/api",
        "",
    ],
)
@pytest.mark.parametrize("allowed", ["https://a.example/api", "https://*.example/api"])
def test_it_may_not_travel_elsewhere(base_url: str, allowed: str) -> None:
    if base_url == "https://a.example.evil.example/api" and "*" in allowed:
        return  # which is below that name
    assert not may_travel(base_url, [allowed])


def test_a_wildcard_is_no_host_of_that_name() -> None:
    assert not may_travel("https://a.example", ["https://*.a.example"])
    assert not may_travel("https://nota.example", ["https://*.a.example"])


@pytest.mark.parametrize(
    "text",
    ["a.example", "https://", "https://*", "https://a.*.example", "https://a.example/*",
     "https://a.example?x", "https://u@a.example", "https://a.example:x", "*"],
)  # fmt: skip
def test_what_a_policy_may_not_name(text: str) -> None:
    assert "is no plain base URL" in base_url_problem(text)
