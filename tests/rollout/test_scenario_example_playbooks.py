"""The playbooks that come with the tool, each carried out on a fleet like the starter inventory's.

Their pauses are cut out: nothing else of them is changed.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fleet.hosts import OLD_ENV, Fleet, running_hosts
from tests.fleet.provider_server import Provider, running_provider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fleet.hosts import CommandResult

ROOT = Path(__file__).resolve().parents[2]
STARTER = ROOT / "aegis_provision" / "operations" / "starter" / "playbook.yml"
PLAYBOOKS = {path.stem: path for path in (*sorted((ROOT / "playbooks").glob("*.yml")), STARTER)}
BUILDERS = ("build-01", "build-02", "build-03")
GPU = ("gpu-01", "gpu-02")
MODELS = (
    "openai/gpt-4.1-mini",
    "qwen2.5-coder:32b",
    "qwen2.5-coder:7b",
    "glm-4.5",
    "glm-4.5-air",
)
NEW_TOKEN = "new-openrouter-token-not-real"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider(models=MODELS) as found:
        yield found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Fleet]:
    with running_hosts(
        tmp_path_factory.mktemp("fleet"),
        [*BUILDERS, *GPU],
        groups={"builders": BUILDERS, "gpu": GPU},
        common={"provider": "openrouter"},
        settings={
            "gpu-01": {"provider": "ollama", "model": "qwen2.5-coder:32b"},
            "gpu-02": {"provider": "glm"},
        },
        providers={},
    ) as fleet:
        for name in ("OPENROUTER", "OLLAMA", "GLM"):
            fleet.environ[f"{name}_BASE_URL"] = provider.base_url()
        fleet.environ["OPENROUTER_API_KEY"] = NEW_TOKEN
        fleet.environ["GLM_API_KEY"] = "glm-token-not-real"
        yield fleet


def apply(fleet: Fleet, name: str, *flags: str, env: dict[str, str] | None = None) -> CommandResult:
    text = PLAYBOOKS[name].read_text(encoding="utf-8")
    book = fleet.playbook(re.sub(r"^  pause: .*$", "  pause: 0", text, flags=re.MULTILINE))
    return fleet.run("apply", book, "--yes", "--format", "json", *flags, env=env)


def test_none_is_forgotten() -> None:
    assert set(PLAYBOOKS) == {
        "all-at-once",
        "canary-then-waves",
        "one-provider",
        "playbook",
        "token-rotation",
    }


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_host_that_it_names_runs_on_its_new_file(fleet: Fleet, name: str) -> None:
    concerned = BUILDERS if name in {"one-provider", "token-rotation"} else (*BUILDERS, *GPU)
    starts = {host.name: host.starts for host in fleet}
    result = apply(fleet, name)
    assert result.exit_code == 0, result.stderr
    assert result.statuses == dict.fromkeys(concerned, "applied")
    for host in fleet:
        if host.name in concerned:
            assert host.loaded_env() == host.session_env() != OLD_ENV
            assert host.starts == starts[host.name] + 1
        else:
            assert host.session_env() == OLD_ENV
            assert host.starts == starts[host.name]
    again = apply(fleet, name)
    assert again.statuses == dict.fromkeys(concerned, "unchanged")


@pytest.mark.parametrize("name", ["canary-then-waves", "playbook"])
def test_a_canary_that_fails_is_restored_and_ends_the_run(fleet: Fleet, name: str) -> None:
    fleet["build-01"].misbehave("lost_file", times=1)
    result = apply(fleet, name)
    assert result.exit_code == 4
    assert result.statuses == {
        "build-01": "rolled_back",
        **dict.fromkeys(["build-02", "build-03", *GPU], "not_attempted"),
    }
    for host in fleet:
        assert host.session_env() == host.loaded_env() == OLD_ENV


def test_a_provider_that_is_elsewhere_leaves_its_hosts_as_they_are(
    fleet: Fleet, provider: Provider
) -> None:
    elsewhere = {"OPENROUTER_BASE_URL": provider.base_url("status-404")}
    result = apply(fleet, "one-provider", env=elsewhere)
    assert result.exit_code == 4
    # One in a batch: a quarter of three hosts is less than one. The second is one too many.
    assert result.statuses == {
        "build-01": "refused",
        "build-02": "refused",
        "build-03": "not_attempted",
    }
    assert all(host.session_env() == OLD_ENV for host in fleet)


def test_a_token_that_the_provider_refuses_is_written_nowhere(
    fleet: Fleet, provider: Provider
) -> None:
    refusing = {"OPENROUTER_BASE_URL": provider.base_url("status-401")}
    result = apply(fleet, "token-rotation", env=refusing)
    assert result.exit_code == 4
    assert result.statuses == {
        "build-01": "refused",
        "build-02": "not_attempted",
        "build-03": "not_attempted",
    }
    assert all(NEW_TOKEN not in host.config_path.read_text() for host in fleet)
    assert NEW_TOKEN not in result.stdout + result.stderr


def test_all_at_once_waits_for_no_session(fleet: Fleet) -> None:
    for host in fleet:
        host.misbehave("sessions", (1, 600))
    result = apply(fleet, "all-at-once")
    assert result.exit_code == 0, result.stderr
    assert set(result.statuses.values()) == {"applied"}


def test_a_token_rotation_waits_for_sessions(fleet: Fleet) -> None:
    end = time.time() + 5
    fleet["build-02"].misbehave("sessions", (1, 5))
    result = apply(fleet, "token-rotation")
    assert result.exit_code == 0, result.stderr
    assert fleet["build-02"].log("restart")[-1]["at"] >= end
