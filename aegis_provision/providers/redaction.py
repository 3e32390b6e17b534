"""Text from outside without the secrets of a run in it.

A provider, a host or a command may say a token back to us: whole, in part, or encoded. Whatever
comes from there goes through a :class:`Redactor` before it is shown or kept.

What is looked for:

- Of a secret of 12 characters or more each piece of 12, upper and lower case alike.
- A shorter one as a whole. One that is a mere word (``ollama``, ``lm-studio``: stand-ins of this
  kind are common with local servers) only where it stands by itself, exactly as it is written, or
  it would be "found" in host names and in our own sentences.
- None of up to three characters: they are in every text, and hiding one would tell which it is.
- None of the built-in recipes' own stand-ins, which are no secrets.

The text is read as it is and as what it encodes: percent-encoding (RFC 3986), the escapes of JSON
and of Python's ``unicode_escape``, numeric character references of HTML, base64 and base64url
(RFC 4648) at any alignment, hexadecimal; and these in one another, a few levels deep.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aegis_provision.documents.secret_detection import HARMLESS_TOKENS
from aegis_provision.providers.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MASK = "(secret)"
"""What stands in a text in place of a secret."""

PIECE = 12
"""How many bytes of a secret, one after the other, are too many to show."""

_SHORTEST = 4
_DEEPEST = 3
_WORD = re.compile(rb"[A-Za-z]+(?:[-_.][A-Za-z]+)*")
_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})"  # 1: a byte
    rb"|\\u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})"  # 2, 3: a surrogate pair
    rb"|\\u([0-9A-Fa-f]{4})|\\U(000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})"
    rb"|&#[xX]0*([0-9A-Fa-f]{1,5});|&#0*([0-9]{1,6});"  # (4, 5, 6 above); 7, 8
    rb"|\\([\\/\"])"  # 9: itself
)
_BYTE, _HIGH, _LOW, _DECIMAL, _ITSELF = 1, 2, 3, 8, 9
_FOR_URLS = bytes.maketrans(b"-_", b"+/")
_QUARTET, _TRIPLET = 4, 3
_HEXADECIMAL = 16


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes a run's secrets out of texts. A pure value, made once and safe in any thread."""

    _known: tuple[_Known, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, secrets: Iterable[Secret | str]) -> Self:
        """Return the one that knows ``secrets``."""
        return cls().along(secrets)

    def along(self, secrets: Iterable[Secret | str]) -> Self:
        """Return the one that knows ``secrets`` too: those of one host, beside the run's."""
        more = _known(secrets)
        return self if more is None else type(self)((*self._known, more))

    def redact(self, text: str, *, words: bool = True) -> str:
        """Return ``text`` with :data:`MASK` in place of what is a secret in it.

        Without ``words`` secrets that are mere words stay: in a path they are somebody's name.
        """
        data = text.encode("utf-8", "surrogatepass")
        kept, end = [], 0
        for start, after in _merged(self._spans(data, words=words), data):
            kept += [data[end:start].decode("utf-8", "surrogatepass"), MASK]
            end = after
        return "".join((*kept, data[end:].decode("utf-8", "surrogatepass"))) if kept else text

    def finds(self, text: str, *, words: bool = True) -> bool:
        """Tell whether ``text`` holds what :meth:`redact` would take out."""
        found = self._spans(text.encode("utf-8", "surrogatepass"), words=words)
        return next(found, None) is not None

    def _spans(self, data: bytes, *, words: bool) -> Iterator[tuple[int, int]]:
        if not data:
            return
        for known in self._known:
            for view in _views(_View(data), known.shortest, _DEEPEST):
                for start, end in known.found(view.data, words=words):
                    yield view.span(start, end)


@dataclass(frozen=True, slots=True)
class _Known:
    """Some secrets, in the forms in which they are looked for.

    ``pieces`` are in lower case, by their length; ``words`` finds those that are mere words.
    ``shortest`` is the length of the shortest of all.
    """

    pieces: Mapping[int, frozenset[bytes]] = field(repr=False)
    words: re.Pattern[bytes] | None = field(repr=False)
    shortest: int

    def found(self, data: bytes, *, words: bool) -> Iterator[tuple[int, int]]:
        """Yield where in ``data`` a secret, or a piece of one, begins and ends."""
        lower = data.lower()
        for length, pieces in self.pieces.items():
            for start in range(len(lower) - length + 1):
                if lower[start : start + length] in pieces:
                    yield start, start + length
        if words and self.words is not None:
            yield from (match.span() for match in self.words.finditer(data))


def _known(secrets: Iterable[Secret | str]) -> _Known | None:
    """Return what to look for, ``None`` where nothing in ``secrets`` can be."""
    pieces: dict[int, set[bytes]] = {}
    words: set[bytes] = set()
    for text in {item.reveal() if isinstance(item, Secret) else item for item in secrets}:
        value = text.encode("utf-8", "surrogatepass")
        if len(value) < _SHORTEST or text in HARMLESS_TOKENS:
            continue
        if len(value) < PIECE and _WORD.fullmatch(value):
            words.add(value)
            continue
        length, lower = min(len(value), PIECE), value.lower()
        pieces.setdefault(length, set()).update(
            lower[start : start + length] for start in range(len(lower) - length + 1)
        )
    if not pieces and not words:
        return None
    either = b"|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return _Known(
        {length: frozenset(some) for length, some in pieces.items()},
        re.compile(b"(?<![A-Za-z0-9])(?:" + either + b")(?![A-Za-z0-9])") if words else None,
        min((*pieces, *map(len, words))),
    )


@dataclass(frozen=True, slots=True)
class _View:
    """A text, or what a part of it encodes; ``places`` says where each byte comes from."""

    data: bytes
    places: Sequence[tuple[int, int]] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the text stands what is here from ``start`` to ``end``."""
        if self.places is None:
            return start, end
        return self.places[start][0], self.places[end - 1][1]

    def place(self, start: int, end: int) -> Sequence[tuple[int, int]]:
        """Return where in the text each byte stands that is here from ``start`` to ``end``."""
        if self.places is not None:
            return self.places[start:end]
        return [(index, index + 1) for index in range(start, end)]


def _views(view: _View, shortest: int, deepest: int) -> Iterator[_View]:
    """Yield ``view`` and all that it encodes, where that may hold ``shortest`` bytes."""
    yield view
    if not deepest:
        return
    plain = _unescaped(view)
    for inner in (*_from_base64(view, shortest), *_from_hex(view, shortest)):
        yield from _views(inner, shortest, deepest - 1)
    if plain is not None:
        yield from _views(plain, shortest, deepest - 1)


def _unescaped(view: _View) -> _View | None:
    """Return the view without escapes, ``None`` where there is none."""
    data, end = bytearray(), 0
    places: list[tuple[int, int]] = []
    for match in _ESCAPE.finditer(view.data):
        data += view.data[end : match.start()]
        places += view.place(end, match.start())
        end = match.end()
        meant = _meant(match)
        data += meant
        places += [view.span(*match.span())] * len(meant)
    if not end:
        return None
    places += view.place(end, len(view.data))
    return _View(bytes(data + view.data[end:]), places)


def _meant(match: re.Match[bytes]) -> bytes:
    """Return what an escape stands for."""
    group = match.lastindex or 0
    digits = match[group]
    if group == _ITSELF:
        return digits
    if group == _BYTE:
        return bytes.fromhex(digits.decode())
    number = int(digits, 10 if group == _DECIMAL else _HEXADECIMAL)
    if group == _LOW:
        number = 0x10000 + ((int(match[_HIGH], _HEXADECIMAL) - 0xD800) << 10) + number - 0xDC00
    return chr(number).encode("utf-8", "surrogatepass")


def _from_base64(view: _View, shortest: int) -> Iterator[_View]:
    """Yield what each run of base64's characters says, at each of its alignments."""
    fewest = -(-shortest * _QUARTET // _TRIPLET)
    for run in re.finditer(rb"[A-Za-z0-9+/_-]{%d,}" % fewest, view.data):
        text = run.group().translate(_FOR_URLS)
        for skipped in range(_QUARTET):
            part = text[skipped:]
            part = part[: len(part) - (len(part) % _QUARTET == 1)]  # one alone is no byte
            data = binascii.a2b_base64(part + b"=" * (-len(part) % _QUARTET))
            places = view.place(run.start() + skipped, run.start() + skipped + len(part))
            yield _View(data, [_place_of_byte(places, index) for index in range(len(data))])


def _place_of_byte(places: Sequence[tuple[int, int]], index: int) -> tuple[int, int]:
    """Return where the two characters of base64 stand that byte ``index`` is made of."""
    first = index // _TRIPLET * _QUARTET + index % _TRIPLET
    return places[first][0], places[first + 1][1]


def _from_hex(view: _View, shortest: int) -> Iterator[_View]:
    """Yield what each run of hexadecimal digits says, at both of its alignments."""
    for run in re.finditer(rb"[0-9A-Fa-f]{%d,}" % (2 * shortest), view.data):
        for start in (run.start(), run.start() + 1):
            end = start + (run.end() - start) // 2 * 2
            pairs = view.place(start, end)
            places = [
                (first[0], last[1]) for first, last in zip(pairs[::2], pairs[1::2], strict=True)
            ]
            yield _View(bytes.fromhex(view.data[start:end].decode()), places)


def _merged(spans: Iterable[tuple[int, int]], data: bytes) -> list[tuple[int, int]]:
    """Return ``spans`` in order, as whole characters of ``data``, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        while _continues(data, start):
            start -= 1  # noqa: PLW2901 - to the character's first byte
        while _continues(data, end):
            end += 1  # noqa: PLW2901 - past its last
        if merged and start <= merged[-1][1]:
            start, end = merged[-1][0], max(end, merged.pop()[1])  # noqa: PLW2901
        merged.append((start, end))
    return merged


def _continues(data: bytes, index: int) -> bool:
    """Tell whether a character of UTF-8 goes on at ``index``."""
    return index < len(data) and data[index] & 0xC0 == 0x80
