"""Values to pickles and back, with the secrets in them taken apart.

A :class:`Secret` refuses to be pickled. Here each is replaced by its number among the value's
secrets, which travel apart: over a worker's own pipe, or sealed to it. The pickle holds none.

Whoever makes a pickle decides what runs where it is read: only what came over a pipe of ours, or
was made by this run, may be given to :func:`put_together`.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any, TypeAlias

from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

Revealed: TypeAlias = tuple[tuple[str, str], ...]
"""Secrets as they travel: the value and the origin of each."""


def take_apart(value: object) -> tuple[bytes, tuple[Secret, ...]]:
    """Return ``value`` as a pickle without secrets, and the secrets, each once."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(value)
    return stream.getvalue(), tuple(pickler.secrets)


def put_together(data: bytes, secrets: Sequence[Secret]) -> Any:
    """Return the value that :func:`take_apart` took apart; ``data`` is ours."""
    return _Unpickler(io.BytesIO(data), secrets).load()


def reveal_all(secrets: Sequence[Secret]) -> Revealed:
    """Return ``secrets`` for the way to the worker that needs them, and for nothing else."""
    return tuple((secret.reveal(), secret.origin) for secret in secrets)


def hide_all(revealed: Revealed) -> tuple[Secret, ...]:
    """Return the secrets of :func:`reveal_all` again."""
    return tuple(Secret(value, origin) for value, origin in revealed)


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.secrets: list[Secret] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: object) -> int | None:
        if not isinstance(value, Secret):
            return None
        number = self._numbers.setdefault(id(value), len(self.secrets))
        if number == len(self.secrets):
            self.secrets.append(value)
        return number


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, secrets: Sequence[Secret]) -> None:
        super().__init__(stream)
        self._secrets = secrets

    def persistent_load(self, number: int) -> Secret:
        return self._secrets[number]
