"""What turns the variables a host has into those it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.planning.masking import exposes_secret
from aegis_provision.planning.model import Change, ChangeKind
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.providers.session import Session


def session_changes(
    actual: Mapping[str, str], session: Session
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes of the managed variables, in the session's order, and the same ones.

    ``actual`` is the host's ``defaultSessionEnv``, empty where there is no file. Names that the
    session does not hold are not ours and appear in neither.
    """
    changes: list[Change] = []
    same: list[str] = []
    secrets = _known_secrets(actual, session)
    for name, after in session.values.items():
        before = actual.get(name)
        if before is not None and _equal(before, after):
            same.append(name)
            continue
        kind = ChangeKind.ADDED if before is None else ChangeKind.CHANGED
        changes.append(_change(name, kind, before, after, secrets))
    return tuple(changes), tuple(same)


def _equal(before: str, after: str | Secret) -> bool:
    return after.matches(before) if isinstance(after, Secret) else before == after


def _known_secrets(actual: Mapping[str, str], session: Session) -> tuple[Secret | str, ...]:
    sensitive = [item.name for item in session.spec.variables if item.sensitive]
    wanted = [value for value in session.values.values() if isinstance(value, Secret)]
    return (*wanted, *(actual[name] for name in sensitive if name in actual))


def _change(
    name: str,
    kind: ChangeKind,
    before: str | None,
    after: str | Secret,
    secrets: tuple[Secret | str, ...],
) -> Change:
    if isinstance(after, Secret) or any(
        exposes_secret(text, secrets) for text in (before, after) if text is not None
    ):
        return Change(name, kind, None, None, sensitive=True)
    return Change(name, kind, before, after, sensitive=False)
