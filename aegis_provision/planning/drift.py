"""Drift: what was written, what the file holds now and what is desired, compared per variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.planning.diff import is_equal
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.receipts import Receipt
    from aegis_provision.providers.session_variables import Session


@dataclass(frozen=True, slots=True)
class RemovedKeys:
    """Variables in a file that a receipt lists and the inventory no longer speaks of.

    ``unchanged`` still hold what this tool wrote: the next write removes them. ``modified`` were
    changed on the host since, and stay.
    """

    unchanged: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()


def removed_keys(
    actual: Mapping[str, str], session: Session, receipt: Receipt | None
) -> RemovedKeys:
    """Return the names in ``actual`` that ``receipt`` lists and ``session`` knows nothing of.

    Without a receipt there are none: no name is known to have been written by this tool.
    """
    if receipt is None:
        return RemovedKeys()
    known = session.names
    removed = [name for name in receipt.digests if name in actual and name not in known]
    unchanged = tuple(name for name in removed if receipt.is_as_written(name, actual[name]))
    return RemovedKeys(unchanged, tuple(name for name in removed if name not in unchanged))


@dataclass(frozen=True, slots=True)
class Drift:
    """A file's keys that were changed on the host since the last write, and its keys to write.

    A key may be in both: it was changed on the host, and the inventory wants a new value too.
    """

    drifted: tuple[str, ...]
    pending: tuple[str, ...]


def drift_of(actual: Mapping[str, str], session: Session, receipt: Receipt | None) -> Drift:
    """Compare the variables of a file with the receipt beside it and with what is desired there.

    A key has drifted if its value is neither the written nor the desired one. It is pending if the
    desired value is neither in the file nor the written one. A key that was never written is only
    pending. A name that the inventory dropped is pending until it is removed, unless it was changed
    on the host: then it has drifted. One that the inventory removes is pending while it is there,
    written by this tool or not, and has drifted too if it was written and changed since. A name
    whose desired value was withheld is pending if the file lacks it; otherwise it can't be
    compared.
    """
    drifted: list[str] = []
    absent = session.withheld - actual.keys()
    pending = [name for name in session.in_order if name in absent]
    for name, desired in session.values.items():
        current = actual.get(name)
        if current is not None and is_equal(current, desired):
            continue
        if receipt is None or name not in receipt.digests:
            pending.append(name)
            continue
        if not receipt.is_as_written(name, current):
            drifted.append(name)
        if not receipt.is_as_written(name, desired):
            pending.append(name)
    for name in session.spec.removed:
        if name not in actual:
            continue
        pending.append(name)
        if receipt is not None and name in receipt.digests:
            edited = not receipt.is_as_written(name, actual[name])
            drifted.extend([name] if edited else ())
    removed = removed_keys(actual, session, receipt)
    return Drift((*drifted, *removed.modified), (*pending, *removed.unchanged))
