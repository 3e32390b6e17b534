"""Which of several settings wins, and where that is undecided.

Host over group; a group over its ancestors; ``all`` last; in one place the later file
(Ansible's order, without its silent winners among unrelated groups).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.diagnostic import Related, error
from aegis_provision.humanize import group_by
from aegis_provision.inventory.ansible_variables import stronger_names
from aegis_provision.inventory.groups import ALL
from aegis_provision.inventory.host import OVERRIDE_KEYS, Setting
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.inventory.groups import Ancestry
    from aegis_provision.inventory.settings import Declared

MergedSettings = dict[str, Setting]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two unrelated groups that set ``key`` differently: an error for hosts in both."""

    key: str
    first: Setting
    second: Setting

    def diagnostic(self, hosts: Sequence[str]) -> Diagnostic:
        """Return the error, for the hosts it matters to."""
        return error(
            "ambiguous-groups",
            f'the groups "{self.first.holder}" and "{self.second.holder}" set '
            f'"{self.key}" differently, and neither is above the other',
            self.second.span,
            hint="say it in one of them only, put one under the other's 'children', "
            "or set it on the host",
            related=(Related(self.first.span, f'set here by "{self.first.holder}"'),),
            hosts=tuple(hosts),
        )


def merge_level(
    holder: str, kind: Literal["host", "group"], declared: Iterable[Declared]
) -> tuple[MergedSettings, tuple[Diagnostic, ...]]:
    """Return what one host or group says for itself, by key.

    Later files win; two places of the same standing that differ are an error.
    """
    settings: MergedSettings = {}
    diagnostics: list[Diagnostic] = []
    for key, items in group_by(declared, lambda item: item.key).items():
        items.sort(key=lambda item: (-item.priority, item.is_unset))
        found = [
            Setting(
                key,
                item.value,
                item.span,
                item.holder or holder,
                item.holder_kind if item.holder else kind,
                item.overrode,
                written=item.written,
            )
            for item in items
        ]
        winner, *others = found
        if not others:
            settings[key] = winner
            continue
        beside = sum(item.priority == items[0].priority for item in items) - 1
        diagnostics.extend(
            _set_twice(winner, setting)
            for setting in others[:beside]
            if _contradict(setting, winner)
        )
        settings[key] = replace(
            winner,
            overrode=(*winner.overrode, *_flatten(others[beside:])),
            agreeing=tuple(others[:beside]),
        )
    return settings, tuple(diagnostics)


def _set_twice(first: Setting, second: Setting) -> Diagnostic:
    return error(
        "set-twice",
        f'"{second.key}" of the {second.holder_kind} "{second.holder}" is set twice, differently',
        second.span,
        hint="keep one of the two",
        related=(Related(first.span, "the other place"),),
    )


def merge_groups(
    groups: Sequence[str], settings: Mapping[str, MergedSettings], ancestry: Ancestry
) -> tuple[MergedSettings, tuple[Conflict, ...]]:
    """Return what ``groups`` (all that a host is in, without ``all``) and ``all`` say together."""
    found: MergedSettings = {}
    conflicts: list[Conflict] = []
    keys = dict.fromkeys(key for group in (*groups, ALL) for key in settings[group])
    for key in keys:
        setters = [group for group in groups if key in settings[group]]
        above = frozenset[str]().union(*map(ancestry.above, setters))
        nearest = [group for group in setters if group not in above]
        farther = [group for group in setters if group in above]
        farther.sort(key=lambda group: -len(ancestry.above(group)))
        if ALL not in groups and key in settings[ALL]:
            farther.append(ALL)
        if not nearest:
            nearest = [farther.pop(0)]
        winner, *rivals = sorted((settings[group][key] for group in nearest), key=_is_unset)
        conflicts.extend(
            Conflict(key, winner, rival) for rival in rivals if _contradict(rival, winner)
        )
        if rivals or farther:
            winner = replace(
                winner,
                overrode=(
                    *(item for setting in (winner, *rivals) for item in setting.overrode),
                    *_flatten(settings[group][key] for group in farther),
                ),
                agreeing=(
                    *winner.agreeing,
                    *(item for rival in rivals for item in (_bare(rival), *rival.agreeing)),
                ),
            )
        found[key] = winner
    return found, tuple(conflicts)


def host_over_groups(own: MergedSettings, inherited: MergedSettings) -> MergedSettings:
    """Return a host's settings: its own over its groups'."""
    if not own:
        return inherited
    found = dict(inherited)
    for key, setting in own.items():
        overridden = inherited.get(key)
        if overridden is not None:
            found[key] = replace(setting, overrode=(*setting.overrode, *_flatten([overridden])))
        else:
            found[key] = setting
    return found


def _is_unset(setting: Setting) -> bool:
    return setting.value is None and not setting.key.startswith(ENV_PREFIX)


def _contradict(first: Setting, second: Setting) -> bool:
    """Tell whether two settings of the same standing can't both count."""
    if first.value == second.value:
        return False
    # A variable of Ansible's that is not set says nothing of the same setting by another name.
    return None not in {first.value, second.value} or first.written == second.written


def without_unset(settings: MergedSettings) -> MergedSettings:
    """Return ``settings`` without variables of Ansible's that are as good as not set.

    Each hides the same variable where it is set farther away, and no other name of that setting:
    ``ansible_user: null`` on a host hides ``ansible_user`` of its groups, and not their ``user``.
    """
    found: MergedSettings = {}
    for key, setting in settings.items():
        if not any(map(_is_unset, (setting, *setting.agreeing, *setting.overrode))):
            found[key] = setting
            continue
        hidden: set[str] = set()
        left: list[Setting] = []
        for item in _flatten([setting]):
            if item.value is None:
                hidden.add(item.written)
            elif item.written not in hidden:
                left.append(item)
        if left:
            agreeing = [item for item in left[1:] if item in setting.agreeing]
            overrode = [item for item in left[1:] if item not in agreeing]
            found[key] = replace(left[0], agreeing=tuple(agreeing), overrode=tuple(overrode))
    return found


def settles(own: Setting, conflict: Conflict) -> bool:
    """Tell whether what a host says for itself ends a conflict of its groups about that key."""
    if not _is_unset(own):
        return True
    return conflict.first.written == conflict.second.written == own.written


def outranked(settings: MergedSettings) -> Iterator[tuple[Setting, Setting]]:
    """Yield each winner that Ansible would not take, and the one that it takes instead.

    Of two names of Ansible's for one setting it obeys one, wherever the two were set: with
    ``ansible_ssh_user`` on ``all`` and ``ansible_user`` on the host, the first.
    """
    for winner in settings.values():
        stronger = stronger_names(winner.written)
        if not stronger:
            continue
        for other in (*winner.agreeing, *winner.overrode):
            if other.written in stronger:
                if other.value != winner.value:
                    yield winner, other
                break


def outranked_by(winner: Setting, other: Setting, hosts: Sequence[str]) -> Diagnostic:
    """Return the error for what :func:`outranked` yields: Ansible would take another value."""
    return error(
        "ambiguous-names",
        f'"{winner.written}" is nearer to the host, and yet Ansible takes "{other.written}", '
        "wherever it is set",
        winner.span,
        hint=f'use one of the two names in both places, or "{winner.key}" here',
        related=(Related(other.span, "this is what Ansible takes"),),
        hosts=tuple(hosts),
    )


def _flatten(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Return ``settings``, each followed by those beside it and by what it had overridden."""
    return tuple(
        item
        for setting in settings
        for item in (_bare(setting), *setting.agreeing, *setting.overrode)
    )


def _bare(setting: Setting) -> Setting:
    return replace(setting, overrode=(), agreeing=())


def scope_overrides(
    settings: MergedSettings, ancestry: Ancestry
) -> tuple[MergedSettings, tuple[Setting, ...], tuple[Setting, ...]]:
    """Return the override keys that count beside the provider, those that do not, the unclear ones.

    A provider brings its own values: an override counts only where it is set as near to the host
    as the provider, or nearer. One from a group that is neither above nor below the provider's
    is unclear, because neither of the two is nearer.
    """
    provider = settings.get("provider")
    overrides: MergedSettings = {}
    ignored: list[Setting] = []
    unclear: list[Setting] = []
    for key in OVERRIDE_KEYS:
        setting = settings.get(key)
        if setting is None:
            continue
        if provider is None or counts_beside(setting, provider, ancestry):
            overrides[key] = setting
        elif _is_farther(setting, provider, ancestry):
            ignored.append(setting)
        else:
            unclear.append(setting)
    return overrides, tuple(ignored), tuple(unclear)


def unclear_override(setting: Setting, provider: Setting, hosts: Sequence[str]) -> Diagnostic:
    """Return the error for an override that is neither nearer nor farther than the provider."""
    return error(
        "ambiguous-override",
        f'"{setting.key}" comes from the group "{setting.holder}" and the provider from '
        f'"{provider.holder}", and neither is above the other',
        setting.span,
        hint=f'set the provider in "{setting.holder}" too, or "{setting.key}" where the provider '
        "is set, or both on the host",
        related=(Related(provider.span, "the provider is set here"),),
        hosts=tuple(hosts),
    )


def counts_beside(setting: Setting, provider: Setting, ancestry: Ancestry) -> bool:
    """Tell whether an override key is set as near to the host as the provider, or nearer."""
    if setting.holder_kind == "host":
        return True
    if provider.holder_kind == "host":
        return False
    return any(
        place.holder == chosen.holder or ancestry.is_above(chosen.holder, place.holder)
        for place in (setting, *setting.agreeing)
        for chosen in (provider, *provider.agreeing)
    )


def _is_farther(setting: Setting, provider: Setting, ancestry: Ancestry) -> bool:
    return provider.holder_kind == "host" or any(
        ancestry.is_above(setting.holder, chosen.holder)
        for chosen in (provider, *provider.agreeing)
    )
