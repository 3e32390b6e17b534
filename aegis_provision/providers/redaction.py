"""Redaction: takes the secrets of a run out of text from outside.

A provider, a host or a command may repeat a token: whole, in part, or encoded. Text from them goes
through a :class:`Redactor` before it is shown or recorded.

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
from dataclasses import field
from functools import cache, partial
from typing import TYPE_CHECKING, Self

from aegis_provision.documents.secret_detection import HARMLESS_TOKENS, may_hold_secret
from aegis_provision.providers.secret import Secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MASK = "(secret)"
"""What replaces a secret in a text."""

PIECE = 12
"""From this many consecutive bytes on, a piece of a secret is redacted."""

_SHORTEST = 4
_DEEPEST = 3
_WORD = re.compile(rb"[A-Za-z]+(?:[-_.][A-Za-z]+)*")
_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})"  # 1: a byte
    rb"|\\u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})"  # 2, 3: a surrogate pair
    rb"|\\u([0-9A-Fa-f]{4})|\\U(000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})"
    rb"|&#[xX]0*([0-9A-Fa-f]{1,6});|&#0*([0-9]{1,7});"  # (4, 5, 6 above); 7, 8
    rb"|\\([\\/\"])"  # 9: itself
)
_BYTE, _HIGH, _LOW, _DECIMAL, _ITSELF = 1, 2, 3, 8, 9
_FOR_URLS = bytes.maketrans(b"-_", b"+/")
_QUARTET, _TRIPLET = 4, 3
_HEXADECIMAL = 16
_LAST_CHARACTER = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes a run's secrets out of texts. A pure value, made once and safe in any thread."""

    _patterns: tuple[_Patterns, ...] = field(default=(), repr=False)
    _known: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @classmethod
    def of(cls, secrets: Iterable[Secret | str]) -> Self:
        """Return the one that knows ``secrets``."""
        return cls().with_secrets(secrets)

    def with_secrets(self, secrets: Iterable[Secret | str]) -> Self:
        """Return the one that knows ``secrets`` too: those of one host, beside the run's."""
        texts = {item.reveal() if isinstance(item, Secret) else item for item in secrets}
        new = texts - self._known
        more = _patterns(new)
        if more is None:
            return self
        return type(self)((*self._patterns, more), self._known | new)

    def redact(self, text: str, *, words: bool = True) -> str:
        """Return ``text`` with :data:`MASK` in place of what is a secret in it.

        Without ``words`` secrets that are mere words stay: in a path they may be a user's name.
        """
        data = text.encode("utf-8", "surrogatepass")
        pieces, end = [], 0
        for start, after in _merged(self._spans(data, words=words), data):
            pieces += [data[end:start].decode("utf-8", "surrogatepass"), MASK]
            end = after
        if not pieces:
            return text
        return "".join((*pieces, data[end:].decode("utf-8", "surrogatepass")))

    def finds(self, text: str, *, words: bool = True) -> bool:
        """Tell whether ``text`` holds what :meth:`redact` would take out."""
        found = self._spans(text.encode("utf-8", "surrogatepass"), words=words)
        return next(found, None) is not None

    def _spans(self, data: bytes, *, words: bool) -> Iterator[tuple[int, int]]:
        if not data or not self._patterns:
            return
        shortest = min(patterns.shortest for patterns in self._patterns)
        for view in _views(_View(data), shortest, _DEEPEST):
            for patterns in self._patterns:
                for start, end in patterns.matches(view.data, words=words):
                    yield view.span(start, end)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Some secrets, in the forms in which they are looked for.

    ``pieces`` are in lower case, by their length; ``words`` finds those that are mere words.
    ``shortest`` is the length of the shortest of all.
    """

    pieces: Mapping[int, frozenset[bytes]] = field(repr=False)
    words: re.Pattern[bytes] | None = field(repr=False)
    shortest: int

    def matches(self, data: bytes, *, words: bool) -> Iterator[tuple[int, int]]:
        """Yield where in ``data`` a secret, or a piece of one, begins and ends."""
        lower = data.lower()
        for length, pieces in self.pieces.items():
            for start in range(len(lower) - length + 1):
                if lower[start : start + length] in pieces:
                    yield start, start + length
        if words and self.words is not None:
            yield from (match.span() for match in self.words.finditer(data))


def _patterns(texts: Iterable[str]) -> _Patterns | None:
    """Return what to look for, ``None`` where none of the secret ``texts`` can be."""
    pieces: dict[int, set[bytes]] = {}
    words: set[bytes] = set()
    for text in texts:
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
    return _Patterns(
        {length: frozenset(some) for length, some in pieces.items()},
        re.compile(b"(?<![A-Za-z0-9])(?:" + either + b")(?![A-Za-z0-9])") if words else None,
        min((*pieces, *map(len, words))),
    )


@dataclass(frozen=True, slots=True)
class _View:
    """A text, or what a part of it encodes.

    ``origin`` says where in the text stands what is here from one place to another, ``None`` for
    the text itself. It is asked only where there is something to hide.
    """

    data: bytes
    origin: Callable[[int, int], tuple[int, int]] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the text stands what is here from ``start`` to ``end``."""
        return (start, end) if self.origin is None else self.origin(start, end)


def _views(view: _View, shortest: int, deepest: int) -> Iterator[_View]:
    """Yield ``view`` and all that it encodes, where that may hold ``shortest`` bytes."""
    yield view
    if not deepest:
        return
    for inner in (*_unescaped(view), *_from_base64(view, shortest), *_from_hex(view, shortest)):
        yield from _views(inner, shortest, deepest - 1)


def _unescaped(view: _View) -> Iterator[_View]:
    """Yield the view without escapes, if it has any."""
    data, end = bytearray(), 0
    places: list[tuple[int, int]] = []
    for match in _ESCAPE.finditer(view.data):
        decoded = _decoded(match)
        data += view.data[end : match.start()] + decoded
        places += [(index, index + 1) for index in range(end, match.start())]
        places += [match.span()] * len(decoded)
        end = match.end()
    if not end:
        return
    places += [(index, index + 1) for index in range(end, len(view.data))]

    def origin(start: int, after: int) -> tuple[int, int]:
        return view.span(places[start][0], places[after - 1][1])

    yield _View(bytes(data + view.data[end:]), origin)


def _decoded(match: re.Match[bytes]) -> bytes:
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
    if number > _LAST_CHARACTER:
        return match[0]
    return chr(number).encode("utf-8", "surrogatepass")


@cache
def _runs(shortest: int) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return what finds base64 and hexadecimal digits, enough of them for ``shortest`` bytes."""
    quartets = -(-shortest * _QUARTET // _TRIPLET)
    return (
        re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % quartets),
        re.compile(rb"[0-9A-Fa-f]{%d,}" % (2 * shortest)),
    )


def _from_base64(view: _View, shortest: int) -> Iterator[_View]:
    """Yield what each run of base64's characters says, at each of its alignments."""
    for run in _runs(shortest)[0].finditer(view.data):
        text = run.group().translate(_FOR_URLS)
        for skipped in range(_QUARTET):
            part = text[skipped:]
            part = part[: len(part) - (len(part) % _QUARTET == 1)]  # one alone is no byte
            data = binascii.a2b_base64(part + b"=" * (-len(part) % _QUARTET))
            yield _View(data, partial(_origin_in_base64, view, run.start() + skipped))


def _origin_in_base64(view: _View, began: int, start: int, end: int) -> tuple[int, int]:
    """Return where the characters stand that bytes are made of: two at least for each byte."""
    return view.span(began + _character(start), began + _character(end - 1) + 2)


def _character(index: int) -> int:
    return index // _TRIPLET * _QUARTET + index % _TRIPLET


def _from_hex(view: _View, shortest: int) -> Iterator[_View]:
    """Yield what each run of hexadecimal digits says, at both of its alignments."""
    for run in _runs(shortest)[1].finditer(view.data):
        for began in (run.start(), run.start() + 1):
            digits = view.data[began : began + (run.end() - began) // 2 * 2]
            data = bytes.fromhex(digits.decode())
            yield _View(data, partial(_origin_in_hex, view, began))


def _origin_in_hex(view: _View, began: int, start: int, end: int) -> tuple[int, int]:
    return view.span(began + 2 * start, began + 2 * end)


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


def exposes_secret(text: str, secrets: Iterable[Secret | str], name: str = "") -> bool:
    """Tell whether showing ``text``, the value of ``name``, would show a secret.

    ``secrets`` are the tokens known from either side. A host's file may hold a token in the
    wrong place (a URL with user information, a key pasted as a model): such a value is masked
    like a token.
    """
    return may_hold_secret(text, name) or any(_holds(text, secret) for secret in secrets)


def without_exposed(values: Mapping[str, str | Secret]) -> dict[str, str | Secret]:
    """Return ``values``, with each value that would show a secret wrapped as a :class:`Secret` too.

    A variable that is not named like a secret may hold a token all the same, or a part of one.
    """
    secrets = [value for value in values.values() if isinstance(value, Secret)]
    return {
        name: Secret(value, name)
        if isinstance(value, str) and exposes_secret(value, secrets, name)
        else value
        for name, value in values.items()
    }


def _holds(text: str, secret: Secret | str) -> bool:
    if isinstance(secret, Secret):
        return secret.within(text)
    return len(secret) >= Secret.SHORTEST_SEARCHED and secret in text
