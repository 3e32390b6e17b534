"""The values of a host and where they were set, as a JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aegis_provision.report.json_documents import Document, document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.inventory.host import Host
    from aegis_provision.inventory.settings import Value
    from aegis_provision.providers.explain import Explanation, SettingSource


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
