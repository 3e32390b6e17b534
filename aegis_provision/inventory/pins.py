"""Pins: hosts with a provider of their own, until which day, and why."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Related, error, note, warning
from aegis_provision.humanize import counted, group_by, group_pairs
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.host import Group, Host, Setting

PIN_KEYS = ("pin_until", "pin_reason")
"""What a pin says beside the provider: until which day it holds (UTC), and why it is there."""

DAYS_OF_WARNING = 3
"""How many days before its last day a pin is warned of.

It is short, because the day on which a pin was made is not known, and a new pin of a week needs no
warning. It is long enough that a pin that ends on Monday is warned of on Friday.
"""

LONGEST_REASON = 200

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Pin:
    """A host's own choice of provider. ``until`` is its last day, ``None`` for no end."""

    host: str
    provider: Setting
    until: Setting | None
    reason: str

    @property
    def last_day(self) -> date | None:
        """Return the last day on which the pin holds, in UTC."""
        return parse_date(str(self.until.value)) if self.until is not None else None


def parse_date(text: str) -> date | None:
    """Return the day that ``text`` names as YYYY-MM-DD, ``None`` where it names none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def pin_of(host: Host) -> Pin | None:
    """Return the pin of ``host``, if it is pinned."""
    if host.provider is None or not host.pinned:
        return None
    until, reason = (host.settings.get(key) for key in PIN_KEYS)
    return Pin(host.name, host.provider, until, str(reason.value) if reason else "")


def pin_errors(groups: Mapping[str, Group], hosts: Mapping[str, Host]) -> Iterator[Diagnostic]:
    """Yield an error for each end or reason of a pin that stands where there is no pin."""
    for group in groups.values():
        for key in PIN_KEYS:
            if key in group.settings:
                yield error(
                    "not-a-pin",
                    f'"{key}" is said of one host\'s pin, and this is a group',
                    group.settings[key].span,
                    hint="a group's provider is no pin: remove it here, or pin its hosts",
                )
    of_groups = group_pairs(
        (setting, host.name)
        for host in hosts.values()
        for setting in map(host.settings.get, PIN_KEYS)
        if setting is not None
        and setting.holder_kind == "group"
        and not setting.span.source.numbered
    )
    for setting, names in of_groups.items():
        yield error(
            "not-a-pin",
            f'"{setting.key}" is said of one host\'s pin, and this is a group',
            setting.span,
            hint="a group's provider is no pin: remove it here, or pin its hosts",
            hosts=tuple(names),
        )
    own = (host for host in hosts.values() if not host.settings.keys().isdisjoint(PIN_KEYS))
    without = group_pairs(
        (setting, host.name)
        for host in own
        for setting in map(host.settings.get, PIN_KEYS)
        if setting is not None and setting.holder_kind == "host" and not host.pinned
    )
    for setting, names in without.items():
        yield error(
            "not-a-pin",
            f'"{setting.key}" is said of a pin, and this host has no provider of its own',
            setting.span,
            hint="name the provider beside it, or remove it",
            hosts=tuple(names),
        )


def pin_diagnostics(hosts: Iterable[Host], today: date) -> tuple[Diagnostic, ...]:
    """Return what ``today`` (in UTC) means for the pins of ``hosts`` that have an end.

    A pin past its last day is an error, one that is near it a warning, given once for pins that
    are alike; of the others one note names the next. Warnings and notes are reminders.
    """
    ending = [pin for pin in map(pin_of, hosts) if pin is not None and pin.last_day is not None]
    groups = group_by(ending, lambda pin: (pin.last_day, pin.provider.value, pin.reason))
    found: list[Diagnostic] = []
    later: list[Pin] = []
    for pins in groups.values():
        days = ((pins[0].last_day or today) - today).days
        if days > DAYS_OF_WARNING:
            later.extend(pins)
        else:
            found.append(_near_end(pins, days))
    if later:
        found.append(_with_end(later))
    return tuple(found)


def _near_end(pins: list[Pin], days: int) -> Diagnostic:
    first = pins[0]
    hosts = tuple(pin.host for pin in pins)
    span = first.until.span if first.until is not None else None
    why = f" ({first.reason})" if first.reason else ""
    what, day = f"the pin to {first.provider.value}{why}", first.last_day
    related = (Related(first.provider.span, "the pin"),)
    hint = "give it another end with 'aegis-provision pin HOST PROVIDER --until DATE', "
    hint += "or end it with 'aegis-provision unpin HOST'"
    if days < 0:
        words = f"{what} ended on {day}"
        return error("expired-pin", words, span, hint=hint, related=related, hosts=hosts)
    when = "today" if days == 0 else f"in {counted(days, 'day')}"
    words = f"{what} ends on {day}, {when}"
    return warning("ending-pin", words, span, hint=hint, hosts=hosts, reminder=True)


def _with_end(pins: list[Pin]) -> Diagnostic:
    first = min(pins, key=lambda pin: pin.last_day or date.max)
    many = f"{len(pins)} pins have an end, the first of them" if len(pins) > 1 else "this pin ends"
    span = first.until.span if first.until is not None else None
    words = f"{many} on {first.last_day}"
    return note("pin-with-end", words, span, hosts=(first.host,), reminder=True)
