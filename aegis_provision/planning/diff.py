"""What turns the variables a host has into those it should have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.documents.quoting import looks_secret
from aegis_provision.planning.masking import exposes_secret
from aegis_provision.planning.model import Change, ChangeKind
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.sensitivity import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.providers.session import Session


@dataclass(frozen=True, slots=True)
class SessionDiff:
    """The managed variables of a host: those that change, that stay, and that nobody can tell of.

    All are in the session's order. ``unknown`` names variables that are there, and whose wanted
    values were withheld.
    """

    changes: tuple[Change, ...]
    same: tuple[str, ...]
    unknown: tuple[str, ...]


def session_changes(
    actual: Mapping[str, str], session: Session, secrets: Iterable[str] = ()
) -> SessionDiff:
    """Return how the managed variables of a host differ from what ``session`` wants.

    ``actual`` is the host's ``defaultSessionEnv``, empty where there is no file; ``secrets`` are
    those of the host's own file, which may stand in the wrong place too. Names that the session
    does not hold are not ours and appear nowhere.
    """
    changes: list[Change] = []
    same: list[str] = []
    unknown: list[str] = []
    known = (*_known_secrets(actual, session), *secrets)
    for name in session.in_order:
        before, after = actual.get(name), session.values.get(name)
        if name in session.withheld:
            if before is not None:
                unknown.append(name)
            else:
                changes.append(Change(name, ChangeKind.ADDED, None, None, sensitive=True))
        elif after is None:
            continue
        elif before is not None and is_equal(before, after):
            same.append(name)
        elif isinstance(after, Secret):
            changes.append(Change(name, _kind(before, after), None, None, sensitive=True))
        else:
            # What the inventory holds was looked at there; what a host holds may be anything.
            sensitive = exposes_secret(after, known) or _is_sensitive(before, known)
            changes.append(_change(name, before, after, sensitive=sensitive))
    return SessionDiff(tuple(changes), tuple(same), tuple(unknown))


def environment_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return what turns one file's session variables into another's, all names of either.

    ``secrets`` are those of both files. Nobody says here which values are sensitive, so names and
    looks decide.
    """
    known = tuple(secrets)
    return tuple(
        _unnamed_change(name, before.get(name), after.get(name), known)
        for name in dict.fromkeys((*after, *before))
        if before.get(name) != after.get(name)
    )


def removals(
    actual: Mapping[str, str], names: Iterable[str], secrets: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return what it means to take ``names`` out of ``actual``, which holds all of them.

    ``secrets`` are those of the host's own file. No spec says any more which were sensitive.
    """
    known = tuple(secrets)
    return tuple(_unnamed_change(name, actual[name], None, known) for name in names)


def is_equal(before: str, after: str | Secret) -> bool:
    """Tell whether a file holds the value that is wanted there."""
    return after.matches(before) if isinstance(after, Secret) else before == after


def _unnamed_change(
    name: str, before: str | None, after: str | None, secrets: Sequence[str]
) -> Change:
    """Return the change of a variable of which nobody says whether it is sensitive."""
    looks_so = _is_sensitive(before, secrets) or _is_sensitive(after, secrets)
    return _change(name, before, after, sensitive=is_secret_name(name) or looks_so)


def _change(name: str, before: str | None, after: str | None, *, sensitive: bool) -> Change:
    kind = _kind(before, after)
    if sensitive:
        return Change(name, kind, None, None, sensitive=True)
    return Change(name, kind, before, after, sensitive=False)


def _kind(before: object, after: object) -> ChangeKind:
    if before is None:
        return ChangeKind.ADDED
    return ChangeKind.CHANGED if after is not None else ChangeKind.REMOVED


def _is_sensitive(text: str | None, secrets: Iterable[Secret | str]) -> bool:
    """Tell whether a value out of a host's file is one that nobody may see."""
    return text is not None and (exposes_secret(text, secrets) or looks_secret(text))


def _known_secrets(actual: Mapping[str, str], session: Session) -> tuple[Secret | str, ...]:
    sensitive = [item.name for item in session.spec.variables if item.sensitive]
    wanted = [value for value in session.values.values() if isinstance(value, Secret)]
    return (*wanted, *(actual[name] for name in sensitive if name in actual))
