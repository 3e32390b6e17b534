"""How numbers of hosts and lengths of time are said, everywhere alike."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from aegis_provision.inventory.pins import LONGEST_REASON

if TYPE_CHECKING:
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.inventory.settings import Value
    from aegis_provision.playbook.plays import Schedule

UNKNOWN = "unknown until apply"
"""What a token on a host is where nobody may read the one that is wanted."""

_MINUTE = 60
_HOUR = 3600


def pin_words(pin: Pin, *, longest_reason: int = LONGEST_REASON) -> str:
    """Return what is said of a pin: ``pin until 2026-12-31: tries another model``."""
    until = f" until {pin.until.value}" if pin.until is not None else ""
    reason = shorten(pin.reason, longest_reason, placeholder="...")
    return f"pin{until}: {reason}" if reason else f"pin{until}"


def setting_text(value: Value) -> str:
    """Return a setting's value as an inventory would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or '""'


def duration(seconds: float) -> str:
    """Return a length of time in whole seconds: ``12s``, ``3m 05s``, ``1h 04m``."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def fine_duration(seconds: float) -> str:
    """Return a length of time with tenths below ten seconds: ``0.4s``."""
    short = f"{max(0.0, seconds):.1f}s"
    return short if len(short) <= len("9.9s") else duration(seconds)


def is_plain(schedule: Schedule) -> bool:
    """Tell whether a schedule is one play that nobody named: then nothing is said of plays."""
    return len(schedule.plays) == 1 and not schedule.plays[0].play.name


def play_title(schedule: Schedule, index: int) -> str:
    """Return how a play is called: ``Play 2/3 "Everyone else"``."""
    name = schedule.plays[index].play.name
    number = f"Play {index + 1}/{len(schedule.plays)}"
    return f'{number} "{name}"' if name else number
