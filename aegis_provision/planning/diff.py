"""Diff: the changes that turn a host's session variables into the desired ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.planning.plan import Change, ChangeKind
from aegis_provision.providers.redaction import exposes_secret
from aegis_provision.providers.secret import Secret, is_named_secret, is_plain_value
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aegis_provision.providers.session_variables import Session


@dataclass(frozen=True, slots=True)
class SessionDiff:
    """The managed variables of a host: those that change, those that stay, and the unknown.

    All are in the session's order, removed ones last. ``unknown`` names variables that the host has
    and that can't be compared, because their desired values were withheld.
    """

    changes: tuple[Change, ...]
    same: tuple[str, ...]
    unknown: tuple[str, ...]


def session_changes(
    actual: Mapping[str, str], session: Session, secrets: Iterable[str] = ()
) -> SessionDiff:
    """Return how the managed variables of a host differ from what ``session`` wants.

    ``actual`` is the host's ``defaultSessionEnv``, empty where there is no file. ``secrets`` are
    those of the host's own file: a value that repeats one is masked. Names that the session does
    not hold are not managed and do not appear.
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
            changes.append(_change(name, before, after, known))
    gone = (name for name in session.spec.removed if name in actual)
    changes.extend(removals(actual, gone, known))
    return SessionDiff(tuple(changes), tuple(same), tuple(unknown))


def environment_changes(
    before: Mapping[str, str], after: Mapping[str, str], secrets: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return the changes from one file's session variables to another's, over all names of both.

    ``secrets`` are those of both files. No spec says which values are sensitive here, so a value's
    name and its looks decide.
    """
    known = tuple(secrets)
    return tuple(
        _change(name, before.get(name), after.get(name), known)
        for name in dict.fromkeys((*after, *before))
        if before.get(name) != after.get(name)
    )


def removals(
    actual: Mapping[str, str], names: Iterable[str], secrets: Iterable[Secret | str] = ()
) -> tuple[Change, ...]:
    """Return the removal of each of ``names`` from ``actual``, which holds all of them.

    ``secrets`` are the known ones. No spec says which values were sensitive, so a value's name and
    its looks decide.
    """
    known = tuple(secrets)
    return tuple(_change(name, actual[name], None, known) for name in names)


def is_equal(before: str, after: str | Secret) -> bool:
    """Tell whether a file holds the value that is wanted there."""
    return after.matches(before) if isinstance(after, Secret) else before == after


def _change(
    name: str, before: str | None, after: str | None, secrets: Sequence[Secret | str]
) -> Change:
    """Return the change of a variable that the session's spec does not call a secret.

    Either value may be one all the same: by the variable's name, by its looks, or because it
    repeats one of ``secrets``. Then neither value is shown.
    """
    kind = _kind(before, after)
    if any(_is_sensitive(name, value, secrets) for value in (before, after)):
        return Change(name, kind, None, None, sensitive=True)
    return Change(name, kind, before, after, sensitive=False)


def _kind(before: object, after: object) -> ChangeKind:
    if before is None:
        return ChangeKind.ADDED
    return ChangeKind.CHANGED if after is not None else ChangeKind.REMOVED


def _is_sensitive(name: str, text: str | None, secrets: Sequence[Secret | str]) -> bool:
    return text is not None and (is_named_secret(name, text) or exposes_secret(text, secrets, name))


def _known_secrets(actual: Mapping[str, str], session: Session) -> tuple[Secret | str, ...]:
    sensitive = [item.name for item in session.spec.variables if item.sensitive]
    found = [(name, actual[name]) for name in sensitive if name in actual]
    desired = [value for value in session.values.values() if isinstance(value, Secret)]
    return (*desired, *(value for name, value in found if not is_plain_value(name, value)))
