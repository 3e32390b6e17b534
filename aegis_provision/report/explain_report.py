"""The values of a host, each with the place that set it and what it overrode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from aegis_provision.humanize import escape_control
from aegis_provision.report.console import origin_text, setting_text
from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aegis_provision.inventory.host import Host
    from aegis_provision.inventory.settings import Value
    from aegis_provision.providers.explain import EnvironmentUse, Explanation, SettingSource

_INDENT = "  "


def explanation_lines(host: Host, found: Sequence[Explanation]) -> list[Text]:
    """Return a line for each value of ``host``, and below it lines for what it overrode."""
    pin = ", pinned" if host.pinned else ""
    head = Text(host.name, style="bold")
    head.append(f"  ({', '.join(host.groups) or 'in no group'}{pin})", style="not bold")
    lines = [head]
    width = max((len(_name(item)) for item in found), default=0)
    indent = " " * (width + 4) + _INDENT
    for item in found:
        style = "" if item.place is not None else "dim"
        name = f"  {escape_control(_name(item)):<{width}}  "
        lines.append(Text(name + escape_control(_value_text(item)) + _origin(item), style=style))
        lines.extend(Text(indent + escape_control(words)) for words in _details(host, item))
    return lines


def _name(item: Explanation) -> str:
    return item.variable or item.key


def _value_text(item: Explanation) -> str:
    if item.value is None and item.place is None:
        return item.remark or "none"
    return setting_text(item.value)


def _origin(item: Explanation) -> str:
    if item.place is not None:
        return f"  ({_place_text(item.place)})" + (f"  {item.remark}" if item.remark else "")
    if item.value is None:
        return "  (default)" if item.remark else ""
    return f"  (default: {item.remark})" if item.remark else "  (default)"


def _place_text(place: SettingSource) -> str:
    if place.holder_kind == "recipe":
        kind = "built-in recipe" if place.builtin else "recipe"
        return f"{kind} {place.holder}, {place.span}"
    return origin_text(place.holder, place.span)


def _details(host: Host, item: Explanation) -> Iterator[str]:
    for use in item.environment:
        yield _environment(use)
    for place in item.agreeing:
        yield f"also {setting_text(place.value)}  ({_place_text(place)})"
    for place in item.overrode:
        yield f"over {setting_text(place.value)}  ({_place_text(place)})"
    for place in item.ignored:
        provider = host.provider.value if host.provider is not None else ""
        yield (
            f"ignored {setting_text(place.value)}  ({_place_text(place)}): "
            f"{provider} is set nearer to the host and brings its own values"
        )
    for place in item.replaced:
        yield (
            f"lost {setting_text(place.value)}  ({_place_text(place)}): "
            "to Ansible the 'aegis' of one place replaces the others whole"
        )


def _environment(use: EnvironmentUse) -> str:
    if use.is_set:
        return f"{use.name} is set"
    if not use.has_default:
        return f"{use.name} is not set, and has no default"
    if use.default is None:
        return f"{use.name} is not set, and the default counts"
    return f"{use.name} is not set: {setting_text(use.default)} by default"


def explain_document(host: Host, found: Sequence[Explanation]) -> Document:
    """Return the ``explain`` document: ``found`` about ``host``, no value of the environment."""
    return document(
        "explain",
        {
            "host": host.name,
            "groups": list(host.groups),
            "pinned": host.pinned,
            "values": [_explained(item) for item in found],
        },
    )


def _explained(item: Explanation) -> Document:
    return {
        "key": item.key,
        "variable": item.variable,
        "value": _value(item.value),
        "place": _place(item.place) if item.place is not None else None,
        "remark": item.remark,
        "agreeing": [_place(place) for place in item.agreeing],
        "overrode": [_place(place) for place in item.overrode],
        "ignored": [_place(place) for place in item.ignored],
        "replaced": [_place(place) for place in item.replaced],
        "environment": [
            {
                "name": use.name,
                "set": use.is_set,
                "required": not use.has_default,
                "default": use.default,
            }
            for use in item.environment
        ],
    }


def _place(place: SettingSource) -> Document:
    return {
        "value": _value(place.value),
        "holder": place.holder,
        "holder_kind": place.holder_kind,
        "builtin": place.builtin,
        "file": place.span.source.name,
        "line": place.span.line,
        "column": place.span.column,
    }


def _value(value: Value | None) -> Any:
    return list(value) if isinstance(value, tuple) else value
