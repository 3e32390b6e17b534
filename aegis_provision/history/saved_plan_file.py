"""A saved plan as a file: JSON with a seal, so that one that was cut off or edited is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from aegis_provision.documents.json_codec import DecodeError, JsonCodec, moment, parse_object
from aegis_provision.history.run_header import SourceFile
from aegis_provision.planning.plan import Change
from aegis_provision.planning.saved_plan import (
    PARTS_OF_PLAN,
    PlanOptions,
    SavedHost,
    SavedPlan,
    SkippedHost,
)
from aegis_provision.values import dataclass

_KIND = "aegis-provision/saved-plan/"
SCHEMA = f"{_KIND}v1"
_BEGINS_WITHIN = 4096
_SALT_SIZE = 16

_CODEC = JsonCodec(
    names={"Change": Change, "datetime": datetime, "Mapping": Mapping, "SourceFile": SourceFile},
    renamed={Change: {"kind": "change"}, SavedHost: {"restart_pending": "restart_owed"}},
)


class SavedPlanError(Exception):
    """A file is no saved plan that this version can carry out; the text says why."""


def dump(saved: SavedPlan) -> bytes:
    """Return the content of the file that keeps ``saved``."""
    content = {
        "schema": SCHEMA,
        "made": moment(saved.made),
        "tool_version": saved.tool_version,
        **_CODEC.encode(saved.options),
        "sources": [{"path": path, "sha256": sha256} for path, sha256 in saved.sources],
        "plays": [{"batches": batches} for batches in saved.batches],
        "salt": saved.salt.hex(),
        "token_digests": dict(saved.tokens),
        "hosts": _CODEC.encode(saved.hosts),
        "left_out": _CODEC.encode(saved.skipped),
    }
    content["seal"] = _seal(content)
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
        content = parse_object(data)
        if content.get("schema") != SCHEMA:
            raise SavedPlanError("another version of the tool made it")
        if _CODEC.decode(_Sealed, content).seal != _seal(content):
            raise SavedPlanError("it is not whole, or it was edited")
        return _saved_plan(_CODEC.decode(PlanOptions, content), _CODEC.decode(_Content, content))
    except DecodeError as problem:
        raise SavedPlanError(f"it is damaged: {problem}") from None


def _seal(content: Mapping[str, object]) -> str:
    sealed = {key: value for key, value in content.items() if key != "seal"}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Sealed:
    seal: str


@dataclass(frozen=True, slots=True)
class _Play:
    batches: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file keeps beside the options that the plan was made with."""

    made: datetime
    tool_version: str
    sources: tuple[SourceFile, ...]
    plays: tuple[_Play, ...]
    salt: str
    token_digests: Mapping[str, str]
    hosts: tuple[SavedHost, ...]
    left_out: tuple[SkippedHost, ...]


def _saved_plan(options: PlanOptions, content: _Content) -> SavedPlan:
    """Return the plan, if it is one that can be made. Raises :class:`DecodeError`."""
    playbook = () if options.playbook is None else (options.playbook,)
    for path in (*options.inventories, *playbook):
        if "\0" in path.path + path.absolute or not path.path:
            raise DecodeError('"path" is no path')
    misplaced = [
        *(host.action for host in content.hosts if host.action not in PARTS_OF_PLAN),
        *(host.action for host in content.left_out if host.action in PARTS_OF_PLAN),
    ]
    if misplaced:
        raise DecodeError(f'"action" can\'t be "{misplaced[0].value}" here')
    return SavedPlan(
        made=content.made,
        tool_version=content.tool_version,
        options=options,
        sources=tuple((source.path, source.sha256) for source in content.sources),
        batches=tuple(play.batches for play in content.plays),
        salt=_salt(content.salt),
        tokens=content.token_digests,
        hosts=content.hosts,
        skipped=content.left_out,
    )


def _salt(text: str) -> bytes:
    try:
        salt = bytes.fromhex(text)
    except ValueError:
        salt = b""
    if len(salt) != _SALT_SIZE:
        raise DecodeError('"salt" is no salt')
    return salt
