"""The Python API: what a script sees of plans, runs, statuses and errors."""

from __future__ import annotations

import dataclasses
import json
import pickle
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import aegis_provision as ap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.rollout.events import Event

TOKEN = "sk-canary-3f9d1c7b5a"
INVENTORY = """
all:
  vars: {{provider: openrouter, connection: local}}
  hosts:
    a: {{config_path: {0}/a/aegis.config.json}}
    b: {{config_path: {0}/b/aegis.config.json, provider: ollama}}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY.format(tmp_path))
    return path


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The only variables that count: the process's own lead nowhere."""
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, "/proc/nowhere")
    monkeypatch.setenv("OPENROUTER_API_KEY", "not-this-one-00000")
    home = tmp_path / "home"
    home.mkdir()
    # Every connection to a provider from here stays on this machine.
    nowhere = "http://127.0.0.1:9/v1"
    return {"HOME": str(home), "OPENROUTER_API_KEY": TOKEN, "OPENROUTER_BASE_URL": nowhere}


def session_env(path: Path) -> Any:
    return json.loads(path.read_text())["defaultSessionEnv"]


def test_every_name_is_there_and_none_is_a_subpackage() -> None:
    for name in ap.__all__:
        assert getattr(ap, name) is not None
    modules = {module.name for module in pkgutil.iter_modules(ap.__path__)}
    assert not modules & set(ap.__all__)
    assert set(ap.__all__) <= set(dir(ap))
    with pytest.raises(AttributeError, match="'aegis_provision' has no attribute 'nothing'"):
        _ = ap.nothing  # type: ignore[attr-defined]


def test_plan_then_apply_then_nothing_is_left(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    fleet = ap.load(inventory)
    plan = ap.plan(fleet, environ=environ)
    assert [(item.host, item.action) for item in plan] == [
        ("a", ap.Action.CREATE),
        ("b", ap.Action.CREATE),
    ]
    assert len(plan) == 2
    run = ap.apply(plan)
    assert [(item.host, item.status) for item in run] == [
        ("a", ap.Status.RESTART_PENDING),
        ("b", ap.Status.RESTART_PENDING),
    ]
    assert run.ok
    assert run.exit_code == 0
    assert session_env(tmp_path / "a" / "aegis.config.json")["ANTHROPIC_AUTH_TOKEN"] == TOKEN
    assert {item.action for item in ap.plan(fleet, environ=environ)} == {ap.Action.UNCHANGED}
    assert [item.states for item in ap.status(fleet, environ=environ)] == [
        (ap.HostState.IN_SYNC, ap.HostState.RESTART_PENDING),
        (ap.HostState.IN_SYNC, ap.HostState.RESTART_PENDING),
    ]


def test_a_diagnosis_has_the_checks_of_each_host_and_needs_no_token(
    inventory: Path, environ: Mapping[str, str]
) -> None:
    without = {name: value for name, value in environ.items() if value != TOKEN}
    found = ap.doctor(ap.load(inventory), limit="b", environ=without)
    assert [host.host for host in found] == ["b"]
    results = {check.check: check.result for check in found[0].checks}
    assert results["directory"] is ap.CheckResult.OK
    assert results["file"] is ap.CheckResult.WARN
    assert not list(Path(environ["HOME"]).iterdir()), "nothing is written"


def test_a_run_is_recorded_where_environ_says_and_can_be_rolled_back(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    fleet = ap.load(inventory)
    run = ap.apply(ap.plan(fleet, limit="a", environ=environ))
    state = tmp_path / "home" / ".local" / "state" / "aegis-provision" / "runs"
    assert [path.stem for path in state.iterdir()] == [run.name]
    assert ap.past_run("last", environ=environ).header.run == run.name
    assert len(ap.runs(environ=environ)) == 1
    back = ap.plan_rollback(fleet, environ=environ)
    assert back.is_rollback
    assert [item.host for item in back] == ["a"]
    undone = ap.apply(back)
    assert undone.exit_code == 0
    assert [item.status for item in undone.hosts] == [ap.Status.ROLLED_BACK]
    assert not (tmp_path / "a" / "aegis.config.json").exists()
    assert len(ap.runs(most=1, environ=environ)) == 1
    with pytest.raises(ap.NoSuchRunError, match="there is no run"):
        ap.past_run("2020", environ=environ)


def test_no_value_shows_a_secret(inventory: Path, environ: Mapping[str, str]) -> None:
    events: list[Event] = []
    fleet = ap.load(inventory)
    plan = ap.plan(fleet, environ=environ, on_event=events.append)
    planned = len(events)
    run = ap.apply(plan, on_event=events.append)
    statuses = ap.status(fleet, environ=environ, on_event=events.append)
    assert 0 < planned < len(events)
    for value in (fleet, plan, plan.job, run, *events, *statuses):
        assert TOKEN not in repr(value)


def test_what_is_handed_out_can_be_copied_and_sent_without_a_secret(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "a" / "aegis.config.json"
    config.write_text('{"authToken": "canary-of-the-host-1"}')
    events: list[Event] = []
    fleet = ap.load(inventory)
    plan = ap.plan(fleet, environ=environ, on_event=events.append)
    run = ap.apply(plan, on_event=events.append)
    statuses = ap.status(fleet, environ=environ, on_event=events.append)
    back = ap.plan_rollback(fleet, environ=environ, on_event=events.append)
    checks = ap.doctor(fleet, environ=environ, on_event=events.append)
    values = (*plan, *plan.hosts, *back, *back.hosts, run, *statuses, *checks, *events)
    assert {"HostPlanned", "HostChecked", "HostDiagnosed", "RunStarted"} <= {
        type(item).__name__ for item in values
    }
    for value in values:
        for text in (repr(dataclasses.asdict(value)), repr(pickle.dumps(value))):
            assert TOKEN not in text
            assert "canary-of-the-host" not in text
    with pytest.raises(TypeError, match="a secret is neither pickled nor copied"):
        pickle.dumps(plan)


def test_an_error_with_diagnostics_comes_back_from_a_process_pool(tmp_path: Path) -> None:
    with pytest.raises(ap.InvalidInputError) as refused:
        ap.load(tmp_path / "not-there.yml")
    again = pickle.loads(pickle.dumps(refused.value))  # noqa: S301  # our own bytes
    assert isinstance(again, ap.InvalidInputError)
    assert str(again) == str(refused.value)
    assert again.diagnostics == refused.value.diagnostics


def test_what_the_command_line_warns_of_is_in_the_plan(
    inventory: Path, environ: Mapping[str, str]
) -> None:
    fleet = ap.load(inventory)
    ap.apply(ap.plan(fleet, environ=environ))
    plan = ap.plan(fleet, environ=environ, retry="last")
    assert len(plan) == 0
    assert "nothing-to-retry" in {item.code for item in plan.diagnostics}


def test_the_recorded_runs_have_types_to_tell_them_apart(
    inventory: Path, environ: Mapping[str, str]
) -> None:
    run = ap.apply(ap.plan(ap.load(inventory), environ=environ))
    [summary] = ap.runs(environ=environ)
    assert isinstance(summary, ap.RunSummary)
    assert (summary.run, summary.exit_code) == (run.name, 0)
    record = next(Path(environ["HOME"]).rglob(f"{run.name}.jsonl"))
    record.write_text("no record\n")
    [damaged] = ap.runs(environ=environ)
    assert isinstance(damaged, ap.DamagedRun)
    assert damaged.run == run.name
    with pytest.raises(ap.InputError, match="most: -1 is below 0"):
        ap.runs(most=-1, environ=environ)


def test_a_file_that_is_gone_is_written_anew_when_the_caller_says_so(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    fleet = ap.load(inventory)
    ap.apply(ap.plan(fleet, environ=environ))
    config = tmp_path / "a" / "aegis.config.json"
    config.unlink()
    [plan] = ap.plan(fleet, limit="a", environ=environ)
    assert (plan.action, "--recreate" in plan.hint) == (ap.Action.ERROR, True)
    run = ap.apply(ap.plan(fleet, limit="a", recreate=True, environ=environ))
    assert run.ok
    assert session_env(config)["ANTHROPIC_AUTH_TOKEN"] == TOKEN


def test_the_command_line_s_variables_change_nothing(
    inventory: Path, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEGIS_PROVISION_FORKS", "0")
    plan = ap.plan(ap.load(inventory), environ={**environ, "AEGIS_PROVISION_FORKS": "0"})
    assert plan.job.connection.forks == 32


def test_a_host_s_failure_is_a_value(tmp_path: Path, environ: Mapping[str, str]) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text("all: {vars: {provider: ollama}, hosts: {a: {address: 127.0.0.1, port: 1}}}")
    plan = ap.plan(ap.load(path), environ=environ, ssh_config="none", timeout=5)
    assert [(item.action, item.message) for item in plan] == [
        (ap.Action.UNREACHABLE, "connect: nothing listens there (3 attempts within 5 s)")
    ]
    run = ap.apply(plan)
    assert [item.status for item in run.hosts] == [ap.Status.UNREACHABLE]
    assert not run.ok
    assert run.exit_code == 5


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "missing-variable"), ("a\nb-0123456789", "refused-value"), ("changeme", "refused-value")],
)
def test_what_aegis_would_choke_on_is_refused_before_anything_connects(
    inventory: Path, environ: Mapping[str, str], token: str, code: str
) -> None:
    events: list[Event] = []
    with pytest.raises(ap.InvalidInputError) as refused:
        ap.plan(
            ap.load(inventory),
            environ={**environ, "OPENROUTER_API_KEY": token},
            on_event=events.append,
        )
    assert events == []
    assert isinstance(refused.value, ap.Error)
    assert [item.code for item in refused.value.diagnostics if item.is_error] == [code]


def test_all_errors_of_the_files_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text("all: {vars: {provider: opnrouter}, hosts: {a: {modle: x, port: 99999}}}")
    with pytest.raises(ap.InvalidInputError) as refused:
        ap.load(path)
    assert len(refused.value.diagnostics) == 3
    lines = str(refused.value).splitlines()
    assert lines[0].startswith(f"{path}:1:")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": "nothing"}, "--limit: "),
        ({"limit": ["a", "b"]}, "limit: a host pattern is wanted"),
        ({"host_key": "no"}, "host_key: 'no' is neither"),
        ({"forks": 0}, "forks: 0 is not between 1 and 1000"),
        ({"forks": 1001}, "forks: 1001 is not between 1 and 1000"),
        ({"workers": 0}, "workers: 0 is neither 'auto' nor between 1 and 256"),
        ({"workers": "all"}, "workers: 'all' is neither 'auto' nor between 1 and 256"),
        ({"timeout": 0}, "timeout: 0 is not above 0"),
        ({"deadline": 86_401}, "deadline: 86401 is not above 0"),
        ({"deadline": float("nan")}, "deadline: nan is not above 0"),
        ({"known_hosts": "file"}, "known_hosts: a sequence of paths is wanted"),
        ({"ssh_config": "not-there"}, "--ssh-config: no file not-there"),
        ({"serial": "0"}, "serial: "),
        ({"max_fail": "-1"}, "max_fail: "),
        ({"retry": "last"}, "there are no runs yet"),
        ({"playbook": "not-there.yml"}, "the playbook not-there.yml does not exist"),
    ],
)
def test_wrong_parameters_are_input_errors(
    inventory: Path, environ: Mapping[str, str], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ap.InputError) as refused:
        ap.plan(ap.load(inventory), environ=environ, **options)
    assert str(refused.value).startswith(words)


def test_a_plan_without_secrets_is_only_to_look_at(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    plan = ap.plan(ap.load(inventory), secrets=False, environ={"HOME": environ["HOME"]})
    with pytest.raises(ap.InputError, match="a plan without secrets can't be applied"):
        ap.apply(plan)
    assert list((tmp_path / "a").iterdir()) == []


def test_what_an_observer_raises_stops_no_host(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    def fail(event: Event) -> None:
        raise LookupError(type(event).__name__)

    with pytest.raises(LookupError, match="RunStarted"):
        ap.apply(ap.plan(ap.load(inventory), environ=environ), on_event=fail)
    assert (tmp_path / "b" / "aegis.config.json").exists()


def test_a_cancelled_run_begins_no_host(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    cancel = ap.CancelToken()
    cancel.cancel()
    run = ap.apply(ap.plan(ap.load(inventory), environ=environ), cancel=cancel)
    assert [item.status for item in run.hosts] == [ap.Status.NOT_ATTEMPTED] * 2
    assert run.exit_code == 130
    assert not run.ok
    assert list((tmp_path / "a").iterdir()) == []


def test_without_a_state_directory_nothing_is_written(
    inventory: Path, environ: Mapping[str, str], tmp_path: Path
) -> None:
    plan = ap.plan(ap.load(inventory), environ={**environ, "XDG_STATE_HOME": "/proc/nowhere"})
    with pytest.raises(ap.RefusedError, match="nothing was written: the directory for records"):
        ap.apply(plan)
    assert list((tmp_path / "a").iterdir()) == []


def test_without_a_name_the_variable_s_inventory_is_read(inventory: Path) -> None:
    fleet = ap.load(environ={"AEGIS_PROVISION_INVENTORY": str(inventory)})
    assert list(fleet.hosts) == ["a", "b"]


def test_the_documented_way_to_stop_a_run_exists() -> None:
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    [method] = re.findall(r"`CancelToken` and call its `(\w+)\(\)`", text)
    assert callable(getattr(ap.CancelToken, method))
