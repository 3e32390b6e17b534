"""The rules of a policy as values."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aegis_provision.documents.nodes import Span
    from aegis_provision.playbook.host_counts import HostCount

ANY_PROVIDER = "*"
"""In a share's limits: each provider that has no limit of its own."""


@dataclass(frozen=True, slots=True)
class ShareLimit:
    """How many of a rule's hosts may be on one provider, and where that is said."""

    most: HostCount
    span: Span


@dataclass(frozen=True, slots=True)
class PinLimits:
    """What a pin needs: a reason, and an end within ``max_days`` from today."""

    needs_reason: bool
    max_days: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class TimeoutLimits:
    """The shortest and the longest timeout that a host may have (milliseconds)."""

    shortest: int | None
    longest: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class TokenBinding:
    """The base URLs that a variable of the operator's environment may travel to."""

    variable: str
    base_urls: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """What is demanded of the hosts that the pattern ``hosts`` selects.

    ``shares`` maps providers, or :data:`ANY_PROVIDER`, to limits. ``providers`` are the allowed
    ones, ``None`` for all. ``forbidden`` holds names and globs: of the keys that override a
    recipe's values, and of variables under ``env``.
    """

    name: str
    hosts: str
    span: Span
    hosts_span: Span
    shares: Mapping[str, ShareLimit] = field(default_factory=dict)
    providers: tuple[str, ...] | None = None
    providers_span: Span | None = None
    tokens: tuple[TokenBinding, ...] = ()
    pins: PinLimits | None = None
    timeout_ms: TimeoutLimits | None = None
    forbidden: tuple[str, ...] = ()
    forbidden_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy file: its name as the operator wrote it, and its rules in order."""

    name: str
    rules: tuple[Rule, ...]
