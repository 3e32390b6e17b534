"""Redacts text from hosts before it is shown or recorded: no secret leaves in it.

Text of a host, its Aegis or its provider stands beside our own in a plan, a status, a result or an
event. So all text in them is redacted, in every field but those named here: a new field is covered
by itself.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aegis_provision.planning.plan import Change, HostPlan
from aegis_provision.planning.status import HostStatus
from aegis_provision.providers.redaction import Redactor
from aegis_provision.rollout.events import FileDigest
from aegis_provision.rollout.inspected_host import InspectedHost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aegis_provision.providers.secret import Secret
    from aegis_provision.rollout.host_job import HostJob

T = TypeVar("T")

_OURS: Mapping[type, frozenset[str]] = {
    # Names from the inventory; what is to be written, which is never shown; a pin's own text.
    HostPlan: frozenset({"provider", "write", "seen", "auth_token", "secrets", "pin"}),
    HostStatus: frozenset({"wanted", "tokens", "secrets"}),
    # Made here, of numbers and with a key.
    FileDigest: frozenset({"digest", "mode"}),
    # What was read for an import, as it is.
    InspectedHost: frozenset({"actual", "receipt"}),
}
_HOST = "host"
"""The field of a host's name, which the inventory gives it, in every type of value."""

_PATH = "path"


def run_secrets(jobs: Iterable[HostJob], further: Iterable[Secret] = ()) -> tuple[Secret, ...]:
    """Return all secrets of a run over ``jobs``, and ``further``; those that hosts share, once."""
    sessions = {id(job.session): job for job in jobs}
    tokens = {id(job.api_token): job for job in jobs}
    every = (*sessions.values(), *tokens.values())
    found = (*further, *(secret for job in every for secret in job.secrets()))
    return tuple({id(secret): secret for secret in found}.values())


def redactor_of(jobs: Iterable[HostJob], further: Iterable[Secret] = ()) -> Redactor:
    """Return the redactor of a run over ``jobs``: with all their secrets, and ``further``."""
    return Redactor.of(run_secrets(jobs, further))


def redacted(value: T, redactor: Redactor, job: HostJob) -> T:
    """Return a plan, status, result or event of the host of ``job`` without secrets in its text.

    Names that the inventory gives to variables and providers stay. A change whose values would show
    a secret shows neither value.
    """
    names = job.session.names | {job.session.spec.provider}
    return cast("T", _Walk(redactor, names).clean(value))


class _Walk:
    """Goes through values, field by field."""

    def __init__(self, redactor: Redactor, names: frozenset[str]) -> None:
        self._redactor = redactor
        self._names = names

    def clean(self, value: Any) -> Any:
        # A member of an enumeration is a str too, and ours: it stays.
        if type(value) is str:
            return value if value in self._names else self._redactor.redact(value)
        if type(value) is tuple:
            return tuple(self.clean(item) for item in value)
        if isinstance(value, Change):
            return self._change(value)
        return self._fields(value) if is_dataclass(value) else value

    def _fields(self, value: Any) -> Any:
        ours = _OURS.get(type(value), frozenset())
        changed = {}
        for name in (field.name for field in fields(value)):
            before = getattr(value, name)
            if name == _HOST or name in ours or not before:
                continue
            after = (
                self._redactor.redact(before, words=False) if name == _PATH else self.clean(before)
            )
            if after is not before and after != before:
                changed[name] = after
        return replace(value, **changed) if changed else value

    def _change(self, change: Change) -> Change:
        values = [text for text in (change.before, change.after) if text]
        key = self.clean(change.key)
        if any(map(self._redactor.finds, values)):
            return replace(change, key=key, before=None, after=None, sensitive=True)
        return change if key == change.key else replace(change, key=key)
