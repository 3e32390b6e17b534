"""Numbers and shares of hosts as an operator writes them, in a playbook or as a flag."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from aegis_provision.documents.quoting import quote
from aegis_provision.playbook.plays import HostCount

HOW_TO_WRITE_SERIAL = "write a number of hosts, such as 5, or a share of them, such as 10%"
HOW_TO_WRITE_MAX_FAIL = "write how many hosts may fail, such as 3, or a share of them, such as 5%"

_SHARE = re.compile(r"(?P<amount>-?[0-9]{1,9}(?:\.[0-9]{1,6})?)(?P<percent>%?)")


def rounded_down(share: HostCount, hosts: int) -> int:
    """Return how many of ``hosts`` hosts ``share`` means.

    A share is computed with exact decimals: 29% of 100 hosts are 29, where floating point would
    give 28.
    """
    if not share.percent:
        return int(share.amount)
    return math.floor(Fraction(str(share.amount)) * hosts / 100)


def serial_share(text: str) -> HostCount:
    """Return the size of a batch that ``text`` means: from 1 up, or more than 0% up to 100%.

    Raises :class:`ValueError` whose text says what is wrong, such as ``is 150%, which is more
    than all hosts``.
    """
    share = _share(text)
    if share.amount == 0:
        raise ValueError(f"is {share}, and batches of no hosts would never come to an end")
    return share


def max_fail_share(text: str) -> HostCount:
    """Return how many hosts may fail: from 0 up, or 0% to 100%.

    Raises :class:`ValueError` as :func:`serial_share` does.
    """
    return _share(text)


def parse_serial(text: str) -> tuple[HostCount, ...]:
    """Return the batches that ``--serial`` means: ``5``, ``25%``, or several as ``1,10%,50%``.

    Raises :class:`ValueError` that tells what is wrong and how to write it.
    """
    try:
        return tuple(serial_share(piece.strip()) for piece in text.split(","))
    except ValueError as problem:
        raise ValueError(
            f"{quote(text)} {problem}; {HOW_TO_WRITE_SERIAL}, or several with commas: 1,10%,50%"
        ) from None


def parse_max_fail(text: str) -> HostCount:
    """Return the allowance that ``--max-fail`` means: a number or a share.

    Raises :class:`ValueError` that tells what is wrong and how to write it.
    """
    try:
        return max_fail_share(text.strip())
    except ValueError as problem:
        raise ValueError(f"{quote(text)} {problem}; {HOW_TO_WRITE_MAX_FAIL}") from None


def _share(text: str) -> HostCount:
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError("is neither a number of hosts nor a share of them")
    share = HostCount(float(match["amount"]), percent=bool(match["percent"]))
    if share.amount < 0:
        raise ValueError(f"is {share}, and there are no fewer hosts than none")
    if share.percent and share.amount > 100:
        raise ValueError(f"is {share}, which is more than all hosts")
    if not share.percent and not share.amount.is_integer():
        raise ValueError(f"is {share}, and hosts come whole")
    return share
