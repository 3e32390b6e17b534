"""A mapping that never changes, and whose changed copies are cheap, for thousands of hosts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_CHUNK = 100


class PersistentMap(Mapping[Key, Value], Generic[Key, Value]):
    """Entries in a fixed order. A copy with another value shares all but two short tuples."""

    __slots__ = ("_chunks", "_places")

    def __init__(
        self, places: Mapping[Key, int] | None = None, chunks: tuple[tuple[Value, ...], ...] = ()
    ) -> None:
        """Hold the values of ``chunks``, each at the place of its key; use :meth:`of`."""
        self._places = {} if places is None else places
        self._chunks = chunks

    @classmethod
    def of(cls, entries: Iterable[tuple[Key, Value]]) -> PersistentMap[Key, Value]:
        """Return a map of ``entries``, in their order."""
        found = dict(entries)
        values = tuple(found.values())
        chunks = tuple(values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
        return cls({key: place for place, key in enumerate(found)}, chunks)

    def __getitem__(self, key: Key) -> Value:
        place = self._places[key]
        return self._chunks[place // _CHUNK][place % _CHUNK]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.items())!r})"

    def replaced(self, key: Key, value: Value) -> PersistentMap[Key, Value]:
        """Return a copy in which ``key`` has ``value``; a new key costs a copy of everything."""
        place = self._places.get(key)
        if place is None:
            return self.of((*self.items(), (key, value)))
        which, index = divmod(place, _CHUNK)
        chunk = self._chunks[which]
        chunk = (*chunk[:index], value, *chunk[index + 1 :])
        chunks = (*self._chunks[:which], chunk, *self._chunks[which + 1 :])
        return PersistentMap(self._places, chunks)
