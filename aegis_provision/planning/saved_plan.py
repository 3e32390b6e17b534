"""A saved plan, and the checks whether it is stale.

A saved plan may be copied around, so it holds no secret. Of a host's file it has a digest with the
plan's own salt (HMAC-SHA-256, RFC 2104). Of a provider's token it has a digest that is slow to
compute (scrypt, RFC 7914), so that guessing tokens takes too long; each distinct token is digested
once, so that a fleet does not.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, field
from typing import TYPE_CHECKING, TypeAlias

from aegis_provision.humanize import group_pairs, listed
from aegis_provision.planning.digests import DigestKey
from aegis_provision.planning.plan import Action
from aegis_provision.providers.redaction import without_exposed
from aegis_provision.providers.secret import Secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from aegis_provision.inventory.host import Host
    from aegis_provision.planning.plan import Change, HostPlan
    from aegis_provision.providers.session_variables import Session

Sources: TypeAlias = tuple[tuple[str, str], ...]
"""The operator's files that the plan was made from: path and SHA-256 of each."""

Batches: TypeAlias = tuple[tuple[tuple[str, ...], ...], ...]
"""The hosts of each batch of each play, in order."""

PARTS_OF_PLAN = frozenset({Action.CREATE, Action.UPDATE, Action.UNCHANGED})
"""The actions of hosts that are part of a saved plan; hosts with another action are left out."""

_ABSENT = ""
_NEWER_SETTINGS = {
    "trust_directory": False,
    "become_method": "sudo",
    "sftp_server_path": None,
    "site": None,
}
"""Fields of a target that version 0.1.0 did not have, and what they are where nothing is set."""
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1


@dataclass(frozen=True, slots=True)
class PathRef:
    """A path as the operator typed it, and as an absolute one."""

    path: str
    absolute: str


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options that the plan was made with. ``limit`` is empty for none."""

    inventories: tuple[PathRef, ...]
    limit: str = ""
    playbook: PathRef | None = None
    no_secrets: bool = False


@dataclass(frozen=True, slots=True)
class SavedHost:
    """What was planned for one host, and what the plan depended on.

    ``settings`` is the digest of how the host is reached and restarted, ``seen`` that of its file,
    ``None`` for none. ``wanted`` holds the digest of each session variable's value, ``None`` if it
    is secret. ``tokens`` maps secret variables to the names of their digests in the plan, unless
    they were withheld.
    """

    host: str
    provider: str
    path: str
    action: Action
    changes: tuple[Change, ...]
    unknown: tuple[str, ...]
    restart_pending: bool
    settings: str
    seen: str | None
    wanted: Mapping[str, str | None]
    tokens: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SkippedHost:
    """A host that was read and is not part of the plan, and why."""

    host: str
    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan as it is saved. ``made`` is in UTC; ``tokens`` maps names to digests of tokens."""

    made: datetime
    tool_version: str
    options: PlanOptions
    sources: Sources
    batches: Batches
    salt: bytes
    tokens: Mapping[str, str]
    hosts: tuple[SavedHost, ...]
    skipped: tuple[SkippedHost, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What a plan depends on before any host is read: files, batches, hosts and their sessions.

    ``hosts`` and ``sessions`` have every host of the batches.
    """

    sources: Sources
    batches: Batches
    hosts: Mapping[str, Host]
    sessions: Mapping[str, Session]


@dataclass(frozen=True, slots=True)
class StaleReasons:
    """Why a saved plan may not be carried out: for all of it, and per host in inventory order."""

    whole: tuple[str, ...] = ()
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.whole or self.hosts)


def save(
    made: datetime,
    tool_version: str,
    options: PlanOptions,
    inputs: PlanInputs,
    plans: Sequence[HostPlan],
    salt: bytes,
) -> SavedPlan:
    """Return the saved form of ``plans``; ``salt`` is 16 random bytes, fresh for each plan."""
    digests = _Digests(salt)
    hosts = tuple(
        _saved_host(plan, inputs, digests) for plan in plans if plan.action in PARTS_OF_PLAN
    )
    skipped = tuple(
        SkippedHost(plan.host, plan.action, plan.message)
        for plan in plans
        if plan.action not in PARTS_OF_PLAN
    )
    return SavedPlan(
        made,
        tool_version,
        options,
        inputs.sources,
        inputs.batches,
        salt,
        digests.tokens_by_name,
        hosts,
        skipped,
    )


def stale_inputs(saved: SavedPlan, now: PlanInputs) -> StaleReasons:
    """Return why the plan is stale before any host is read.

    It is if the operator's files, the batches, a value or a token changed.
    """
    whole = stale_schedule(saved, now.sources, now.batches).whole
    return StaleReasons(whole, group_pairs(_changed_host_inputs(saved, now)))


def stale_schedule(saved: SavedPlan, sources: Sources, batches: Batches) -> StaleReasons:
    """Return the reasons of :func:`stale_inputs` that need no secrets."""
    return StaleReasons(tuple(_changed_inputs(saved, sources, batches)))


def stale_hosts(saved: SavedPlan, plans: Sequence[HostPlan]) -> StaleReasons:
    """Return why ``plans``, made from the hosts as they are now, differ from what was saved.

    A host that is unreachable now is no reason: nothing can be written there.
    """
    return StaleReasons(hosts=group_pairs(_changed_hosts(saved, plans)))


def _saved_host(plan: HostPlan, inputs: PlanInputs, digests: _Digests) -> SavedHost:
    wanted = digests.of_session(inputs.sessions[plan.host])
    return SavedHost(
        plan.host,
        plan.provider,
        plan.path,
        plan.action,
        plan.changes,
        plan.unknown,
        plan.restart_pending,
        digests.of_settings(inputs.hosts[plan.host]),
        digests.of_seen(plan),
        wanted.values,
        {name: digests.name_of_token(secret) for name, secret in wanted.secrets.items()},
    )


def _changed_inputs(saved: SavedPlan, sources: Sources, batches: Batches) -> Iterator[str]:
    if [sha256 for _, sha256 in saved.sources] != [sha256 for _, sha256 in sources]:
        words = list(_other_sources(dict(saved.sources), dict(sources)))
        yield from words or ["the inventories are read in another order"]
    elif _as_sets(saved.batches) != _as_sets(batches):
        yield "the hosts of its plays, or their batches, are not what they were"


def _other_sources(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for path, sha256 in before.items():
        if path not in now:
            yield f"{path} is not there any more"
        elif now[path] != sha256:
            yield f"{path} has changed"
    yield from (f"{path} has come" for path in now if path not in before)


def _as_sets(batches: Batches) -> list[list[frozenset[str]]]:
    """Return ``batches`` without the order in each: the order decides nothing."""
    return [[frozenset(batch) for batch in play] for play in batches]


def _changed_host_inputs(saved: SavedPlan, now: PlanInputs) -> Iterator[tuple[str, str]]:
    digests = _Digests(saved.salt)
    known = {host.host for host in saved.hosts} | {host.host for host in saved.skipped}
    for host in saved.hosts:
        session = now.sessions.get(host.host)
        if session is None:
            yield host.host, "it is no part of what the plan is about any more"
            continue
        if session.spec.provider != host.provider:
            yield host.host, f"its provider is {session.spec.provider} now, not {host.provider}"
            continue
        if digests.of_settings(now.hosts[host.host]) != host.settings:
            yield host.host, "how it is reached or restarted is not what it was"
        wanted = digests.of_session(session)
        for name in dict.fromkeys((*host.wanted, *wanted.values)):
            then, value = host.wanted.get(name, _ABSENT), wanted.values.get(name, _ABSENT)
            if saved.options.no_secrets and then is None and value is not _ABSENT:
                continue  # It was withheld, so it can't be compared.
            if then != value:
                yield host.host, f"{name} is to be another value, or none"
        for name, secret in wanted.secrets.items():
            kept = saved.tokens.get(host.tokens.get(name, ""))
            if kept is not None and not hmac.compare_digest(kept, digests.of_token(secret)):
                yield host.host, f"{name}: {secret.origin} is not what it was"
    yield from (
        (name, "it has come since the plan was made") for name in now.sessions if name not in known
    )


def _changed_hosts(saved: SavedPlan, plans: Sequence[HostPlan]) -> Iterator[tuple[str, str]]:
    hosts = {host.host: host for host in saved.hosts}
    digests = _Digests(saved.salt)
    for plan in plans:
        host = hosts.get(plan.host)
        if host is None or plan.action is Action.UNREACHABLE:
            continue
        if plan.action is Action.ERROR:
            yield plan.host, f"it can't be written any more: {plan.message}"
            continue
        seen = digests.of_seen(plan)
        if plan.path != host.path:
            yield plan.host, f"the file is {plan.path} now, not {host.path}"
        elif seen != host.seen and host.seen is None:
            yield plan.host, "a file has come since the plan saw none"
        elif seen != host.seen:
            change = " is gone" if seen is None else ", its mode or its owner has changed"
            yield plan.host, f"the file{change}"
        elif others := _other_changes(host, plan):
            yield plan.host, f"what would change is not what the plan says: {listed(others)}"
        if plan.restart_pending and not host.restart_pending:
            yield plan.host, "it is owed a restart now, of which the plan does not know"


def _other_changes(host: SavedHost, plan: HostPlan) -> list[str]:
    """Return the keys whose change differs now; keys that were unknown then may change."""
    then = {change.key: change for change in host.changes}
    now = {change.key: change for change in plan.changes if change.key not in host.unknown}
    return [
        key for key in dict.fromkeys((*then, *now)) if not _same_change(then.get(key), now.get(key))
    ]


def _same_change(then: Change | None, now: Change | None) -> bool:
    """Tell whether two changes are the same, as far as both are shown.

    With the tokens at hand more values are recognised as secret, so more are masked.
    """
    if then is None or now is None:
        return then is now
    hidden = then.sensitive or now.sensitive
    return then.kind is now.kind if hidden else then == now


@dataclass(frozen=True, slots=True)
class _SessionDigests:
    """What hosts with one session get: the digest of each value, ``None`` for a secret one.

    ``secrets`` are the secret values, and values that contain a secret.
    """

    values: Mapping[str, str | None]
    secrets: Mapping[str, Secret]


class _Digests:
    """Digests under one plan's salt; of a session that hosts share, and of a token, made once."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._key = DigestKey.of(salt)
        self._sessions: dict[int, _SessionDigests] = {}
        self._tokens: list[tuple[Secret, str]] = []
        self._names: dict[str, str] = {}

    @property
    def tokens_by_name(self) -> Mapping[str, str]:
        """Return the digests of tokens that were given a name."""
        return {name: digest for digest, name in self._names.items()}

    def of_session(self, session: Session) -> _SessionDigests:
        """Return the digests of the values in ``session``; the caller keeps ``session`` alive."""
        if id(session) not in self._sessions:
            digests = dict.fromkeys(session.in_order)
            secrets = {}
            for name, value in without_exposed(session.values).items():
                if isinstance(value, Secret):
                    secrets[name] = value
                else:
                    digests[name] = self._of([name, value])
            self._sessions[id(session)] = _SessionDigests(digests, secrets)
        return self._sessions[id(session)]

    def of_settings(self, host: Host) -> str:
        """Return the digest of how ``host`` is reached and restarted.

        A setting that version 0.1.0 did not have counts only where it is set, so that a plan
        which 0.1.0 saved still holds.
        """
        service, token = host.service, host.service.api_token
        asked = None if token is None else token.value
        target = asdict(host.target)
        for name, default in _NEWER_SETTINGS.items():
            if target[name] == default:
                del target[name]
        return self._of([target, service.unit, service.command, service.api, asked])

    def of_seen(self, plan: HostPlan) -> str | None:
        """Return the digest of the file that ``plan`` saw, with mode and owner.

        A masked plan has it already, and was masked with the same salt.
        """
        return plan.digests.seen if plan.digests is not None else self._key.of_file(plan.seen)

    def of_token(self, secret: Secret) -> str:
        """Return the digest of ``secret``, which is slow to compute."""
        for token, digest in self._tokens:
            if token == secret:
                return digest
        digest = hashlib.scrypt(
            secret.reveal().encode(),
            salt=self._salt,
            n=_SCRYPT_N,
            r=_SCRYPT_R,
            p=_SCRYPT_P,
            maxmem=64 * 1024 * 1024,
            dklen=32,
        ).hex()
        self._tokens.append((secret, digest))
        return digest

    def name_of_token(self, secret: Secret) -> str:
        """Return the name under which the digest of ``secret`` is kept."""
        return self._names.setdefault(self.of_token(secret), f"token-{len(self._names) + 1}")

    def _of(self, content: object) -> str:
        return self._key.of_value(content)
