"""Texts that several reports share: pins, settings, durations and plays' titles."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from aegis_provision.inventory.pins import LONGEST_REASON

if TYPE_CHECKING:
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.inventory.settings import Value
    from aegis_provision.playbook.plays import Schedule

UNKNOWN = "unknown until apply"
"""The state of a token that can't be compared, because the wanted one was withheld."""

_MINUTE = 60
_HOUR = 3600


def pin_text(pin: Pin, *, longest_reason: int = LONGEST_REASON) -> str:
    """Return a pin as text: ``pin until 2026-12-31: tries another model``."""
    until = f" until {pin.until.value}" if pin.until is not None else ""
    reason = shorten(pin.reason, longest_reason, placeholder="...")
    return f"pin{until}: {reason}" if reason else f"pin{until}"


def setting_text(value: Value) -> str:
    """Return a setting's value as it stands in an inventory."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or '""'


def duration(seconds: float) -> str:
    """Return a duration in whole seconds: ``12s``, ``3m 05s``, ``1h 04m``."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def fine_duration(seconds: float) -> str:
    """Return a duration with tenths below ten seconds: ``0.4s``."""
    short = f"{max(0.0, seconds):.1f}s"
    return short if len(short) <= len("9.9s") else duration(seconds)


def is_plain(schedule: Schedule) -> bool:
    """Tell whether a schedule is one play without a name: then reports do not mention plays."""
    return len(schedule.plays) == 1 and not schedule.plays[0].play.name


def play_title(schedule: Schedule, index: int) -> str:
    """Return the title of a play: ``Play 2/3 "Everyone else"``."""
    name = schedule.plays[index].play.name
    number = f"Play {index + 1}/{len(schedule.plays)}"
    return f'{number} "{name}"' if name else number
