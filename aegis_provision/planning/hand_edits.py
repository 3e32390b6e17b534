"""Hand edits: what else in a host's file was changed since this tool wrote it.

Drift is about the variables that this tool manages; this is about everything beside them. A receipt
holds a salted digest for each of those keys, so that a later look can name what was added, changed
or removed, and never what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.aegis.variable_rules import overrides_provider
from aegis_provision.planning.receipts import ENV_PREFIX, other_keys
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.planning.receipts import Receipt

_LOCK = "authToken"


@dataclass(frozen=True, slots=True)
class HandEdits:
    """The keys that were edited, sorted; session variables as ``defaultSessionEnv.NAME``.

    ``lost_lock`` says that ``authToken`` was there and is gone.
    """

    keys: tuple[str, ...] = ()
    lost_lock: bool = False


def overriding_variables(environment: Collection[str], wanted: Collection[str]) -> tuple[str, ...]:
    """Return the session variables of a file that decide over the provider's own, sorted.

    Those that the inventory wants are the operator's own choice.
    """
    return tuple(
        sorted(name for name in environment if name not in wanted and overrides_provider(name))
    )


def hand_edits(
    config: ConfigFile | None, receipt: Receipt | None, wanted: Collection[str]
) -> HandEdits:
    """Return what was edited in a file since ``receipt`` was left beside it.

    ``wanted`` are the session variables of the inventory: those are pending or drifted, never
    edited. Without a receipt, or with one of a version that recorded no other keys, nothing is
    known.
    """
    if receipt is None or receipt.others is None:
        return HandEdits()
    now = other_keys(config, receipt.digests)
    edited = sorted(
        key
        for key in {*now, *receipt.others}
        if _variable(key) not in wanted and not receipt.is_as_left(key, now.get(key))
    )
    return HandEdits(tuple(edited), _LOCK in receipt.others and not _has_lock(config))


def _variable(key: str) -> str:
    """Return the session variable that ``key`` means, empty for another key."""
    return key.removeprefix(ENV_PREFIX) if key.startswith(ENV_PREFIX) else ""


def _has_lock(config: ConfigFile | None) -> bool:
    return config is not None and config.has_auth_token
