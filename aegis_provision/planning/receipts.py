"""The receipt that a write leaves beside its file: which keys it wrote, and in which run.

It has the same protection on the host as the file, and still holds no value: a digest of each
variable, salted per receipt, only tells whether a value is the one that was written. Any user of
the host may have put it there, so it is validated before it counts.
"""

from __future__ import annotations

import hmac
import json
import re
import stat
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aegis_provision.aegis.config_file import SESSION_ENV, read_unchecked, syntax_of
from aegis_provision.aegis.lossless_json import as_javascript
from aegis_provision.aegis.remote_state import ReadProblem, RemoteFile
from aegis_provision.humanize import utc_text
from aegis_provision.planning.plan import ManagedKeys
from aegis_provision.providers.secret import Secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aegis_provision.aegis.config_file import ConfigFile
    from aegis_provision.aegis.remote_state import FoundReceipt, RemoteState
    from aegis_provision.planning.plan import Write

_NAME = "aegis-provision/receipt/"
SCHEMA = f"{_NAME}v1"
"""The schema of the receipts that this version writes and reads."""

ENV_PREFIX = f"{SESSION_ENV}."
"""What a session variable that is not managed begins with among a file's other keys."""

REST = "..."
"""What stands for the keys of a file beyond those that a receipt has digests for."""

_MOST_KEYS = 500
_LONGEST_KEY = 200
_KIND = "hmac-sha256"
_DIGEST = re.compile(rf"{_KIND}:[0-9a-f]{{64}}")
_SALT = re.compile(r"[0-9a-f]{32}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PLAIN = re.compile(r"[!-~]{1,100}")  # safe to show, though a host sent it
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_KEY = re.compile(rf".{{0,{_LONGEST_KEY}}}", re.DOTALL)
_ABSOLUTE = re.compile(r"/.*", re.DOTALL)
_OTHERS_MAY_WRITE = 0o022
_ROOT = 0
_ANY_TEXT = ("utf-8", "surrogatepass")

_PROBLEMS = {
    ReadProblem.SYMLINK: "it is a symbolic link",
    ReadProblem.TOO_LARGE: "it is too large",
    ReadProblem.PERMISSION_DENIED: "no permission to read it",
}


@dataclass(frozen=True, slots=True)
class WriteInfo:
    """What wrote a file, and when: the run's name, the time (UTC), this tool's version."""

    run: str
    written: datetime
    version: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The record of one write.

    ``digests`` maps the managed names to digests of the written values, made with ``salt``.
    ``before`` are the managed keys before that write, ``None`` if there was no receipt.
    ``others`` maps the file's other keys to digests of what they were, ``None`` in receipts of
    versions that did not record them.
    """

    info: WriteInfo
    path: str
    provider: str
    salt: bytes = field(repr=False)
    digests: Mapping[str, str] = field(repr=False)
    before: ManagedKeys | None
    others: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def managed(self) -> ManagedKeys:
        """Return the keys that are managed by this receipt."""
        return ManagedKeys(self.provider, tuple(self.digests))

    def is_as_written(self, name: str, value: str | Secret | None) -> bool:
        """Tell whether ``value`` is the written value of the variable ``name``.

        ``None`` stands for no variable: it is the written value of a name that is not in the
        receipt.
        """
        return self._is_digest_of(self.digests.get(name), name, value)

    def is_as_left(self, key: str, text: str | None) -> bool:
        """Tell whether another key of the file still has the canonical ``text`` that it had.

        ``None`` stands for no such key.
        """
        return self._is_digest_of((self.others or {}).get(key), _other(key), text)

    def _is_digest_of(self, known: str | None, name: str, value: str | Secret | None) -> bool:
        if known is None or value is None:
            return known is None and value is None
        return hmac.compare_digest(known, _digest(self.salt, name, value))


@dataclass(frozen=True, slots=True)
class RejectedReceipt:
    """What was found in place of a receipt does not count, for ``reason``."""

    reason: str


def dump(
    path: str,
    managed: ManagedKeys,
    before: ManagedKeys | None,
    content: bytes,
    info: WriteInfo,
    salt: bytes,
) -> bytes:
    """Return the receipt of a write of ``content`` to ``path``.

    ``managed`` are the names to record; those that are no session variables of ``content`` are left
    out. ``salt`` is 16 random bytes, fresh for each receipt.
    """
    config = read_unchecked(content, syntax=syntax_of(path))
    values = config.session_env
    others = other_keys(config, managed.names)
    receipt = {
        "schema": SCHEMA,
        "run": info.run,
        "written": utc_text(info.written),
        "version": info.version,
        "path": path,
        "provider": managed.provider,
        "salt": salt.hex(),
        "variables": {
            name: _digest(salt, name, values[name]) for name in managed.names if name in values
        },
        "before": None
        if before is None
        else {"provider": before.provider, "variables": list(before.names)},
        "others": {key: _digest(salt, _other(key), text) for key, text in others.items()},
    }
    return (json.dumps(receipt, indent=2) + "\n").encode()


def other_keys(config: ConfigFile | None, managed: Collection[str]) -> Mapping[str, str]:
    """Return all of a file beside the ``managed`` session variables: keys and canonical values.

    Two values that Aegis reads alike have the same text: formatting, the order of keys and the way
    a number is written do not count. The texts hold secrets.
    """
    if config is None:
        return {}
    found = {key: _canonical(value) for key, value in config.root.items() if key != SESSION_ENV}
    for name, value in config.session_env.items():
        if name not in managed:
            found[ENV_PREFIX + name] = _canonical(value)
    own = [key for key in sorted(found) if len(key) <= _LONGEST_KEY][:_MOST_KEYS]
    kept = {key: found.pop(key) for key in own}
    return {**kept, REST: _canonical(found)} if found else kept


def with_receipt(write: Write, info: WriteInfo, salt: bytes) -> Write:
    """Return ``write`` with the receipt that it leaves: none if no key will be managed.

    The receipt records what the file will hold. ``salt`` is as for :func:`dump`.
    """
    receipt = None
    if write.content is not None and write.managed is not None:
        receipt = dump(write.path, write.managed, write.managed_before, write.content, info, salt)
    return replace(write, receipt=receipt)


def validate(found: FoundReceipt, actual: RemoteState) -> Receipt | RejectedReceipt | None:
    """Return the receipt that was found beside the target, or why it does not count.

    It must be a regular file that belongs to the target's owner or to root, that no other user can
    write, and it must name the target's own path. ``None`` if there is none.
    """
    if found is None:
        return None
    if not isinstance(found, RemoteFile):
        return RejectedReceipt(_PROBLEMS.get(found, "it is not a regular file"))
    owner = actual.file or actual.directory
    if owner is None or found.uid not in {owner.uid, _ROOT}:
        return RejectedReceipt(f"it belongs to neither the file's owner nor root (uid {found.uid})")
    if stat.S_IMODE(found.mode) & _OTHERS_MAY_WRITE:
        return RejectedReceipt(f"others may write it (mode {stat.S_IMODE(found.mode):04o})")
    receipt = parse(found.content)
    if isinstance(receipt, Receipt) and receipt.path != actual.path:
        return RejectedReceipt("it is about another file")
    return receipt


def parse(data: bytes) -> Receipt | RejectedReceipt:
    """Return the receipt in ``data``, or why it is none. Never raises; repeats nothing of it."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return RejectedReceipt("it is damaged: it is not JSON")
    if not isinstance(content, dict) or not isinstance(content.get("schema"), str):
        return RejectedReceipt("it is not one of this tool's")
    if content["schema"] != SCHEMA:
        kind = (
            "a newer version of" if content["schema"].startswith(_NAME) else "something else than"
        )
        return RejectedReceipt(f"it was written by {kind} this tool")
    try:
        return _receipt(content)
    except (KeyError, TypeError, ValueError):
        return RejectedReceipt("it is damaged: parts of it are missing or make no sense")


def _receipt(content: Mapping[str, Any]) -> Receipt:
    written = datetime.strptime(content["written"], _TIME).replace(tzinfo=UTC)
    before, others = content["before"], content.get("others")
    return Receipt(
        info=WriteInfo(
            _matching(_PLAIN, content["run"]), written, _matching(_PLAIN, content["version"])
        ),
        path=_matching(_ABSOLUTE, content["path"]),
        provider=_matching(_PLAIN, content["provider"]),
        salt=bytes.fromhex(_matching(_SALT, content["salt"])),
        digests={
            _matching(_VARIABLE, name): _matching(_DIGEST, digest)
            for name, digest in dict(content["variables"]).items()
        },
        before=None
        if before is None
        else ManagedKeys(
            _matching(_PLAIN, before["provider"]),
            tuple(_matching(_VARIABLE, name) for name in before["variables"]),
        ),
        others=None
        if others is None
        else {
            _matching(_KEY, key): _matching(_DIGEST, digest) for key, digest in dict(others).items()
        },
    )


def _canonical(value: object) -> str:
    return json.dumps(as_javascript(value), sort_keys=True, separators=(",", ":"))


def _other(key: str) -> str:
    """Return the name that a digest of another key is made with: no variable's name."""
    return f"file {key}"


def _matching(pattern: re.Pattern[str], text: object) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(pattern.pattern)
    return text


def _digest(salt: bytes, name: str, value: str | Secret) -> str:
    """Return the keyed digest (RFC 2104) of a value under its name.

    The name is part of it, so that two variables with the same value have different digests. No
    name holds the byte between name and value.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    message = name.encode(*_ANY_TEXT) + b"\0" + text.encode(*_ANY_TEXT)
    return f"{_KIND}:{hmac.digest(salt, message, 'sha256').hex()}"
