"""Host patterns, as in Ansible: ``a:b``, ``a:&b``, ``a:!b``, globs, ``~regex``, slices.

To these come ``provider=NAME``, and the ranges that name hosts in an inventory: ``gpu-[01:08]``.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import partial
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote, quote_some
from aegis_provision.inventory.addresses import is_address
from aegis_provision.inventory.groups import ALL
from aegis_provision.inventory.ranges import RangeError, expand_range
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from aegis_provision.inventory.host import Inventory

# To Ansible 'gpu[0-1]' is the same part as 'gpu[0:1]'.
_SLICE = re.compile(
    r"(?P<base>.+)\[(?P<first>-?[0-9]+)?(?:(?P<to>:|(?<=[0-9])-)(?P<last>-?[0-9]+)?)?\]"
)
_PROVIDER = "provider="
# A host's name has no colon, so that one in brackets makes them a range: no glob's set has a use
# for it.
_RANGE = re.compile(r"\[[^\[\]]*:[^\[\]]*\]")
_MOST_NAMED = 5
# Between terms of one pattern; not inside of brackets, where slices and globs use it.
_BETWEEN = re.compile(r"[:\s](?![^\[]*\])")


class PatternError(ValueError):
    """A pattern that is wrong, or a term of it that matches nothing; the text says which."""


@dataclass(frozen=True, slots=True)
class _Term:
    """One term. ``how`` says whether its hosts are added, kept alone, or taken away."""

    how: Literal["add", "keep", "remove"]
    text: str


def match_hosts(
    pattern: str, inventory: Inventory, read_file: Callable[[str], str]
) -> tuple[str, ...]:
    """Return the names of the hosts that ``pattern`` selects, in inventory order.

    Terms are separated by ``,``, or by ``:`` or spaces where there is no comma. As in Ansible,
    hosts are added first, then intersected, then taken away, in any order of the terms.
    ``read_file`` gets the path of an ``@file``. Raises :class:`PatternError`, for a term that
    matches nothing too, unless it is a group that is there and has no hosts.
    """
    expanded = _expand_files(pattern, read_file, inventory.others)
    terms = [_term(piece) for piece in _split(expanded)]
    if not terms:
        raise PatternError("an empty pattern selects nothing")
    if not any(term.how == "add" for term in terms):
        terms.append(_Term("add", "all"))
    chosen: set[str] = set()
    for term in terms:
        if term.how == "add":
            chosen |= _matching(term.text, inventory)
    for term in terms:
        if term.how == "keep":
            chosen &= _matching(term.text, inventory)
    for term in terms:
        if term.how == "remove":
            chosen -= _matching(term.text, inventory)
    return tuple(name for name in inventory.hosts if name in chosen)


def _expand_files(text: str, read: Callable[[str], str], others: Collection[str]) -> str:
    """Return ``text`` with each ``@file`` replaced by the terms in that file.

    A file holds one pattern a line, ``#`` comments and blank lines allowed; so does a ``.retry`` of
    Ansible's. In such a list hosts that are none of ours, ``others``, are passed over.
    """
    pieces = text.split(",") if "," in text else list(_split(text))
    expanded: list[str] = []
    for piece in pieces:
        if not piece.strip().startswith("@"):
            expanded.append(piece)
            continue
        path = piece.strip()[1:]
        lines = (line.partition("#")[0].strip() for line in read(path).splitlines())
        found = [line for line in lines if line]
        if not found:
            raise PatternError(f"@{path} names no hosts")
        found = [line for line in found if line not in others]
        if not found:
            raise PatternError(f"@{path} names no host that has settings of ours")
        expanded.extend(term for line in found for term in _split(line))
    return ",".join(expanded)


def _split(text: str) -> Iterator[str]:
    if "," in text:
        pieces = text.split(",")
    elif text.lstrip("&!").startswith("~") or is_address(text.strip().lstrip("&!")):
        pieces = [text]
    else:
        pieces = _BETWEEN.split(text)
    for piece in pieces:
        stripped = piece.strip()
        if stripped:
            yield stripped


def _term(text: str) -> _Term:
    match text[0]:
        case "&":
            term = _Term("keep", text[1:].strip())
        case "!":
            term = _Term("remove", text[1:].strip())
        case _:
            term = _Term("add", text)
    if term.text in {"", "~"}:  # an empty expression would match every name
        raise PatternError(f"{quote(text)} names no hosts")
    return term


def _matching(text: str, inventory: Inventory) -> set[str]:
    if text.startswith("~"):
        names = _by_expression(text, inventory)
    elif text.startswith(_PROVIDER) and not text.endswith("]"):
        return _by_provider(text, inventory)
    elif text in inventory.groups:
        return set(inventory.members(text))
    elif text in inventory.hosts:
        return {text}
    elif (match := _SLICE.fullmatch(text)) and (match["first"] or match["to"]):
        names = _slice_or_range(text, match, inventory)
    elif _RANGE.search(text):
        names = _ranged(text, inventory)
    elif any(char in text for char in "*?["):
        names = _named(re.compile(translate(text)).match, inventory)
    else:
        names = set()
    if not names and text in inventory.others:
        raise PatternError(f"{quote(text)} has no settings of ours in Ansible's inventory")
    if not names:
        problem = f"{quote(text)} matches no host and no group"
        raise PatternError(_hinted(problem, text, [*inventory.groups, *inventory.hosts]))
    return names


def _ranged(text: str, inventory: Inventory) -> set[str]:
    """Return the hosts that a range names, as it would in an inventory.

    One that is not in the inventory raises :class:`PatternError`, even if others are: to
    exclude ``gpu-[1:12]`` from nine hosts is a mistake about the fleet.
    """
    if any(char in _RANGE.sub("", text) for char in "*?[]"):
        raise PatternError(
            f"{quote(text)}: a range can't stand beside wildcards in one term; "
            "write a range alone, or a set such as [1-3]"
        )
    try:
        names = expand_range(text)
    except RangeError as problem:
        raise PatternError(f"{quote(text)}: {problem}; {problem.hint}") from None
    missing = [name for name in names if name not in inventory.hosts]
    if len(missing) == len(names):
        nothing = f"{quote(text)} matches no host and no group"
        hint = did_you_mean(text.partition("[")[0], inventory.groups)
        hint = hint or did_you_mean(names[0], inventory.hosts)
        raise PatternError(f"{nothing}; {hint}" if hint else nothing)
    if missing:
        named = quote_some(missing, _MOST_NAMED)
        verb = "is" if len(missing) == 1 else "are"
        raise PatternError(
            f"{quote(text)}: of its {len(names)} hosts {named} {verb} not in the inventory"
        )
    return set(names)


def _slice_or_range(text: str, match: re.Match[str], inventory: Inventory) -> set[str]:
    """Return what ``base[1:3]`` means: a part of ``base``, or the hosts ``base1`` to ``base3``.

    Ansible takes it for a part. Where hosts of those names exist and are not that part, the
    term is ambiguous: that raises :class:`PatternError`.
    """
    base = match["base"]
    try:
        size = len(_matching(base, inventory))
    except PatternError:
        if match["to"] == ":" and not any(char in base for char in "*?="):
            return _ranged(text, inventory)
        # Of nothing there is no part: the brackets are a set, as in a glob.
        if match["to"] != ":" and (found := _named(re.compile(translate(text)).match, inventory)):
            return found
        raise
    hosts = _in_range(text, inventory)
    try:
        part = _sliced(text, match, inventory)
    except PatternError:
        if not hosts:
            raise
        part = hosts  # there is no such part, so that only the range is left
    if not hosts or part in (hosts, set()):
        return hosts or part
    first, last = int(match["first"]), int(match["last"])
    raise PatternError(
        f"{quote(text)} is a part of {quote(base)}, and a range of other hosts too; "
        f'write "{base}[{first - size}:{min(last, size - 1) - size}]" for the part, '
        f'"{base}[{match["first"]}:{match["last"]}:1]" for the range'
    )


def _in_range(text: str, inventory: Inventory) -> set[str]:
    """Return the hosts of the range ``text`` where all of them are there, else none."""
    try:
        names = expand_range(text)
    except RangeError:
        return set()
    return set(names) if all(name in inventory.hosts for name in names) else set()


def _hinted(problem: str, written: str, names: Iterable[str]) -> str:
    hint = did_you_mean(written, names)
    return f"{problem}; {hint}" if hint else problem


def _by_expression(text: str, inventory: Inventory) -> set[str]:
    try:
        expression = re.compile(text[1:])
    except re.error as problem:
        raise PatternError(f"{quote(text)} is no regular expression: {problem}") from None
    return _named(expression.match, inventory)


def _named(matches: Callable[[str], object], inventory: Inventory) -> set[str]:
    groups = {group for group in inventory.groups if matches(group)}
    if ALL in groups:
        return set(inventory.hosts)
    return {
        name
        for name, host in inventory.hosts.items()
        if matches(name) or not groups.isdisjoint(host.groups)
    }


def _by_provider(text: str, inventory: Inventory) -> set[str]:
    used: dict[str, set[str]] = {}
    for name, host in inventory.hosts.items():
        if host.provider is not None:
            used.setdefault(str(host.provider.value), set()).add(name)
    provider = text.removeprefix(_PROVIDER)
    if provider not in used:
        raise PatternError(_hinted(f"no host uses the provider {quote(provider)}", provider, used))
    return used[provider]


def _sliced(text: str, match: re.Match[str], inventory: Inventory) -> set[str]:
    base = match["base"]
    chosen = _matching(base, inventory)
    hosts = [name for name in _ordered(base, inventory) if name in chosen]
    number = partial(_index, text, len(hosts))
    if not match["to"]:
        return {hosts[number(match["first"])]}
    first = number(match["first"]) if match["first"] else 0
    # As in Ansible, a slice may end beyond the last host; it may not begin there.
    last = int(match["last"]) if match["last"] else len(hosts) - 1
    last = last + len(hosts) if last < 0 else last
    return set(hosts[first : last + 1])


def _ordered(base: str, inventory: Inventory) -> Iterable[str]:
    """Return hosts in the order that a slice counts them, more than ``base`` means perhaps.

    As in Ansible those of a group are counted as they stand there, then those of its children.
    """
    if base == ALL or base not in inventory.groups:
        return inventory.hosts
    names = {base: None}
    pending = [base]
    while pending:
        children = [name for group in pending for name in inventory.groups[group].children]
        pending = [name for name in dict.fromkeys(children) if name not in names]
        names.update(dict.fromkeys(pending))
    return dict.fromkeys(host for name in names for host in inventory.groups[name].hosts)


def _index(text: str, size: int, written: str) -> int:
    index = int(written)
    if index < 0:
        index += size
    if not 0 <= index < size:
        raise PatternError(f"{quote(text)}: there are only {size} hosts, counted from 0")
    return index
