"""What was written, what is there and what is wanted: three values of each variable compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aegis_provision.planning.diff import is_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.planning.receipts import Receipt
    from aegis_provision.providers.session import Session


@dataclass(frozen=True, slots=True)
class RemovedKeys:
    """Names in a file that the inventory does not have any more, and that a receipt lists.

    ``ours`` are still what we wrote and go with the next write; ``theirs`` somebody changed since.
    """

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()


def removed_keys(
    actual: Mapping[str, str], session: Session, receipt: Receipt | None
) -> RemovedKeys:
    """Return the names of ``actual`` that ``receipt`` lists and ``session`` has not.

    Without a receipt nobody knows that a name was ours, and it stays.
    """
    if receipt is None:
        return RemovedKeys()
    wanted = session.names
    left = [name for name in receipt.digests if name in actual and name not in wanted]
    ours = tuple(name for name in left if receipt.is_as_written(name, actual[name]))
    return RemovedKeys(ours, tuple(name for name in left if name not in ours))


@dataclass(frozen=True, slots=True)
class Drift:
    """How a file stands: keys that somebody changed since we wrote them, and keys to be written.

    A key may be in both: somebody changed it, and the inventory wants something new there too.
    """

    drifted: tuple[str, ...]
    pending: tuple[str, ...]


def drift_of(actual: Mapping[str, str], session: Session, receipt: Receipt | None) -> Drift:
    """Compare the variables of a file with the receipt beside it and with what is wanted there.

    A key has drifted where it is neither what was written nor what is wanted; it is pending where
    what is wanted is neither there nor what was written. What was never written is pending alone.
    A name that the inventory dropped is wanted to be absent, and pending for as long as it is
    ours. One whose wanted value was withheld is pending where it is not there at all; of any other
    nobody can tell.
    """
    drifted: list[str] = []
    absent = session.withheld - actual.keys()
    pending = [name for name in session.in_order if name in absent]
    for name, wanted in session.values.items():
        there = actual.get(name)
        if there is not None and is_equal(there, wanted):
            continue
        if receipt is None or name not in receipt.digests:
            pending.append(name)
            continue
        if not receipt.is_as_written(name, there):
            drifted.append(name)
        if not receipt.is_as_written(name, wanted):
            pending.append(name)
    dropped = removed_keys(actual, session, receipt)
    return Drift((*drifted, *dropped.theirs), (*pending, *dropped.ours))
