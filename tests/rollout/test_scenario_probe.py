"""Asking the provider, before the write and after the restart, and what its answers bring about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.fleet.arguments import arguments_watched
from tests.fleet.certificates import make_authority
from tests.fleet.clients import need
from tests.fleet.hosts import OLD_ENV, TOKEN, Fleet, running_hosts
from tests.fleet.openssh import ADDRESS
from tests.fleet.provider_server import Provider, running_provider
from tests.rollout.fleet_reset import reset
from tests.rollout.fleet_state import Before, before_all, is_new, left_behind, message_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.fleet.hosts import CommandResult

WELL = ("well", "slow", "native")
API_TOKEN_END = "-api-token-not-real"
PREFLIGHT = "- name: P\n  hosts: all\n  preflight: {probe: true}\n  max_fail: 100%\n"
VERIFY = (
    "- name: P\n  hosts: all\n  restart: changed\n  sessions: ignore\n  on_failure: rollback\n"
    "  verify: {probe: true, timeout: 7s}\n  max_fail: 100%\n"
)
WHY = {
    "unauthorized": "the provider refuses the token (401): the mapped token is not valid there",
    "forbidden": "the provider refuses the token (403)",
    "no-path": 'the provider has neither "/ok/wrong/models" nor "/ok/wrong/v1/models" (404)',
    "without-v1": (
        'the provider has neither "/ok/models" nor "/ok/v1/messages" (404), and lists its models '
        'under "/ok/v1/models": the base URL lacks its compatible path'
    ),
    "no-models": 'the provider does not offer the models "big" (model) and "small" (fast_model)',
    "not-listening": "nothing listens on ",
    "no-tls": "does not speak TLS as https:// wants it",
    "untrusted": "is of an authority that this machine does not trust",
    "garbage": "answered, but not in HTTP",
    "hangs-up": "hung up without an answer",
    "silent": "did not answer within",
    "page": "a page for people came instead of an answer (200): it looks like a proxy's",
    "redirected": 'the provider redirects to "http://elsewhere.example/v1/models" (307)',
    "too-many": "the provider wants fewer requests (429) and asks to wait 2 min",
}
HINTS = {
    "unauthorized": "check auth_token (GATEWAY_TOKEN, inventory.yml:",
    "no-path": "check base_url (URL_NO_PATH is not set: its default, inventory.yml:",
    "without-v1": "set base_url (URL_WITHOUT_V1 is not set: its default, inventory.yml:",
    "no-models": "set model (GATEWAY_MODEL is not set: its default, inventory.yml:",
    "not-listening": "set base_url (URL_NOT_LISTENING is not set: its default, inventory.yml:",
    "untrusted": "set SSL_CERT_FILE here to its certificates, and set NODE_EXTRA_CA_CERTS",
}


@dataclass(frozen=True)
class Probed:
    """Two runs over hosts whose providers differ: one asks first, one asks afterwards.

    ``doctor`` is the diagnosis of them before the first.
    """

    fleet: Fleet
    was: Mapping[str, Before]
    doctor: CommandResult
    preflight: CommandResult
    between: Mapping[str, Before]
    verify: CommandResult
    provider: Provider


def url_settings(urls: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return settings by which each host has a base URL, with a variable that overrides it."""
    return {
        name: {"base_url": f"${{URL_{name.upper().replace('-', '_')}:-{url}}}"}
        for name, url in urls.items()
    }


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probed]:
    authority = make_authority(tmp_path_factory.mktemp("authority") / "ca")
    with (
        running_provider(redirect_to="http://me:x@elsewhere.example") as provider,
        running_provider(certificate=authority.issue(ADDRESS)) as secure,
    ):
        urls = {
            "well": provider.base_url(),
            "slow": provider.base_url("slow-6"),
            "unauthorized": provider.base_url("status-401"),
            "forbidden": provider.base_url("status-403"),
            "no-path": provider.base_url(path="/wrong/"),
            "native": provider.base_url("native", path=""),
            "without-v1": provider.base_url(path=""),
            "no-models": provider.base_url("empty"),
            "not-listening": f"http://{ADDRESS}:1/v1",
            "no-tls": provider.base_url(scheme="https"),
            "untrusted": secure.base_url(),
            "garbage": provider.base_url("garbage"),
            "hangs-up": provider.base_url("close"),
            "silent": provider.base_url("hang"),
            "page": provider.base_url("html"),
            "redirected": provider.base_url("redirect"),
            "too-many": provider.base_url("retry-120"),
        }
        directory = tmp_path_factory.mktemp("fleet")
        with running_hosts(directory, list(urls), settings=url_settings(urls)) as fleet:
            was = before_all(fleet)
            args = ("--yes", "--format", "json")
            doctor = fleet.run("doctor", "all:!slow:!silent", "--probe", "--format", "json")
            preflight = fleet.run("apply", fleet.playbook(PREFLIGHT), *args)
            between = before_all(fleet)
            for name in WELL:
                fleet[name].write_config(was[name].content or b"")
            verify = fleet.run("apply", fleet.playbook(VERIFY), *args)
            yield Probed(fleet, was, doctor, preflight, between, verify, provider)


@pytest.mark.parametrize("name", ["well", "native"])
def test_a_willing_provider_opens_both_gates(probed: Probed, name: str) -> None:
    assert probed.preflight.statuses[name] == "restart_pending"
    assert probed.verify.statuses[name] == "applied"
    for result in (probed.preflight, probed.verify):
        [entry] = [host for host in result.json["hosts"] if host["host"] == name]
        assert (entry["warnings"], result.json["hosts"].count(entry)) == ([], 1)
    well = probed.fleet[name]
    assert well.loaded_env() == well.session_env() != OLD_ENV
    assert (probed.preflight.exit_code, probed.verify.exit_code) == (4, 4)


def test_a_slow_one_is_a_warning(probed: Probed) -> None:
    for result, status in ((probed.preflight, "restart_pending"), (probed.verify, "applied")):
        [entry] = [host for host in result.json["hosts"] if host["host"] == "slow"]
        assert entry["status"] == status
        assert any("the provider is slow" in warning for warning in entry["warnings"])


@pytest.mark.parametrize("name", WHY)
def test_asked_first_nothing_is_written(probed: Probed, name: str) -> None:
    assert probed.preflight.statuses[name] == "refused"
    message = message_of(probed.preflight, name)
    assert message.startswith("not written: ")
    assert WHY[name] in message
    assert HINTS.get(name, "") in message.replace(f"{probed.fleet.directory}/", "")
    assert probed.between[name] == probed.was[name]


@pytest.mark.parametrize("name", WHY)
def test_asked_afterwards_the_old_file_comes_back(probed: Probed, name: str) -> None:
    host = probed.fleet[name]
    assert probed.verify.statuses[name] == "rolled_back"
    message = message_of(probed.verify, name)
    assert message.startswith("verify: ")
    assert WHY[name] in message
    assert "; the file is back" in message
    assert host.config_path.read_bytes() == probed.was[name].content
    assert host.loaded_env() == OLD_ENV
    assert left_behind(host) == set()


@pytest.mark.parametrize("name", [*(name for name in WHY if name != "silent"), "well", "native"])
def test_a_diagnosis_fails_one_check_in_the_same_words(probed: Probed, name: str) -> None:
    [found] = [host for host in probed.doctor.json["hosts"] if host["host"] == name]
    checks = {check["check"]: check for check in found["checks"]}
    of_provider = [checks[check] for check in ("provider", "token", "model")]
    failed = [check for check in of_provider if check["result"] == "fail"]
    if name in WELL:
        assert failed == []
        return
    [check] = failed
    assert WHY[name] in check["message"]
    assert HINTS.get(name, "") in check["remedy"].replace(f"{probed.fleet.directory}/", "")
    words = message_of(probed.preflight, name).removeprefix("not written: ")
    assert words == f"{check['message']}; try: {check['remedy']}"
    at = {"unauthorized": "token", "forbidden": "token", "no-models": "model"}
    assert check["check"] == at.get(name, "provider")


def test_the_token_goes_to_the_provider_and_nowhere_else(probed: Probed) -> None:
    assert probed.provider.tokens == {TOKEN}
    for result in (probed.doctor, probed.preflight, probed.verify):
        assert TOKEN not in result.stdout + result.stderr
        assert API_TOKEN_END not in result.stdout + result.stderr
    for path in probed.fleet.state.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


# --- where sshd forwards nothing ----------------------------------------------------------------

NO_FORWARDING = "AllowTcpForwarding no"
BOTH_GATES = (
    "- name: P\n  hosts: all\n  restart: changed\n  sessions: {sessions}\n"
    "  preflight: {{probe: true}}\n  verify: {{health: true, probe: true, timeout: 10s}}\n"
    "  on_failure: rollback\n"
)


def test_without_forwarding_the_hosts_curl_asks_and_tokens_are_in_no_argument(
    tmp_path: Path,
) -> None:
    need("curl", "curl")
    with running_provider() as provider:
        settings = url_settings({"a": provider.base_url("slow-1"), "b": provider.base_url()})
        with running_hosts(
            tmp_path, ["a", "b"], settings=settings, sshd_settings=[NO_FORWARDING]
        ) as fleet:
            book = fleet.playbook(BOTH_GATES.format(sessions="refuse"))
            with arguments_watched() as seen:
                args = ("apply", book, "--yes", "--format", "json", "-vvv")
                result = fleet.run(*args, own_python=True)
            assert (result.exit_code, result.statuses) == (0, {"a": "applied", "b": "applied"})
            assert fleet["a"].loaded_env() == fleet["a"].session_env()
            assert [host["warnings"] for host in result.json["hosts"]] == [[], []]
            asked = {entry["token"] for entry in fleet["a"].requests("/v1/health")}
            assert "right" in asked
        assert provider.tokens == {TOKEN}
    assert any(b"curl" in line for line in seen)
    assert not [line for line in seen if TOKEN.encode() in line]
    assert not [line for line in seen if API_TOKEN_END.encode() in line]


@pytest.fixture(scope="module")
def without_curl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    empty = tmp_path_factory.mktemp("no-commands")
    own = [NO_FORWARDING, f"SetEnv PATH={empty}"]
    with running_hosts(tmp_path_factory.mktemp("fleet"), ["a"], sshd_settings=own) as fleet:
        yield fleet


def test_without_curl_too_the_host_is_unverified(without_curl: Fleet) -> None:
    reset(without_curl)
    book = without_curl.playbook(BOTH_GATES.format(sessions="ignore"))
    result = without_curl.run("apply", book, "--yes", "--format", "json")
    assert (result.exit_code, result.statuses) == (4, {"a": "unverified"})
    why = "the host's sshd forwards nothing, and there is no curl"
    assert message_of(result, "a") == (
        f"restarted, and not verified: its health was not checked: {why}; the provider was "
        f"not asked: {why}; try: look at it yourself, or let such hosts pass with "
        "'unverified: go_on'"
    )
    [host] = result.json["hosts"]
    assert host["warnings"] == [f"the provider was not asked: {why}"]
    assert is_new(without_curl["a"])
    assert without_curl.run("history", "last", "--format", "json").exit_code == 0


def test_without_curl_a_play_may_go_on_with_a_warning(without_curl: Fleet) -> None:
    reset(without_curl)
    text = BOTH_GATES.format(sessions="ignore") + "  unverified: go_on\n"
    book = without_curl.playbook(text)
    result = without_curl.run("apply", book, "--yes", "--format", "json")
    assert (result.exit_code, result.statuses) == (0, {"a": "applied"})
    [host] = result.json["hosts"]
    why = "the host's sshd forwards nothing, and there is no curl"
    assert host["warnings"] == [
        f"the provider was not asked: {why}",
        f"its health was not checked: {why}",
    ]
    assert is_new(without_curl["a"])


def test_without_curl_sessions_are_not_ended_unseen(without_curl: Fleet) -> None:
    reset(without_curl)
    starts = without_curl["a"].starts
    book = without_curl.playbook(BOTH_GATES.format(sessions="{wait: 5m}"))
    result = without_curl.run("apply", book, "--yes", "--format", "json")
    assert (result.exit_code, result.statuses) == (4, {"a": "restart_pending"})
    assert "whether sessions are running can't be told" in message_of(result, "a")
    assert without_curl["a"].starts == starts


def test_asked_first_a_provider_that_hangs_holds_a_host_no_longer_than_its_deadline(
    tmp_path: Path,
) -> None:
    with running_provider() as provider:
        hung = url_settings({"silent": provider.base_url("hang")})
        with running_hosts(tmp_path, ["silent"], settings=hung) as fleet:
            flags = ("--yes", "--format", "json", "--deadline", "4")
            result = fleet.run("apply", fleet.playbook(PREFLIGHT), *flags)
    assert result.statuses == {"silent": "refused"}
    assert re.search(r"did not answer within [1-4] s", message_of(result, "silent"))


TWO_PLAYS = """\
- {name: Write, hosts: all, restart: changed}
- name: Ask
  hosts: all
  preflight: {probe: true}
  restart: always
  on_failure: rollback
"""


def test_what_an_earlier_play_put_into_effect_is_taken_out_of_it_again(tmp_path: Path) -> None:
    with running_hosts(tmp_path, 1) as fleet:
        result = fleet.run("apply", fleet.playbook(TWO_PLAYS), "--yes", "--format", "json")
        host = fleet["host-01"]
        assert result.statuses == {"host-01": "rolled_back"}
        assert host.loaded_env() == OLD_ENV == host.session_env()
