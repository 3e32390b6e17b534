"""What is a URL to Aegis: the texts that Node.js takes, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.aegis.whatwg_url import is_javascript_url, is_url

OBSERVED = json.loads(
    (Path(__file__).parents[1] / "vectors" / "urls.json").read_text(encoding="utf-8")
)


def test_all_that_node_takes_is_taken() -> None:
    assert len(OBSERVED["taken"]) > 3000
    assert [url for url in OBSERVED["taken"] if not is_javascript_url(url)] == []


def test_nothing_that_node_refuses_is_taken() -> None:
    assert len(OBSERVED["refused"]) > 2500
    assert [url for url in OBSERVED["refused"] if is_javascript_url(url)] == []


def test_in_doubt_a_text_is_refused() -> None:
    assert len(OBSERVED["doubtful"]) == 40
    assert not any(map(is_javascript_url, OBSERVED["doubtful"]))


@pytest.mark.parametrize("blank", ["\xa0", "\ufeff", "\u2028", "\u3000", "\u1680"])
def test_only_the_schema_trims_what_is_no_ascii(blank: str) -> None:
    url = f"{blank}http://h{blank}"
    assert is_javascript_url(url)
    assert not is_url(url)


@pytest.mark.parametrize("number", ["0" * 5000 + "1", "1" * 5000, "0x" + "f" * 5000])
@pytest.mark.parametrize("where", ["http://h:{}", "http://{}/", "http://[{}]/"])
def test_numbers_of_any_length(number: str, where: str) -> None:
    fits = number.endswith("01") and "[" not in where
    assert is_url(where.format(number)) is fits


@given(st.text(max_size=30), st.sampled_from(["", "http://", "foo://", "file://", "http://["]))
def test_no_text_is_too_odd(text: str, before: str) -> None:
    assert is_javascript_url(before + text) in {True, False}


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,10}){1,3}\Z"))
def test_plain_hosts_are_taken(host: str) -> None:
    assert is_url(f"https://{host}:9100/v1")
