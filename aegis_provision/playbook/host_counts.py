"""Numbers and shares of hosts as an operator writes them, in a playbook or as a flag."""

from __future__ import annotations

import re

from aegis_provision.documents.quoting import quote
from aegis_provision.values import dataclass

HOW_TO_WRITE_SERIAL = "write a number of hosts, such as 5, or a share of them, such as 10%"
HOW_TO_WRITE_MAX_FAIL = "write how many hosts may fail, such as 3, or a share of them, such as 5%"

_HOST_COUNT = re.compile(r"(?P<amount>-?[0-9]{1,9}(?:\.[0-9]{1,6})?)(?P<percent>%?)")


@dataclass(frozen=True, slots=True)
class HostCount:
    """A number of hosts, or (``percent``) a share of them, as the operator wrote it."""

    amount: float
    percent: bool

    def __str__(self) -> str:
        return f"{self.amount:.15g}{'%' * self.percent}"

    def of(self, hosts: int) -> int:
        """Return how many of ``hosts`` hosts these are, rounded down.

        A share is computed in whole millionths, the least that can be written: 29% of 100 hosts are
        29, where floating point would give 28.
        """
        if not self.percent:
            return int(self.amount)
        return round(self.amount * 1_000_000) * hosts // 100_000_000


ALL_HOSTS = HostCount(100, percent=True)
NO_HOSTS = HostCount(0, percent=False)


def host_count(text: str) -> HostCount:
    """Return the hosts that ``text`` means: from 0 up, or 0% to 100%.

    Raises :class:`ValueError` whose text says what is wrong, such as ``is 150%, which is more
    than all hosts``.
    """
    match = _HOST_COUNT.fullmatch(text)
    if match is None:
        raise ValueError("is neither a number of hosts nor a share of them")
    count = HostCount(float(match["amount"]), percent=bool(match["percent"]))
    if count.amount < 0:
        raise ValueError(f"is {count}, and there are no fewer hosts than none")
    if count.percent and count.amount > 100:
        raise ValueError(f"is {count}, which is more than all hosts")
    if not count.percent and not count.amount.is_integer():
        raise ValueError(f"is {count}, and hosts come whole")
    return count


def batch_size(text: str) -> HostCount:
    """Return the size of a batch that ``text`` means: as :func:`host_count`, but not 0."""
    count = host_count(text)
    if count.amount == 0:
        raise ValueError(f"is {count}, and batches of no hosts would never come to an end")
    return count


def parse_serial(text: str) -> tuple[HostCount, ...]:
    """Return the batches that ``--serial`` means: ``5``, ``25%``, or several as ``1,10%,50%``.

    Raises :class:`ValueError` that tells what is wrong and how to write it.
    """
    try:
        return tuple(batch_size(size.strip()) for size in text.split(","))
    except ValueError as problem:
        raise ValueError(
            f"{quote(text)} {problem}; {HOW_TO_WRITE_SERIAL}, or several with commas: 1,10%,50%"
        ) from None


def parse_max_fail(text: str) -> HostCount:
    """Return the allowance that ``--max-fail`` means: a number or a share.

    Raises :class:`ValueError` that tells what is wrong and how to write it.
    """
    try:
        return host_count(text.strip())
    except ValueError as problem:
        raise ValueError(f"{quote(text)} {problem}; {HOW_TO_WRITE_MAX_FAIL}") from None
