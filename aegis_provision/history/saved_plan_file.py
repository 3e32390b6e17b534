"""A saved plan as a file: JSON, sealed, so that what was cut off or edited is told from a plan."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from aegis_provision.documents.json_fields import JsonFields, LineError, moment
from aegis_provision.planning.plan import Action, Change, ChangeKind, change_content
from aegis_provision.planning.saved_plan import (
    PARTS_OF_PLAN,
    PathRef,
    PlanOptions,
    SavedHost,
    SavedPlan,
    SkippedHost,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIND = "aegis-provision/saved-plan/"
SCHEMA = f"{_KIND}v1"
_BEGINS_WITHIN = 4096
_SEAL = "seal"
_SALT_SIZE = 16


class SavedPlanError(Exception):
    """A file is no saved plan that this version can carry out; the text says why."""


def dump(saved: SavedPlan) -> bytes:
    """Return the content of the file that keeps ``saved``."""
    content: dict[str, object] = {
        "schema": SCHEMA,
        "made": moment(saved.made),
        "tool_version": saved.tool_version,
        "inventories": [_place(place) for place in saved.chosen.inventories],
        "limit": saved.chosen.limit,
        "playbook": _place(saved.chosen.playbook) if saved.chosen.playbook else None,
        "no_secrets": saved.chosen.no_secrets,
        "sources": [{"path": path, "sha256": sha256} for path, sha256 in saved.sources],
        "plays": [{"batches": batches} for batches in saved.batches],
        "salt": saved.salt.hex(),
        "token_digests": dict(saved.tokens),
        "hosts": [_host(host) for host in saved.hosts],
        "left_out": [
            {"host": left.host, "action": left.action.value, "reason": left.reason}
            for left in saved.left_out
        ],
    }
    content[_SEAL] = _seal(content)
    return (json.dumps(content, indent=2) + "\n").encode()


def is_saved_plan(data: bytes) -> bool:
    """Tell whether a file that begins with ``data`` means to be a saved plan, of any version.

    A playbook may speak of one, in a comment; it is no JSON object.
    """
    beginning = data[:_BEGINS_WITHIN]
    return beginning.lstrip().startswith(b"{") and f'"{_KIND}'.encode() in beginning


def parse(data: bytes) -> SavedPlan:
    """Return the plan that a file keeps. Raises :class:`SavedPlanError`."""
    try:
        fields = JsonFields.of(data)
        if fields.text("schema") != SCHEMA:
            raise SavedPlanError("another version of the tool made it")
        if fields.text(_SEAL) != _seal(fields.content):
            raise SavedPlanError("it is not whole, or it was edited")
        return _plan(fields)
    except LineError as problem:
        raise SavedPlanError(f"it is damaged: {problem}") from None


def _seal(content: Mapping[str, object]) -> str:
    sealed = {key: value for key, value in content.items() if key != _SEAL}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def _place(place: PathRef) -> Mapping[str, str]:
    return {"path": place.said, "absolute": place.absolute}


def _host(host: SavedHost) -> Mapping[str, object]:
    return {
        "host": host.host,
        "provider": host.provider,
        "path": host.path,
        "action": host.action.value,
        "changes": [change_content(change) for change in host.changes],
        "unknown": host.unknown,
        "restart_owed": host.restart_owed,
        "settings": host.settings,
        "seen": host.seen,
        "wanted": dict(host.wanted),
        "tokens": dict(host.tokens),
    }


def _plan(fields: JsonFields) -> SavedPlan:
    chosen = PlanOptions(
        tuple(_parse_place(item) for item in fields.parts("inventories")),
        fields.text("limit"),
        _parse_place(fields.part("playbook")) if fields.has("playbook") else None,
        fields.flag("no_secrets"),
    )
    return SavedPlan(
        made=fields.when("made"),
        tool_version=fields.text("tool_version"),
        chosen=chosen,
        sources=tuple((item.text("path"), item.text("sha256")) for item in fields.parts("sources")),
        batches=tuple(item.lists_of_texts("batches") for item in fields.parts("plays")),
        salt=_salt(fields),
        tokens=_texts_by_name(fields, "token_digests"),
        hosts=tuple(_parse_host(item) for item in fields.parts("hosts")),
        left_out=tuple(
            SkippedHost(item.text("host"), _action(item, part_of_plan=False), item.text("reason"))
            for item in fields.parts("left_out")
        ),
    )


def _parse_place(fields: JsonFields) -> PathRef:
    place = PathRef(fields.text("path"), fields.text("absolute"))
    if "\0" in place.said + place.absolute or not place.said:
        raise LineError('"path" is no path')
    return place


def _salt(fields: JsonFields) -> bytes:
    try:
        salt = bytes.fromhex(fields.text("salt"))
    except ValueError:
        salt = b""
    if len(salt) != _SALT_SIZE:
        raise LineError('"salt" is no salt')
    return salt


def _action(fields: JsonFields, *, part_of_plan: bool) -> Action:
    action = fields.word(Action, "action")
    if (action in PARTS_OF_PLAN) is not part_of_plan:
        raise LineError(f'"action" can\'t be "{action.value}" here')
    return action


def _parse_host(fields: JsonFields) -> SavedHost:
    wanted = fields.part("wanted")
    return SavedHost(
        host=fields.text("host"),
        provider=fields.text("provider"),
        path=fields.text("path"),
        action=_action(fields, part_of_plan=True),
        changes=tuple(_parse_change(item) for item in fields.parts("changes")),
        unknown=fields.texts("unknown"),
        restart_owed=fields.flag("restart_owed"),
        settings=fields.text("settings"),
        seen=fields.text_or_none("seen"),
        wanted={name: wanted.text_or_none(name) for name in wanted.content},
        tokens=_texts_by_name(fields, "tokens"),
    )


def _parse_change(fields: JsonFields) -> Change:
    return Change(
        fields.text("key"),
        fields.word(ChangeKind, "change"),
        fields.text_or_none("before"),
        fields.text_or_none("after"),
        fields.flag("sensitive"),
    )


def _texts_by_name(fields: JsonFields, key: str) -> Mapping[str, str]:
    part = fields.part(key)
    return {name: part.text(name) for name in part.content}
