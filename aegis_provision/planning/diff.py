"""What turns the variables a host has into those it should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import looks_secret
from aegis_provision.planning.masking import exposes_secret
from aegis_provision.planning.model import Change, ChangeKind
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.sensitivity import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.providers.session import Session


def session_changes(
    actual: Mapping[str, str], session: Session, secrets: Iterable[str] = ()
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes of the managed variables, in the session's order, and the same ones.

    ``actual`` is the host's ``defaultSessionEnv``, empty where there is no file; ``secrets`` are
    those of the host's own file, which may stand in the wrong place too. Names that the session
    does not hold are not ours and appear in neither.
    """
    changes: list[Change] = []
    same: list[str] = []
    known = (*_known_secrets(actual, session), *secrets)
    for name, after in session.values.items():
        before = actual.get(name)
        if before is not None and is_equal(before, after):
            same.append(name)
            continue
        kind = ChangeKind.ADDED if before is None else ChangeKind.CHANGED
        changes.append(_change(name, kind, before, after, known))
    return tuple(changes), tuple(same)


def environment_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return what turns one file's session variables into another's, all names of either.

    ``secrets`` are those of both files. Nobody says here which values are sensitive, so names and
    looks decide.
    """
    known = tuple(secrets)
    changes: list[Change] = []
    for name in dict.fromkeys((*after, *before)):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        changes.append(_unnamed_change(name, old, new, known))
    return tuple(changes)


def removals(
    actual: Mapping[str, str], names: Iterable[str], secrets: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return what it means to take ``names`` out of ``actual``, which holds all of them.

    ``secrets`` are those of the host's own file. No spec says any more which were sensitive.
    """
    known = tuple(secrets)
    return tuple(_unnamed_change(name, actual[name], None, known) for name in names)


def _unnamed_change(name: str, old: str | None, new: str | None, secrets: Sequence[str]) -> Change:
    """Return the change of a variable of which nobody says whether it is sensitive."""
    kind = ChangeKind.CHANGED
    if old is None or new is None:
        kind = ChangeKind.ADDED if old is None else ChangeKind.REMOVED
    if is_secret_name(name) or any(
        exposes_secret(text, secrets) or looks_secret(text)
        for text in (old, new)
        if text is not None
    ):
        return Change(name, kind, None, None, sensitive=True)
    return Change(name, kind, old, new, sensitive=False)


def is_equal(before: str, after: str | Secret) -> bool:
    """Tell whether a file holds the value that is wanted there."""
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
    if (
        isinstance(after, Secret)
        or exposes_secret(after, secrets)
        or (before is not None and (exposes_secret(before, secrets) or looks_secret(before)))
    ):
        # What the inventory holds was looked at there; what a host holds may be anything.
        return Change(name, kind, None, None, sensitive=True)
    return Change(name, kind, before, after, sensitive=False)
