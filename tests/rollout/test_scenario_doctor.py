"""``doctor`` on hosts that run, each with one fault: it is told once, and nothing changes."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.fleet.hosts import OLD_ENV, TOKEN, running_hosts
from tests.fleet.openssh import ADDRESS, free_port, make_key, running_sshd
from tests.fleet.provider_server import running_provider
from tests.schemas import check_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.fleet.hosts import CommandResult, Fleet, FleetHost
    from tests.fleet.openssh import Sshd
    from tests.fleet.provider_server import Provider

LONG_AGO = 7200.0
HEALTH_PER_MINUTE = 60
SUDO = '#!/bin/sh\necho "sudo: a password is required" >&2\nexit 1\n'


@dataclass(frozen=True)
class Scene:
    """What the faults are made of: a provider, a server that only does SFTP, an unknown key."""

    provider: Provider
    sftp_only: Sshd
    stranger: Path


@dataclass(frozen=True)
class Fault:
    """One host's fault: settings in the inventory, what was done there, and how it is told.

    Where nothing was done, the host is the one on which all is well, by other settings.
    """

    check: str
    words: str
    result: str = "fail"
    settings: Callable[[Scene], Mapping[str, object]] = field(default=lambda _: {})
    done: Callable[[FleetHost], object] | None = None


def _variables(provider: Provider) -> dict[str, str]:
    return {
        **OLD_ENV,
        "ANTHROPIC_BASE_URL": provider.base_url("native", path=""),
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "ANTHROPIC_DEFAULT_MODEL": "big",
        "ANTHROPIC_DEFAULT_FAST_MODEL": "small",
        "API_TIMEOUT_MS": "60000",
    }


def _age(path: Path, seconds: float = LONG_AGO) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def _rewrite(host: FleetHost, **keys: object) -> None:
    host.write_config({**host.config(), **keys})
    _age(host.config_path)


def _lock(seconds: float) -> Callable[[FleetHost], None]:
    def leave(host: FleetHost) -> None:
        directory = host.config_path.parent / ".aegis-provision"
        directory.mkdir(mode=0o700)
        lock = directory / "lock"
        # A login that may write there may write anything: a token, say.
        since = f"2026-11-30 10:00:00 UTC {TOKEN}"
        lock.write_text(json.dumps({"owner": "ben@laptop", "since": since}))
        _age(lock, seconds)

    return leave


def _lose_file(host: FleetHost) -> None:
    host.misbehave("lost_file")
    host.restart()


def _link(host: FleetHost) -> None:
    host.config_path.rename(host.config_path.with_name("elsewhere.json"))
    host.config_path.symlink_to("elsewhere.json")


def _shadow(host: FleetHost) -> None:
    shadow = host.config_path.parent / ".aegis" / "config.yaml"
    shadow.parent.mkdir()
    shadow.write_text("dashboardEnabled: true\n")


FAULTS: Mapping[str, Fault] = {
    "unknown-name": Fault(
        "name", "the name is not known", settings=lambda _: {"address": "no-such-host.invalid"}
    ),
    "nothing-there": Fault(
        "port", "nothing listens there", settings=lambda _: {"port": free_port()}
    ),
    "no-bastion": Fault(
        "port", "bastion [127.0.0.1]:", settings=lambda _: {"jump": f"{ADDRESS}:{free_port()}"}
    ),
    "unknown-key": Fault(
        "host_key", "is not known (ssh-ed25519", settings=lambda _: {"address": "localhost"}
    ),
    "wrong-key": Fault(
        "auth",
        "took none of the keys offered",
        settings=lambda scene: {"identity_file": str(scene.stranger)},
    ),
    "no-sudo": Fault(
        "become",
        "sudo wants a password to become nobody",
        settings=lambda _: {"become_user": "nobody"},
    ),
    "no-directory": Fault(
        "directory",
        "its directory does not exist",
        settings=lambda _: {"config_path": "/nowhere/at/all/aegis.config.json"},
    ),
    "a-link": Fault("file", "it is a symbolic link", done=_link),
    "loose": Fault(
        "permissions", "its mode is 0644", done=lambda host: host.config_path.chmod(0o644)
    ),
    "ignored": Fault(
        "config",
        '"port" must be a whole number',
        done=lambda host: _rewrite(host, port="9100", stallThresholdMs=300000),
    ),
    "shadowed": Fault("file_in_use", ".aegis/config.yaml instead of it", done=_shadow),
    "decided": Fault(
        "variables",
        "sessions follow ANTHROPIC_MODEL",
        "warn",
        done=lambda host: _rewrite(
            host, defaultSessionEnv={**host.session_env(), "ANTHROPIC_MODEL": "x"}
        ),
    ),
    "locked": Fault("lock", "another run is writing there (ben@laptop", "warn", done=_lock(30)),
    "left": Fault("lock", "a run that did not end left its lock", "warn", done=_lock(4000)),
    "down": Fault("aegis", "nothing listens on", done=lambda host: host.place.stop(5)),
    "lost": Fault("api", "Aegis dropped its file", done=_lose_file),
    "another-token": Fault(
        "api",
        "it takes none of the known tokens",
        done=lambda host: _rewrite(host, authToken="another-token-not-real"),
    ),
    "no-claude": Fault(
        "claude",
        "Aegis finds no Claude Code",
        "warn",
        done=lambda host: host.misbehave("no_claude"),
    ),
    "old-claude": Fault("claude", "is too old", done=lambda host: host.misbehave("old_claude")),
    "not-restarted": Fault(
        "restart",
        "was not restarted since its file came",
        "warn",
        done=lambda host: _age(host.config_path, 60),
    ),
    "refused": Fault(
        "token",
        "the provider refuses the token (401)",
        settings=lambda scene: {"base_url": scene.provider.base_url("status-401", path="")},
        done=lambda host: _rewrite(
            host,
            defaultSessionEnv={
                **host.session_env(),
                "ANTHROPIC_BASE_URL": host.session_env()["ANTHROPIC_BASE_URL"].replace(
                    "/native", "/status-401"
                ),
            },
        ),
    ),
    "other-api-token": Fault(
        "api",
        "and not the inventory's api_token (WRONG_API_TOKEN, ",
        "warn",
        settings=lambda _: {"api_token": "${WRONG_API_TOKEN}"},
    ),
    "unset-api-token": Fault(
        "api",
        "the inventory's api_token is not known; UNSET_API_TOKEN (",
        "warn",
        settings=lambda _: {"api_token": "${UNSET_API_TOKEN}"},
    ),
    "unset": Fault(
        "token",
        "UNSET_TOKEN is unset or empty",
        settings=lambda _: {"auth_token": "${UNSET_TOKEN}"},
    ),
}
WELL = ("fine", "sftp-only")
CANARIES = (
    TOKEN,
    "api-token-not-real",
    "another-token-not-real",
    "wrong-api-token-not-real",
    OLD_ENV["ANTHROPIC_AUTH_TOKEN"],
)


def _shared(scene: Scene) -> dict[str, Mapping[str, object]]:
    """Return the settings of hosts that have nothing of their own."""
    shared = {name: fault.settings(scene) for name, fault in FAULTS.items() if fault.done is None}
    only_sftp: dict[str, object] = {
        "port": scene.sftp_only.port,
        "identity_file": str(scene.sftp_only.client_key),
    }
    no_token = {"base_url": scene.provider.base_url("not-asked"), "auth_token": "${PLACEHOLDER}"}
    return {**shared, "sftp-only": only_sftp, "no-token": no_token}


def _add_hosts(fleet: Fleet, settings: Mapping[str, Mapping[str, object]]) -> None:
    document = json.loads(fleet.inventory.read_text())
    hosts = document["all"]["hosts"]
    hosts.update({name: {**hosts["fine"], **own} for name, own in settings.items()})
    fleet.inventory.write_text(json.dumps(document, indent=2))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("doctor")
    only_sftp = ["ForceCommand internal-sftp", "AllowTcpForwarding no"]
    with running_sshd(directory / "sftp-only", settings=only_sftp) as sshd:
        scene = Scene(provider, sshd, make_key(directory / "stranger"))
        own = {name: fault for name, fault in FAULTS.items() if fault.done is not None}
        settings = {name: fault.settings(scene) for name, fault in own.items()}
        with running_hosts(directory / "fleet", ("fine", *own), settings=settings) as fleet:
            known = (fleet.sshd.known_hosts, sshd.known_hosts)
            fleet.environ["WRONG_API_TOKEN"] = "wrong-api-token-not-real"
            fleet.environ["PLACEHOLDER"] = "changeme"
            fleet.environ["GATEWAY_BASE_URL"] = provider.base_url("native", path="")
            fleet.environ["AEGIS_PROVISION_KNOWN_HOSTS"] = os.pathsep.join(map(str, known))
            _add_hosts(fleet, _shared(scene))
            sudo = fleet.directory / "bin" / "sudo"
            sudo.write_text(SUDO)
            sudo.chmod(0o755)
            for host in fleet:
                _rewrite(host, defaultSessionEnv=_variables(provider))
                fault = own.get(host.name)
                if fault is not None and fault.done is not None:
                    fault.done(host)
            yield fleet


def _tree(root: Path) -> dict[str, object]:
    """Return all that lies under ``root``; the hosts' own logs apart, which tell of requests."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        if path.name in {"log.jsonl", "console", "log", "control"} or path.is_socket():
            continue
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (facts.st_mode, facts.st_uid, facts.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def looked(fleet: Fleet) -> tuple[dict[str, Any], CommandResult]:
    """The diagnosis of all, after which everything is as it was."""
    before = _tree(fleet.directory.parent)
    result = fleet.call("doctor", "--format", "json", "--probe", "--host-key", "accept-new")
    assert _tree(fleet.directory.parent) == before
    assert not fleet.state.exists()
    check_document("doctor", result.json)
    return {host["host"]: host["checks"] for host in result.json["hosts"]}, result


def _findings(checks: list[dict[str, str]]) -> list[dict[str, str]]:
    return [check for check in checks if check["result"] in {"warn", "fail"}]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_told_once_and_by_its_name(
    looked: tuple[dict[str, Any], CommandResult], name: str
) -> None:
    fault = FAULTS[name]
    assert looked[0].keys() == {*FAULTS, *WELL, "no-token"}
    [finding] = _findings(looked[0][name])
    assert (finding["check"], finding["result"]) == (fault.check, fault.result)
    assert fault.words in finding["message"]
    assert finding["remedy"]


def test_a_token_that_is_none_is_sent_to_nobody(
    provider: Provider, looked: tuple[dict[str, Any], CommandResult]
) -> None:
    results = {check["check"]: check for check in looked[0]["no-token"]}
    assert results["token"]["result"] == "fail"
    assert "is refused" in results["token"]["message"]
    assert {results[name]["rests_on"] for name in ("provider", "model")} == {"token"}
    asked = {asked.path.split("/")[1] for asked in provider.asked}
    assert "native" in asked
    assert "not-asked" not in asked


@pytest.mark.parametrize("name", WELL)
def test_where_all_is_well_nothing_is_found(
    looked: tuple[dict[str, Any], CommandResult], name: str
) -> None:
    assert not _findings(looked[0][name])


def test_what_a_host_without_commands_can_not_tell_is_not_checked(
    looked: tuple[dict[str, Any], CommandResult],
) -> None:
    results = {check["check"]: check for check in looked[0]["sftp-only"]}
    asked = ("clock", "file_in_use", "aegis", "provider")
    assert {results[name]["result"] for name in asked} == {"not_checked"}
    assert {results[name]["result"] for name in ("file", "config", "lock", "free_space")} == {"ok"}
    results = {check["check"]: check for check in looked[0]["fine"]}
    assert {check["result"] for check in results.values()} == {"ok"}


def test_a_failed_check_is_exit_4_and_a_warning_is_none(
    fleet: Fleet, looked: tuple[dict[str, Any], CommandResult]
) -> None:
    result = looked[1]
    assert result.exit_code == 4
    assert "it takes no host key: --host-key accept-new is ignored" in result.stderr
    well = fleet.call("doctor", "fine:left:no-claude:unset", "--limit", "!left")
    assert well.exit_code == 0, well.stdout
    assert "3 hosts: 1 with warnings, 2 without a finding" in well.stdout
    assert "token: auth_token (UNSET_TOKEN, inventory.yml:" in well.stdout.replace(
        f"{fleet.directory}/", ""
    )


def test_no_token_is_shown_and_the_provider_is_asked_with_probe_alone(
    fleet: Fleet, looked: tuple[dict[str, Any], CommandResult]
) -> None:
    told = [looked[1]]
    told += [fleet.call("doctor", *flags) for flags in (("-v",), ("--format", "ndjson"))]
    for line in told[-1].lines:
        check_document("event", line)
    assert told[-1].lines[-1]["hosts"] == [
        {"host": line["host"], "checks": line["checks"]}
        for name in looked[0]
        for line in told[-1].lines
        if line["event"] == "host_diagnosed" and line["host"] == name
    ]
    for result in told:
        for canary in CANARIES:
            assert canary not in result.stdout + result.stderr
    sent = [entry["token"] for host in fleet for entry in host.requests("/v1/sessions")]
    assert set(sent) == {"none"}, "no token goes anywhere but to the health"


def test_an_aegis_that_was_asked_too_often_is_not_down(fleet: Fleet) -> None:
    for _ in range(HEALTH_PER_MINUTE):
        with (
            suppress(HTTPError),
            urlopen(f"http://{ADDRESS}:{fleet['old-claude'].port}/v1/health") as response,
        ):
            response.read()
    [host] = fleet.call("doctor", "old-claude", "--format", "json").json["hosts"]
    results = {check["check"]: check for check in host["checks"]}
    assert not [check for check in host["checks"] if check["result"] == "fail"]
    assert results["aegis"]["message"] == "Aegis was asked too often"
    assert results["aegis"]["remedy"] == "wait a minute"
    assert results["api"]["rests_on"] == "aegis"
