"""Keyed digests of hosts' files: what leaves a worker in their place (HMAC-SHA-256, RFC 2104).

A reader of a plain hash could try out tokens until one fits. A keyed digest tells only whether two
files are the same, and only to the holder of the key. A key travels as a :class:`Secret`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Self

from aegis_provision.planning.plan import PlanDigests
from aegis_provision.providers.secret import Secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from aegis_provision.aegis.remote_state import RemoteFile
    from aegis_provision.planning.plan import HostPlan, ManagedKeys, Write


def file_digest(key: bytes, content: bytes) -> str:
    """Return what a record says of a file's ``content``: ``hmac-sha256:<hex>``."""
    return f"hmac-sha256:{hmac.digest(key, content, 'sha256').hex()}"


@dataclass(frozen=True, slots=True)
class DigestKey:
    """A key to make digests with; called with a content, it returns its :func:`file_digest`."""

    key: Secret

    @classmethod
    def of(cls, key: bytes) -> Self:
        """Return the one of ``key``."""
        return cls(Secret(key.hex(), "a key of digests"))

    def __call__(self, content: bytes) -> str:
        """Return what a record says of ``content``."""
        return file_digest(self._bytes, content)

    def of_plan(self, plan: HostPlan) -> PlanDigests:
        """Return what stands in a masked plan for the files of ``plan``."""
        return PlanDigests(self.of_file(plan.seen), self._of_write(plan.write))

    def of_file(self, file: RemoteFile | None) -> str | None:
        """Return the digest of a file with its mode and owner, ``None`` for none."""
        return None if file is None else self.of_value(_file(file))

    def of_value(self, value: object) -> str:
        """Return the digest of a value that JSON can hold."""
        return hmac.digest(self._bytes, json.dumps(value).encode(), "sha256").hex()

    def _of_write(self, write: Write | None) -> str | None:
        if write is None:
            return None
        return self.of_value(
            [
                write.path,
                None if write.content is None else hashlib.sha256(write.content).hexdigest(),
                [write.mode, write.uid, write.gid],
                None if write.base is None else _file(write.base),
                [_keys(write.managed), _keys(write.managed_before)],
            ]
        )

    @property
    def _bytes(self) -> bytes:
        return bytes.fromhex(self.key.reveal())


def _file(file: RemoteFile) -> list[object]:
    return [file.mode, file.uid, file.gid, hashlib.sha256(file.content).hexdigest()]


def _keys(managed: ManagedKeys | None) -> list[object] | None:
    return None if managed is None else [managed.provider, list(managed.names)]
