"""What the operator's ssh config asks for and is not done, told before anything connects.

Only keywords count whose being ignored may change where, or as whom, we connect, or what we trust
(``Effect.WARNED`` in :mod:`~aegis_provision.transport.ssh.ssh_config_keywords`). No program is run
to find out, and no name is looked up.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aegis_provision.errors import Unreachable
from aegis_provision.transport.ssh.resolve_jump_hosts import (
    MOST_HOPS,
    jump_queries,
    query_of,
    ssh_config_of,
)
from aegis_provision.transport.ssh.ssh_config_keywords import KEYWORDS, Effect, Keyword
from aegis_provision.transport.ssh.ssh_config_reader import SshConfigError, jump_names
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aegis_provision.inventory.host import Target
    from aegis_provision.transport.connect_options import ConnectOptions
    from aegis_provision.transport.ssh.ssh_config import SshConfig
    from aegis_provision.transport.ssh.ssh_config_lookup import Query
    from aegis_provision.transport.ssh.ssh_config_reader import Option, Place

_JUMP = "proxyjump"


@dataclass(frozen=True, slots=True)
class IgnoredKeyword:
    """A keyword that is not honoured, where it stands, and for which hosts it would count."""

    keyword: Keyword
    places: tuple[Place, ...]
    hosts: tuple[str, ...]


def ignored_keywords(
    targets: Iterable[Target], options: ConnectOptions
) -> tuple[IgnoredKeyword, ...]:
    """Return what the ssh config says of ``targets``, and of their bastions, and is not done.

    A config that can't be used is told by each host that it keeps from being reached.
    """
    try:
        config = ssh_config_of(options)
    except SshConfigError:
        return ()
    told = _Told(config, options)
    if not told.keywords:
        return ()
    found: dict[str, tuple[dict[Place, None], dict[str, None]]] = {}
    for target in targets:
        if target.connection != "ssh":
            continue
        with suppress(SshConfigError):
            for option in told.of_target(target):
                places, hosts = found.setdefault(option.key, ({}, {}))
                places[option.place] = None
                hosts[target.host] = None
    return tuple(
        IgnoredKeyword(KEYWORDS[key], tuple(places), tuple(hosts))
        for key, (places, hosts) in sorted(found.items())
    )


def ignored_anywhere(config: SshConfig, *, accept_new: bool) -> tuple[IgnoredKeyword, ...]:
    """Return what ``config`` says of any host, and is not done.

    Files that are included for some hosts only are not among it.
    """
    found: dict[str, dict[Place, None]] = {}
    for option in config.files.options:
        keyword = KEYWORDS.get(option.key)
        if keyword is None or keyword.effect is not Effect.WARNED:
            continue
        if _is_told(option, keyword, accept_new=accept_new):
            found.setdefault(option.key, {})[option.place] = None
    return tuple(
        IgnoredKeyword(KEYWORDS[key], tuple(places), ()) for key, places in sorted(found.items())
    )


def _is_told(option: Option, keyword: Keyword, *, accept_new: bool) -> bool:
    if keyword.users_own and not option.place.users_own:
        return False
    if option.key == "stricthostkeychecking" and accept_new:
        return option.value.lower() in {"no", "off", "false"}
    return not keyword.is_harmless(option.value)


class _Told:
    """The options of a config that are worth telling, by what is asked of it."""

    def __init__(self, config: SshConfig, options: ConnectOptions) -> None:
        self._config, self._options = config, options
        told = {key: item for key, item in KEYWORDS.items() if item.effect is Effect.WARNED}
        if not config.files.has_includes_for_hosts:
            used = {option.key for option in config.files.options if self._is_told(option, told)}
            told = {key: item for key, item in told.items() if key in used}
        self.keywords: Mapping[str, Keyword] = told
        self._keys = frozenset({*told, _JUMP})
        self._found: dict[Query, tuple[Option, ...]] = {}

    def of_target(self, target: Target) -> Iterator[Option]:
        """Yield what is told of a host and of its bastions."""
        query = query_of(target)
        every = self._of(query)
        yield from self._worth_telling(every)
        yield from self._of_bastions(target.jump or (), MOST_HOPS)
        if target.jump is None:
            yield from self._of_jumps(every, MOST_HOPS)

    def _of_jumps(self, options: Iterable[Option], hops_left: int) -> Iterator[Option]:
        for option in options:
            if option.key == _JUMP and option.value.lower() != "none":
                yield from self._of_bastions(jump_names(option.value), hops_left)

    def _of_bastions(self, names: tuple[str, ...], hops_left: int) -> Iterator[Option]:
        if len(names) > hops_left:
            return
        try:
            queries = jump_queries(names)
        except Unreachable:
            return
        for index, query in enumerate(queries):
            every = self._of(query)
            yield from self._worth_telling(every)
            if index == 0:
                yield from self._of_jumps(every, hops_left - len(names))

    def _of(self, query: Query) -> tuple[Option, ...]:
        if query not in self._found:
            self._found[query] = tuple(self._config.may_say(query, self._keys))
        return self._found[query]

    def _worth_telling(self, options: Iterable[Option]) -> Iterator[Option]:
        return (option for option in options if self._is_told(option, self.keywords))

    def _is_told(self, option: Option, keywords: Mapping[str, Keyword]) -> bool:
        keyword = keywords.get(option.key)
        return keyword is not None and _is_told(
            option, keyword, accept_new=self._options.accept_new
        )
