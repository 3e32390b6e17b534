"""Aegis' file: how Aegis reads it, and the merge that changes session variables only.

A file's name decides its syntax (:func:`syntax_of`): JSON, or YAML where it ends so.

Aegis checks the file as a whole. If anything is wrong, it prints one warning, ignores the whole
file, its own API token included, and goes on (docs/aegis.md, "One bad field loses the file"). So
:func:`parse_config` finds such files, with every reason.
"""

from __future__ import annotations

import math
import re
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from aegis_provision.aegis.lossless_json import as_javascript, dump, parse
from aegis_provision.aegis.variable_rules import (
    denied_name_problem,
    failing_value_problem,
    tmux_session_problem,
)
from aegis_provision.aegis.whatwg_url import is_javascript_url
from aegis_provision.documents.json_reader import NotJsonError, TooDeepError
from aegis_provision.documents.quoting import quote
from aegis_provision.documents.schema_rules import rule_of
from aegis_provision.documents.secret_detection import is_secret_name, looks_secret
from aegis_provision.packaged_files import load_schema
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.secret import Secret, is_named_secret
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

SESSION_ENV = "defaultSessionEnv"
_SCHEMA = "aegis.config"
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_IGNORES = "Aegis ignores the whole file:"
_URL_FORMAT = "whatwg-url"
_LARGEST_PORT = 65535
_LARGEST_INTEGER = 2**53 - 1  # JavaScript's Number.MAX_SAFE_INTEGER
_PROTOTYPE = "__proto__"
_RECORDS = (SESSION_ENV, "tenantWorkdirs")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]{1,60}")
_KINDS = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}


class Where(Protocol):
    """Tells where a value stands in its file, and with ``as_string`` what is there instead."""

    def __call__(self, path: Sequence[str | int], *, as_string: bool = False) -> str:
        """Return the place of the value at ``path`` in words; empty where it is not known."""


class Syntax(Protocol):
    """How a file holds its values: read as Aegis reads them, and with session variables set."""

    def read(self, data: bytes) -> tuple[Any, Where]:
        """Return what Aegis sees in ``data``, and where it stands.

        Raises :class:`UnreadableError`.
        """

    def edit(self, data: bytes, values: Mapping[str, str], removed: Collection[str]) -> bytes:
        """Return ``data``, which Aegis takes, with ``values`` and without ``removed``.

        Raises :class:`~.edit_errors.CannotEditError`.
        """

    def compose(self, values: Mapping[str, str]) -> bytes:
        """Return a new file with ``values``."""


class UnreadableError(ValueError):
    """A file that Aegis ignores, or that this tool does not read; the message is the reason."""


class DoubtfulError(UnreadableError):
    """A file of which this tool can't tell how Aegis reads it."""


@dataclass(frozen=True, slots=True)
class _JsonSyntax:
    """JSON, laid out anew; numbers keep their text."""

    def read(self, data: bytes) -> tuple[Any, Where]:
        if data.startswith(_UTF8_BOM):
            raise UnreadableError(_begins_with("a byte order mark"))
        try:
            return parse(_text_to_read(data)), _nowhere
        except NotJsonError as problem:
            raise UnreadableError(f"{_IGNORES} it is not JSON: {problem}") from None
        except TooDeepError as problem:
            raise UnreadableError(f"this tool does not rewrite the file: it is {problem}") from None

    def edit(self, data: bytes, values: Mapping[str, str], removed: Collection[str]) -> bytes:
        root = parse(_as_text(data))
        current = _as_record(root.get(SESSION_ENV, {}))
        kept = {name: value for name, value in current.items() if name not in removed}
        return (dump({**root, SESSION_ENV: {**kept, **values}}) + "\n").encode()

    def compose(self, values: Mapping[str, str]) -> bytes:
        return (dump({SESSION_ENV: dict(values)}) + "\n").encode()


@dataclass(frozen=True, slots=True)
class _YamlSyntax:
    """YAML, edited in place."""

    def read(self, data: bytes) -> tuple[Any, Where]:
        from aegis_provision.aegis import yaml_config
        from aegis_provision.aegis.yaml_values import NotTakenError, UnsureError

        try:
            found = yaml_config.read(_as_text(data))
        except NotTakenError as problem:
            raise UnreadableError(f"{_IGNORES} {problem}") from None
        except UnsureError as problem:
            words = "this tool can't be sure how Aegis reads the file"
            raise DoubtfulError(f"{words}: {problem}") from None
        if not isinstance(found.root, dict):
            _text_to_read(data)  # It says more of an empty file, and of one in UTF-16.
        return found.root, found.where

    def edit(self, data: bytes, values: Mapping[str, str], removed: Collection[str]) -> bytes:
        from aegis_provision.aegis import yaml_config

        text = yaml_config.edit(_as_text(data), SESSION_ENV, _in_order(values), removed)
        return text.encode()

    def compose(self, values: Mapping[str, str]) -> bytes:
        from aegis_provision.aegis import yaml_config

        return yaml_config.compose(SESSION_ENV, _in_order(values)).encode()


def _in_order(values: Mapping[str, str]) -> dict[str, str]:
    """Return the official variables in their order, then the others by name."""
    official = [name for name in VARIABLE_OF.values() if name in values]
    return {name: values[name] for name in dict.fromkeys([*official, *sorted(values)])}


JSON: Syntax = _JsonSyntax()
YAML: Syntax = _YamlSyntax()


def _nowhere(path: Sequence[str | int], *, as_string: bool = False) -> str:  # noqa: ARG001
    return ""


def syntax_of(path: str) -> Syntax:
    """Return how Aegis reads the file at ``path``: its name decides."""
    return YAML if path.endswith((".yaml", ".yml")) else JSON


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that Aegis takes. Its content holds secrets and never shows.

    ``root`` is the whole file, in order, with numbers as they were written; ``session_env`` the
    variables under ``defaultSessionEnv``. Where the bytes are not all UTF-8 (``is_utf8``), both
    hold U+FFFD in their place, as Aegis sees them. ``content`` is what was read, in ``syntax``.
    """

    root: Mapping[str, Any] = field(repr=False)
    session_env: Mapping[str, str] = field(repr=False)
    has_auth_token: bool
    content: bytes = field(repr=False)
    syntax: Syntax = field(repr=False)

    @property
    def is_utf8(self) -> bool:
        """Tell whether all bytes are UTF-8."""
        return _as_text(self.content).encode("utf-8") == self.content

    @property
    def auth_token(self) -> Secret | None:
        """Return the token of Aegis' API, which the file may hold."""
        return self._token("authToken")

    @property
    def client_auth_token(self) -> Secret | None:
        """Return the file's further token, which opens Aegis' API too."""
        return self._token("clientAuthToken")

    def _token(self, key: str) -> Secret | None:
        token = self.root.get(key)
        if not isinstance(token, str) or not token:  # an unchecked file may hold anything there
            return None
        return Secret(token, f"{key} of the host's own file")

    def secrets(self) -> tuple[str, ...]:
        """Return the texts that stand, at any depth, under a key that is named like a secret.

        Short digits, ``true`` and ``false`` are none, but where the key is a token's own.
        """
        return tuple(_secrets(self.root, ""))


@dataclass(frozen=True, slots=True)
class RejectedConfig:
    """A file that Aegis would ignore, crash on, or fail every session over, and why.

    ``root`` is what it holds, ``None`` where it is no object; it never shows. ``is_doubtful`` says
    that Aegis may take the file.
    """

    reasons: tuple[str, ...]
    root: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    is_doubtful: bool = False

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets in it, as for a file that Aegis takes."""
        return tuple(_secrets(self.root, ""))


def parse_config(
    data: bytes, *, replaced: Collection[str] = (), syntax: Syntax = JSON
) -> ConfigFile | RejectedConfig:
    """Return how Aegis would read ``data``. Reasons never repeat a value.

    ``replaced`` names session variables whose values are about to be replaced: a value that fails
    every session is no reason there. A value of the wrong *type* still is: Aegis ignores the whole
    file because of it.
    """
    try:
        root, where = syntax.read(data)
    except UnreadableError as problem:
        return RejectedConfig((str(problem),), is_doubtful=isinstance(problem, DoubtfulError))
    if not isinstance(root, dict):
        return RejectedConfig((f"{_IGNORES} its root is no object",))
    reasons = (*_field_reasons(root, where), *_start_reasons(root, where))
    if reasons:
        return RejectedConfig(reasons, root)
    environment: dict[str, str] = _as_record(root.get(SESSION_ENV, {}))
    kept = {key: environment[key] for key in environment if key not in replaced}
    reasons = tuple(_session_reasons(kept, where))
    if reasons:
        return RejectedConfig(reasons, root)
    return ConfigFile(root, environment, bool(root.get("authToken")), data, syntax)


def merge(
    config: ConfigFile | None,
    values: Mapping[str, str | Secret],
    *,
    removed: Collection[str] = (),
    syntax: Syntax = JSON,
) -> bytes:
    """Return the whole new file: ``config`` with ``values`` as session variables.

    Every other key keeps its place and value, and so do session variables that neither ``values``
    nor ``removed`` names. New keys come last. ``syntax`` is that of a file where there is none yet.
    Raises :class:`~.edit_errors.CannotEditError`.
    """
    plain = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in values.items()
    }
    if config is None:
        return syntax.compose(plain)
    return config.syntax.edit(config.content, plain, removed)


def read_unchecked(content: bytes, *, syntax: Syntax = JSON) -> ConfigFile:
    """Return what a file holds, without the checks: nothing, where it holds no object.

    For files that were checked before. What is no text among the session variables is left out.
    """
    try:
        root, _ = syntax.read(content)
    except UnreadableError:
        root = None
    if not isinstance(root, dict):
        root = {}
    found = root.get(SESSION_ENV)
    env = _as_record(found) if isinstance(found, dict) else {}
    texts = {name: value for name, value in env.items() if isinstance(value, str)}
    return ConfigFile(root, texts, bool(root.get("authToken")), content, syntax)


def session_env_in(content: bytes, *, syntax: Syntax = JSON) -> Mapping[str, str]:
    """Return the session variables in a file, without checking it; empty if there are none."""
    return read_unchecked(content, syntax=syntax).session_env


def render(values: Mapping[str, str | Secret], *, mask: str | None, syntax: Syntax = JSON) -> str:
    """Return the text of a new file with ``values``; secrets show as ``mask``, if there is one."""
    plain = {
        name: value if isinstance(value, str) else value.reveal() if mask is None else mask
        for name, value in values.items()
    }
    return syntax.compose(plain).decode("utf-8", "surrogatepass")


def _text_to_read(data: bytes) -> str:
    """Return the text of a file. Raises :class:`UnreadableError` where there is none."""
    if data.startswith(_UTF16_BOMS):
        raise UnreadableError(_begins_with("UTF-16"))
    if not data.strip():
        raise UnreadableError(f"{_IGNORES} it is empty")
    return _as_text(data)


def _begins_with(mark: str) -> str:
    return f"{_IGNORES} it begins with {mark}, and must be plain UTF-8"


def _as_text(data: bytes) -> str:
    """Return ``data`` as Node.js reads it: each broken part of a character becomes U+FFFD."""
    return data.decode("utf-8", "replace")


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.validators import extend

    formats = FormatChecker(formats=())
    formats.checks(_URL_FORMAT)(
        lambda value: not isinstance(value, str) or is_javascript_url(value)
    )
    types = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number)
    validator: type[Draft202012Validator] = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator, type_checker=types
    )
    return validator(load_schema(_SCHEMA), format_checker=formats)


def _is_number(_: object, value: object) -> bool:
    """Tell whether Aegis' schema takes ``value`` for a number: YAML's ``.nan`` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not math.isnan(value)


@cache
def _rule() -> Callable[[Any], bool]:
    """Return what tells quickly that a file keeps to the schema; else the library says why."""
    found = rule_of(load_schema(_SCHEMA), formats={_URL_FORMAT: is_javascript_url})
    return found or (lambda _: False)


def _field_reasons(root: dict[str, Any], where: Where) -> Iterator[str]:
    checked = as_javascript(_as_checked(root))
    if _rule()(checked):
        return
    problems = sorted(
        _validator().iter_errors(checked),
        key=lambda problem: [str(step) for step in problem.absolute_path],
    )
    mistyped = {tuple(item.absolute_path) for item in problems if item.validator == "type"}
    for problem in problems:
        if problem.validator == "type" or tuple(problem.absolute_path) not in mistyped:
            place = where(
                list(problem.absolute_path), as_string=problem.validator_value == "string"
            )
            yield _reason(problem) + (f" ({place})" if place else "")


def _as_checked(root: dict[str, Any]) -> dict[str, Any]:
    """Return ``root`` less what Aegis' schema (zod) passes over: a record's ``__proto__``."""
    return {
        name: _as_record(value) if name in _RECORDS and isinstance(value, dict) else value
        for name, value in root.items()
    }


def _as_record(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name != _PROTOTYPE}


def _at(reason: str, place: str) -> str:
    return f"{reason} ({place})" if place else reason


def _start_reasons(root: dict[str, Any], where: Where) -> Iterator[str]:
    """Yield why Aegis stops at its start although it takes the file.

    Aegis' own message names AEGIS_POSTGRES_URL, but Aegis does not read that variable: the URL must
    be in the file. Whether a Redis server answers can't be checked here.
    """
    if root.get("stateStore") == "postgres" and not root.get("postgresUrl"):
        yield 'Aegis crashes at its start: "stateStore" is postgres, and there is no "postgresUrl"'
    session = root.get("tmuxSession")
    problem = tmux_session_problem(session) if isinstance(session, str) else None
    if problem is not None:
        reason = f'Aegis crashes at its start: "tmuxSession" is a bad name: {problem}'
        yield _at(reason, where(["tmuxSession"]))


def _reason(problem: ValidationError) -> str:
    field_name = ".".join(shown_key(step) for step in problem.absolute_path)
    rule: Any = problem.validator_value
    present: Any = problem.instance
    match problem.validator:
        case "required":
            absent = next(name for name in rule if name not in present)
            crash = field_name == "alerting" and absent == "webhooks"
            does = "crashes at its start" if crash else "ignores the whole file"
            return f'Aegis {does}: "{field_name}" has no "{absent}"'
        case "type":
            return f'Aegis ignores the whole file: "{field_name}" must be {_KINDS[rule]}'
        case "enum":
            words = ", ".join(str(item) for item in rule)
            return f'Aegis ignores the whole file: "{field_name}" must be one of {words}'
        case "maximum" if rule == _LARGEST_PORT and present <= _LARGEST_INTEGER:
            return f'Aegis dies at its start: "{field_name}" is above {rule}'
        case "maximum":
            return f'Aegis ignores the whole file: "{field_name}" is too large'
        case "minimum" | "exclusiveMinimum":
            return f'Aegis ignores the whole file: "{field_name}" is too small'
        case _:
            return f'Aegis ignores the whole file: "{field_name}" must be a URL'


def shown_key(step: str | int) -> str:
    """Return a key of a host's file as a message may show it: an odd one is quoted and masked."""
    text = str(step)
    return text if _PLAIN_NAME.fullmatch(text) and not looks_secret(text) else quote(text)


def _secrets(value: object, name: str) -> Iterator[str]:
    """Yield the secrets in ``value``; ``name`` is the nearest key above it that names one."""
    if isinstance(value, str):
        if is_named_secret(name, value):
            yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _secrets(item, key if is_secret_name(key) else name)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, name)


def failing_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return which of a file's session variables make every session fail, each with the reason."""
    return tuple(f"{named}: {problem}" for _, named, problem in _failing(environment))


def _session_reasons(environment: Mapping[str, str], where: Where) -> Iterator[str]:
    for name, named, problem in _failing(environment):
        reason = f"Aegis would fail every session over {named}: {problem}"
        yield _at(reason, where([SESSION_ENV, name]))


def _failing(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, value in environment.items():
        problem = denied_name_problem(name) or failing_value_problem(value)
        if problem is not None:
            yield name, f"{SESSION_ENV}.{shown_key(name)}", problem
