"""All that is known of a host loses its secrets at one boundary, in every field."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from aegis_provision.aegis.remote_state import RemoteFile
from aegis_provision.errors import Unreachable
from aegis_provision.inventory.pins import pin_of
from aegis_provision.planning.plan import Action, Change, ChangeKind, HostPlan, Write
from aegis_provision.planning.receipts import WriteInfo
from aegis_provision.planning.status import HostState, HostStatus, TokenState
from aegis_provision.providers.redaction import MASK, Redactor
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.session_variables import resolve_env
from aegis_provision.rollout.events import (
    HostRestarted,
    HostRolledBack,
    HostWritten,
    KeysAccepted,
    Step,
    StepStarted,
)
from aegis_provision.rollout.host_job import HostJob
from aegis_provision.rollout.host_worker import host_worker
from aegis_provision.rollout.inspection import check_fleet, inspect_fleet
from aegis_provision.rollout.planner import plan_fleet
from aegis_provision.rollout.redact_remote_text import redacted, redactor_of
from aegis_provision.rollout.results import HostResult, Status
from aegis_provision.transport.connect_options import AcceptedKey
from tests.fleet.specs import specified

if TYPE_CHECKING:
    from collections.abc import Callable

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.deadline import Deadline
    from aegis_provision.transport.retry import OnRetry
    from tests.fleet.jobs import Hosts

TOKEN = "tkn-4f1d9wXy7LmN2pR"
WORD = "ollama"
HELD = f"a {TOKEN} b"
GONE = f"a {MASK} b"
REDACTOR = Redactor.of([TOKEN, WORD])
STAMP = WriteInfo(HELD, datetime(2025, 1, 1, tzinfo=UTC), HELD)
FILE = RemoteFile(TOKEN.encode(), 0o600, 0, 0)
KEY = AcceptedKey(HELD, HELD, HELD)


def work(api_token: str | None = None) -> HostJob:
    inventory, specs = specified(
        f"all: {{hosts: {{a: {{provider: ollama, model: m, pin_reason: {HELD}}}}}}}"
    )
    secret = Secret(api_token, "${A}") if api_token else None
    session = resolve_env(specs["a"], {"OLLAMA_API_KEY": TOKEN})
    return HostJob(inventory.hosts["a"], session, secret)


WORK = work()
PIN = pin_of(WORK.host)


def texts(value: Any) -> dict[str, object]:
    """Return the fields of a value that hold any text, a tuple's too."""
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if isinstance(getattr(value, field.name), str | tuple)
    }


STAY = {"host", "provider", "wanted", "secrets", "action", "status", "step", "states"}


@pytest.mark.parametrize(
    "value",
    [
        HostPlan(
            HELD, HELD, HELD, Action.UPDATE, (), (HELD,), (HELD,), HELD, HELD, (HELD, HELD),
            write=Write(HELD, TOKEN.encode(), 0o600, 0, 0, FILE), seen=FILE, secrets=(TOKEN,),
            pin=PIN,
        ),
        HostStatus(
            HELD, HELD, HELD, (HostState.DRIFTED,), (HELD,), (HELD,), (HELD,), (HELD,),
            (HELD,), message=HELD, hint=HELD, wrote=STAMP,
            current_provider=HELD, tokens={HELD: TokenState.OLDER}, secrets=(TOKEN,),
        ),
        HostResult(HELD, Status.FAILED, HELD, HELD, (HELD, HELD)),
        StepStarted(HELD, Step.ROLL_BACK, HELD),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_every_text_loses_it_but_the_inventorys_own_names(value: Any) -> None:
    clean = redacted(value, REDACTOR, WORK)
    for name, text in texts(clean).items():
        before = getattr(value, name)
        if name in STAY:
            assert text == before
        else:
            assert text == (
                before and (tuple(GONE for _ in before) if type(before) is tuple else GONE)
            )
    if isinstance(value, HostPlan):
        assert PIN is not None
        assert PIN.reason == HELD
        assert (clean.write, clean.seen, clean.pin) == (value.write, value.seen, value.pin)
        assert clean.write is value.write
    if isinstance(value, HostStatus):
        assert clean.wrote == WriteInfo(GONE, STAMP.written, GONE)
        assert clean.tokens == value.tokens


def test_keys_lose_it_and_their_host_does_not() -> None:
    clean = redacted(KeysAccepted(HELD, (KEY,)), REDACTOR, WORK)
    assert clean == KeysAccepted(HELD, (AcceptedKey(GONE, GONE, GONE),))


def test_what_holds_none_is_the_same() -> None:
    plan = HostPlan("a", "p", "/x", Action.UNCHANGED, message="nothing", secrets=(TOKEN,))
    assert redacted(plan, REDACTOR, WORK) is plan


@pytest.mark.parametrize(
    ("before", "after", "sensitive"),
    [
        ("small", "big", False),
        (None, "big", False),
        ("small", None, False),
        (HELD, "big", True),
        ("small", HELD, True),
        (f"%74kn-{TOKEN[4:]}", None, True),
        (None, TOKEN[1:13], True),
    ],
)
def test_a_change_that_would_show_it_shows_neither_side(
    before: str | None, after: str | None, sensitive: bool
) -> None:
    change = Change("MODEL", ChangeKind.CHANGED, before, after, sensitive=False)
    plan = HostPlan("a", "p", "/x", Action.UPDATE, changes=(change,))
    [clean] = redacted(plan, REDACTOR, WORK).changes
    shown = (None, None) if sensitive else (before, after)
    assert clean == Change("MODEL", ChangeKind.CHANGED, *shown, sensitive=sensitive)


def test_a_variables_name_loses_it_unless_the_inventory_gave_it() -> None:
    named = Redactor.of(["ANTHROPIC_AUTH_TOKEN", "KEY_4F1D9WXY7LMN"])
    changes = tuple(
        Change(name, ChangeKind.REMOVED, None, None, sensitive=True)
        for name in ("ANTHROPIC_AUTH_TOKEN", "KEY_4F1D9WXY7LMN")
    )
    plan = HostPlan("a", "p", "/x", Action.UPDATE, changes, ("ANTHROPIC_AUTH_TOKEN",))
    clean = redacted(plan, named, WORK)
    assert [change.key for change in clean.changes] == ["ANTHROPIC_AUTH_TOKEN", MASK]
    assert clean.changes[0] is changes[0]
    assert clean.same == ("ANTHROPIC_AUTH_TOKEN",)


def test_a_mere_word_stays_in_paths_and_as_the_providers_name() -> None:
    path = f"/home/{WORD}/aegis.config.json"
    status = HostStatus("a", path, WORD, (), message=f"see {path}", current_provider=WORD)
    clean = redacted(status, REDACTOR, WORK)
    assert (clean.path, clean.current_provider) == (path, WORD)
    assert clean.message == f"see /home/{MASK}/aegis.config.json"


def test_a_run_knows_the_secrets_of_all_its_hosts() -> None:
    one, other = work("api-0f1e2d3c4b5a"), work("api-99f1e2d3c4b5")
    same = dataclasses.replace(one, api_token=None)
    text = f"{TOKEN} api-0f1e2d3c4b5a api-99f1e2d3c4b5 other-0f1e2d3c"
    assert redactor_of([same, one, other]).redact(text) == f"{MASK} {MASK} {MASK} other-0f1e2d3c"
    assert redactor_of([one]).redact(text).startswith(f"{MASK} {MASK} api-99")
    assert redactor_of([]) == Redactor()


def test_what_a_hosts_file_holds_shows_in_no_status(hosts_of: Callable[..., Hosts]) -> None:
    """The file's own token as a model's name, and as part of a variable's."""
    hosts = hosts_of("a")
    token = "host-4f1d9wXy7LmN"
    content = {"authToken": token, "defaultSessionEnv": {"X": "1"}}
    hosts.file_of("a").write_text(json.dumps(content))
    (hosts.file_of("a").parent / ".aegis-provision").mkdir(mode=0o700)
    receipt = hosts.file_of("a").parent / ".aegis-provision" / "receipt.json"
    receipt.symlink_to(token)
    with hosts.worker() as worker:
        [status] = check_fleet(hosts.jobs, worker, hosts.emit)
    assert status.states == (HostState.PENDING,)
    for value in (status, *hosts.events):
        assert token not in repr(dataclasses.asdict(value))


def says_it(
    target: Target, options: ConnectOptions, deadline: Deadline, on_retry: OnRetry
) -> NoReturn:
    """Be a host that says the tokens instead of accepting a login."""
    hint = f"further {TOKEN}, api-0f1e2d3c4b5a, own-0f1e2d3c4b"
    raise Unreachable("sftp", f"it said {TOKEN}", hint)


def test_what_a_host_says_instead_of_letting_us_in_loses_it(hosts_of: Callable[..., Hosts]) -> None:
    hosts = hosts_of("a")
    connection = dataclasses.replace(
        hosts.connection, connect=says_it, secrets=(Secret("own-0f1e2d3c4b", "${O}"),)
    )
    jobs = [work("api-0f1e2d3c4b5a")]
    with host_worker(jobs, connection) as worker:
        [status] = check_fleet(jobs, worker, hosts.emit)
        [plan] = plan_fleet(jobs, worker, hosts.emit)
    [found] = inspect_fleet([WORK.host], connection, hosts.emit)
    for reading in (status, plan):
        assert reading.message == f"sftp: it said {MASK}"
        assert reading.hint == f"further {MASK}, {MASK}, {MASK}"
    assert found.plan.hint == f"further {TOKEN}, api-0f1e2d3c4b5a, {MASK}"
    assert "api-0f1e2d3c4b5a" not in repr(hosts.events[:4])


@pytest.mark.parametrize("event", [HostWritten, HostRestarted, HostRolledBack])
def test_a_host_is_called_what_the_inventory_calls_it(event: Callable[[str], object]) -> None:
    assert redacted(event(HELD), REDACTOR, WORK) == event(HELD)
