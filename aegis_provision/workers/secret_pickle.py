"""Values to pickles and back, with the secrets in them taken apart.

A :class:`Secret` refuses to be pickled. Here each is replaced by its number among the value's
secrets, which travel apart: over a worker's own pipe, or sealed to it. The pickle holds none. The
texts of the operator's files stay behind too: places in them are told by line, and no more.

The maker of a pickle decides what runs where it is read: only what came over a pipe of ours, or
was made by this run, may be given to :func:`put_together`.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from aegis_provision.documents.nodes import Source
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TWO = 2

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


def with_secrets(value: object) -> bytes:
    """Return ``value`` for a worker's own pipe: its secrets go along, beside the pickle."""
    data, secrets = take_apart(value)
    return pickle.dumps((data, reveal_all(secrets)), pickle.HIGHEST_PROTOCOL)


def read_with_secrets(body: bytes) -> Any:
    """Return what :func:`with_secrets` was given; ``body`` came over our own pipe."""
    data, revealed = pickle.loads(body)  # noqa: S301 - from the process that started this one
    return put_together(data, hide_all(revealed))


def plain(value: object) -> bytes:
    """Return ``value`` as a pickle. Raises ``TypeError`` for one with a secret in it."""
    data, secrets = take_apart(value)
    if secrets:
        raise TypeError("a secret was to leave the worker that it was for")
    return data


def read_plain(body: bytes) -> Any:
    """Return what :func:`plain` was given; ``body`` is ours."""
    return pickle.loads(body)  # noqa: S301 - between the operator's process and its own workers


def _secret_number(number: int) -> Secret:
    """Stand in a pickle for the secret with ``number``; what reads the pickle has its own."""
    raise TypeError(f"secret {number} is not in this pickle")


def _without_text(source: Source) -> tuple[type[Source], tuple[str, str, bool]]:
    return Source, (source.name, "", source.numbered)


def _fields_of(kind: type[Any]) -> attrgetter[Any] | None:
    """Return what gets the fields of a dataclass that is made of them again, ``None`` for others.

    Python's own way sets one field after the other, and takes twice as long.
    """
    if not is_dataclass(kind) or hasattr(kind, "__post_init__") or "__reduce__" in vars(kind):
        return None
    found = fields(kind)
    if len(found) < _TWO or not all(field.init and not field.kw_only for field in found):
        return None
    return attrgetter(*(field.name for field in found))


_GETTERS: dict[type[Any], attrgetter[Any] | None] = {}


class _Pickler(pickle.Pickler):
    """Has rules of its own for secrets, for sources and for dataclasses."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.secrets: list[Secret] = []

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is Secret:
            return self._numbered(value)
        if kind is Source:
            return _without_text(value)
        if kind not in _GETTERS:
            _GETTERS[kind] = _fields_of(kind)
        get = _GETTERS[kind]
        return NotImplemented if get is None else (kind, get(value))

    def _numbered(self, secret: Secret) -> tuple[Callable[[int], Secret], tuple[int]]:
        # Called once for each object: pickle itself remembers what it has met.
        self.secrets.append(secret)
        return _secret_number, (len(self.secrets) - 1,)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, secrets: Sequence[Secret]) -> None:
        super().__init__(stream)
        self._secrets = secrets

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (__name__, _secret_number.__name__):
            return self._secrets.__getitem__
        return super().find_class(module, name)
