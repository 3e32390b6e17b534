"""HTML and SVG out of values: all text that is not markup is escaped."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from aegis_provision.humanize import escape_control
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_EMPTY = frozenset({"meta", "input", "br"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of a page that may go out as it is."""

    text: str


def element(
    name: str, /, *content: Markup | str | None, **attributes: str | float | bool | None
) -> Markup:
    """Return an element. Strings are escaped, and characters that do not print made visible.

    An attribute whose name is a keyword takes ``_`` at its end, one with a hyphen ``_`` for it.
    ``True`` is an attribute without a value; ``False`` and ``None`` are none at all.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"no name of an element: {name!r}")
    tag = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{tag}>")
    return Markup(f"<{tag}>{together(content).text}</{name}>")


def together(parts: Iterable[Markup | str | None]) -> Markup:
    """Return ``parts`` one after the other."""
    return Markup("".join(_text(part) for part in parts if part is not None))


def _text(part: Markup | str) -> str:
    return part.text if isinstance(part, Markup) else html.escape(escape_control(part), quote=False)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else f"{value:g}"
    return f' {name}="{html.escape(escape_control(text))}"'
