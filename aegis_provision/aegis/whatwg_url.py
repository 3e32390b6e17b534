"""Whether a text is a URL to JavaScript: what ``new URL(text)`` takes, without a base URL.

The rules are those of the WHATWG URL standard (https://url.spec.whatwg.org, "basic URL parser",
"host parsing") as Node.js 20 follows them. They differ from RFC 3986 and from Python's own parsers
in both directions: ``http:h`` and ``  HTTP:\\\\h`` are URLs there, ``http://h:99999`` is none.

A host beyond ASCII goes through UTS #46, whose tables Python lacks; Unicode's normal forms,
categories and directions stand in for them. Where these leave a doubt the text is refused, as a
file that Aegis drops is the greater harm: a character that this Python's Unicode does not have yet,
and a zero width non-joiner between letters that join (it is taken after a virama).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import unquote_to_bytes

_JAVASCRIPT_BLANKS = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
_C0_OR_SPACE = "".join(map(chr, range(0x21)))
_TAB_OR_NEWLINE = re.compile(r"[\t\n\r]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_SPECIAL = frozenset({"http", "https", "ws", "wss", "ftp", "file"})
_PORT = re.compile(r"[0-9]*")
_LARGEST_PORT = 65535
_FORBIDDEN_IN_HOST = re.compile(r"[\0\t\n\r #/:<>?@\[\\\]^|]")
_FORBIDDEN_IN_DOMAIN = re.compile(r"[\0-\x20#/:<>?@\[\\\]^|%\x7f]")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_DRIVE = re.compile(r"[A-Za-z][:|](?=[/\\?#]|\Z)")
_HEXADECIMAL = re.compile(r"0[xX]([0-9A-Fa-f]*)")
_OCTAL = re.compile(r"0[0-7]+")
_DECIMAL = re.compile(r"[0-9]+")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_IGNORED = re.compile(
    "[\xad\u034f\u180b-\u180d\u180f\u200b\u2060\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
# Refused by UTS #46 although their categories and normal forms would do.
_REFUSED = re.compile(
    "[\u04c0\u10a0-\u10c5\u115f\u1160\u17b4\u17b5\u1806\u2132\u2183\u2ff0-\u2ffb\u3164\uffa0\ufffc\ufffd"
    "\U0002f868\U0002f874\U0002f91f\U0002f95f\U0002f9bf]"
)
_PUNYCODE = "xn--"
_NEVER = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})
_JOINERS = frozenset("\u200c\u200d")
_DEVIATIONS = frozenset("\xdf\u03c2\u200c\u200d")
_VIRAMA = 9
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_INSIDE = frozenset({"EN", "ES", "CS", "ET", "ON", "BN", "NSM"})


def is_javascript_url(text: str) -> bool:
    """Tell whether zod's ``z.string().url()`` takes ``text``: it trims it and asks ``new URL``."""
    return is_url(text.strip(_JAVASCRIPT_BLANKS))


def is_url(text: str) -> bool:
    """Tell whether ``new URL(text)`` takes ``text`` rather than throw."""
    # A half of a surrogate pair becomes U+FFFD on its way into the parser.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    found = _SCHEME.fullmatch(_TAB_OR_NEWLINE.sub("", text.strip(_C0_OR_SPACE)))
    if found is None:
        return False
    scheme, rest = found[1].lower(), found[2]
    if scheme == "file":
        return _is_file(rest)
    if scheme in _SPECIAL:
        return _is_authority(re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0], special=True)
    if rest.startswith("//"):
        return _is_authority(re.split(r"[/?#]", rest[2:], maxsplit=1)[0], special=False)
    return True


def _is_file(rest: str) -> bool:
    """Tell whether what follows ``file:`` is right: only a host can be wrong."""
    if not re.match(r"[/\\]{2}", rest) or _DRIVE.match(rest, 2):
        return True
    host = re.split(r"[/\\?#]", rest[2:], maxsplit=1)[0]
    return not host or _is_host(host, special=True)


def _is_authority(authority: str, *, special: bool) -> bool:
    _, at, place = authority.rpartition("@")
    if not place:
        return not special and not at
    host, port = _host_and_port(place)
    if not host or (port is not None and not _is_port(port)):
        return False
    return _is_host(host, special=special)


def _host_and_port(place: str) -> tuple[str, str | None]:
    """Split at the first colon outside of brackets; the port is ``None`` where there is none."""
    inside = False
    for index, char in enumerate(place):
        if char == ":" and not inside:
            return place[:index], place[index + 1 :]
        inside = char == "[" or (inside and char != "]")
    return place, None


def _is_port(port: str) -> bool:
    return _PORT.fullmatch(port) is not None and int(port.lstrip("0")[:6] or "0") <= _LARGEST_PORT


def _is_host(host: str, *, special: bool) -> bool:
    if host.startswith("["):
        return host.endswith("]") and _is_ipv6(host[1:-1])
    if not special:
        return _FORBIDDEN_IN_HOST.search(host) is None
    domain = _ascii_domain(unquote_to_bytes(host).decode("utf-8", "replace"))
    if not domain or _FORBIDDEN_IN_DOMAIN.search(domain):
        return False
    return _is_ipv4(domain) if _ends_in_a_number(domain) else True


def _is_ipv6(text: str) -> bool:
    if _IPV6.fullmatch(text) is None:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _ends_in_a_number(domain: str) -> bool:
    parts = domain.split(".")
    if parts[-1] == "" and len(parts) > 1:
        parts.pop()
    last = parts[-1]
    return _DECIMAL.fullmatch(last) is not None or _HEXADECIMAL.fullmatch(last) is not None


def _is_ipv4(domain: str) -> bool:
    parts = domain.removesuffix(".").split(".")
    numbers = [_ipv4_number(part) for part in parts]
    if len(parts) > 4 or None in numbers:
        return False
    *first, last = (number for number in numbers if number is not None)
    return all(number <= 255 for number in first) and last < 256 ** (5 - len(parts))


def _ipv4_number(text: str) -> int | None:
    """Return the number: hexadecimal after ``0x``, octal after ``0``.

    Of more digits than an address can have only the first count: what they say is too large too.
    """
    if found := _HEXADECIMAL.fullmatch(text):
        return int(found[1].lstrip("0")[:9] or "0", 16)
    if _OCTAL.fullmatch(text):
        return int(text.lstrip("0")[:12] or "0", 8)
    if _DECIMAL.fullmatch(text) and (text == "0" or not text.startswith("0")):
        return int(text[:11])
    return None


def _ascii_domain(domain: str) -> str | None:
    """Return ``domain`` as ASCII, or ``None`` where it is none (UTS #46, not transitional).

    Of a label beyond ASCII the prefix and what is ASCII in it is returned: that is all there is to
    look at any more.
    """
    if domain.isascii() and "xn--" not in domain.lower():
        return domain.lower()
    mapped = _mapped(domain)
    if mapped is None:
        return None
    labels: list[str] = []
    for label in mapped.split("."):
        decoded = _decoded(label)
        if decoded is None or not _is_label(decoded):
            return None
        labels.append(decoded)
    if any(_has_right_to_left(label) for label in labels) and not all(map(_follows_bidi, labels)):
        return None
    return ".".join(label if label.isascii() else _PUNYCODE + _ascii_of(label) for label in labels)


def _ascii_of(label: str) -> str:
    return "".join(char for char in label if char.isascii())


def _mapped(domain: str) -> str | None:
    """Return ``domain`` with each character as UTS #46 maps it, ``None`` where it refuses one."""
    folded = [_folded(char) for char in domain]
    if None in folded:
        return None
    return unicodedata.normalize("NFC", "".join(part for part in folded if part is not None))


def _folded(char: str) -> str | None:
    """Return what ``char`` is mapped to: nothing for one that is ignored, ``None`` if refused."""
    if char.isascii():
        return char.lower()
    if _DOTS.fullmatch(char):
        return "."
    if _IGNORED.fullmatch(char):
        return ""
    if _REFUSED.fullmatch(char):
        return None
    if char in _JOINERS:
        return char
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    if _DOTS.search(folded) or not all(map(_is_taken, folded)):
        return None
    return folded


def _is_taken(char: str) -> bool:
    return char.isascii() or unicodedata.category(char) not in _NEVER


def _decoded(label: str) -> str | None:
    """Return what a label stands for, ``None`` where it is broken Punycode (RFC 3492)."""
    if not label.startswith(_PUNYCODE):
        return label
    try:
        decoded = label.removeprefix(_PUNYCODE).encode("ascii").decode("punycode")
    except UnicodeError:
        return None
    if decoded.isascii() or unicodedata.normalize("NFC", decoded) != decoded:
        return None
    # What is encoded has been mapped before, so that mapping changes nothing.
    right = all(_folded(char) == char or char in _DEVIATIONS for char in decoded)
    return decoded if right else None


def _is_label(label: str) -> bool:
    """Tell whether a label begins with no mark, and joins only after a virama (RFC 5892, A.1)."""
    if label and unicodedata.category(label[0]).startswith("M"):
        return False
    return all(
        char not in _JOINERS or (at > 0 and unicodedata.combining(label[at - 1]) == _VIRAMA)
        for at, char in enumerate(label)
    )


def _has_right_to_left(label: str) -> bool:
    return any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in label)


def _follows_bidi(label: str) -> bool:
    """Tell whether a label keeps the six rules for names of both directions (RFC 5893, 2)."""
    kinds = [unicodedata.bidirectional(char) for char in label]
    if not kinds:
        return True
    seen = set(kinds)
    while kinds and kinds[-1] == "NSM":
        kinds.pop()
    if kinds[0] in {"R", "AL"}:
        ends, both = {"R", "AL", "EN", "AN"}, {"EN", "AN"} <= seen
        return seen <= _INSIDE | {"R", "AL", "AN"} and kinds[-1] in ends and not both
    return kinds[0] == "L" and seen <= _INSIDE | {"L"} and kinds[-1] in {"L", "EN"}
