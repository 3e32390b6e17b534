"""Where each of a host's values was set, and what it overrode."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from aegis_provision.documents.secret_detection import HARMLESS_TOKENS, is_named_hash, looks_secret
from aegis_provision.documents.yaml_edits import REPLACES
from aegis_provision.inventory.ansible_variables import ALIASES
from aegis_provision.inventory.groups import Ancestry
from aegis_provision.inventory.precedence import counts_beside
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.packaged_files import load_schema
from aegis_provision.providers.recipes import (
    VARIABLE_OF,
    builtin_recipes,
    env_entries,
    template_values,
)
from aegis_provision.providers.secret import TOKENS, is_safe_reference, is_secret_setting
from aegis_provision.providers.templates import outline, references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.host import Host, Inventory, Setting
    from aegis_provision.inventory.settings import Value
    from aegis_provision.providers.recipes import Recipe

_TEMPLATES = frozenset({*VARIABLE_OF, *TOKENS})
_REMOVES = "removes it from the host"
_WITHOUT = {
    "address": "the host's name",
    "user": "what the ssh config says, else your own name",
    "port": "unless the ssh config says otherwise",
    "identity_file": "what the ssh config says",
    "identity_passphrase": "such keys must be in your agent",
    "password": "only keys log in",
    "jump": "what the ssh config says",
    "api": "the port of the server there, or of the host's own file",
    "api_token": "the authToken of the host's own file",
}
"""What holds for a key that is not set, beside the default in the schema."""


@dataclass(frozen=True, slots=True)
class SettingSource:
    """A value as one place sets it.

    ``value`` is the text there, less what could be a secret; ``None`` where the place says that a
    session variable is to be removed. ``holder`` is the name of the
    host, group or recipe; ``builtin`` recipes are the tool's own.
    """

    value: Value | None = field(repr=False)
    holder: str
    holder_kind: Literal["host", "group", "recipe"]
    span: Span
    builtin: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """A variable of the operator's environment that a value refers to.

    ``default`` is the value that counts if it is not set, ``None`` without one. A default that
    could be a secret is hidden: then only ``has_default`` says that there is one.
    """

    name: str
    is_set: bool
    has_default: bool
    default: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One effective value and how it came about.

    ``key`` is a setting's name or ``env.NAME``; ``variable`` the session variable that it sets, if
    it sets one. ``place`` is ``None`` where it is not set: ``value`` is then the default, if there
    is one, and ``remark`` says what that means. A variable that a place removes has no value.
    ``overrode`` and ``ignored`` are in order, nearest to the host first; a place is ignored where
    the provider was chosen nearer to the host, and ``replaced`` where to Ansible the mapping that
    it stands in does not count. ``agreeing`` places set the same value with the same standing as
    ``place``.
    """

    key: str
    variable: str | None
    value: Value | None = field(repr=False)
    place: SettingSource | None
    remark: str = ""
    agreeing: tuple[SettingSource, ...] = ()
    overrode: tuple[SettingSource, ...] = ()
    ignored: tuple[SettingSource, ...] = ()
    replaced: tuple[SettingSource, ...] = ()
    environment: tuple[EnvironmentUse, ...] = ()


def explain(
    host: Host, inventory: Inventory, recipes: Mapping[str, Recipe], is_set: Collection[str]
) -> tuple[Explanation, ...]:
    """Return every effective value of ``host``: its settings first, then its session variables.

    Works on a valid inventory. ``is_set`` holds the names of the environment's variables that are
    set and not empty; no value of the environment is needed.
    """
    explainer = _Explainer(host, inventory, recipes, is_set)
    return (*explainer.settings(), *explainer.variables())


def matching(found: Iterable[Explanation], key: str) -> tuple[Explanation, ...]:
    """Return those of ``found`` that ``key`` names.

    A key is a setting's name (Ansible's name for it too), a session variable, or ``env.NAME``;
    ``env`` names all further variables.
    """
    name = ALIASES.get(key, key)
    return tuple(
        item
        for item in found
        if name in {item.key, item.variable} or (name == "env" and item.key.startswith(ENV_PREFIX))
    )


@dataclass(slots=True)
class _Explainer:
    host: Host
    inventory: Inventory
    recipes: Mapping[str, Recipe]
    is_set: Collection[str]

    def settings(self) -> Iterator[Explanation]:
        """Yield what is no session variable, in the schema's order."""
        described = load_schema("inventory")["$defs"]["vars"]["properties"]
        for key in dict.fromkeys((*described, *self.host.settings)):
            if key == "provider" and self.host.provider is not None:
                yield self._setting(key, self.host.provider)
            elif key in self.host.settings:
                yield self._setting(key, self.host.settings[key])
            elif key not in {*VARIABLE_OF, REPLACES} and not (key == "env" and self._env_names()):
                yield self._unset(key, described[key].get("default"))

    def variables(self) -> Iterator[Explanation]:
        """Yield the session variables, in the order in which the file holds them."""
        if self.host.provider is None:
            return
        recipe = self.recipes[str(self.host.provider.value)]
        for key, variable in VARIABLE_OF.items():
            yield from self._variable(key, variable, self.host.overrides.get(key), recipe)
        for name in self._env_names():
            key = ENV_PREFIX + name
            yield from self._variable(key, name, self.host.env.get(name), recipe)

    def _env_names(self) -> Iterable[str]:
        provider = self.host.provider
        recipe = self.recipes[str(provider.value)] if provider is not None else None
        own = () if recipe is None else (*recipe.env, *sorted(recipe.removed))
        return dict.fromkeys((*own, *self.host.env))

    def _setting(self, key: str, setting: Setting) -> Explanation:
        place = _place_of(setting)
        return Explanation(
            key=key,
            variable=None,
            value=place.value,
            place=place,
            remark=_unused(key, self.host.settings),
            agreeing=_places(setting.agreeing, but=(place,)),
            overrode=_places(setting.overrode, but=(place,)),
            environment=self._environment(key, setting.value),
        )

    def _unset(self, key: str, default: Value | None) -> Explanation:
        host = self.host
        if key == "address":
            default = host.name
        elif key == "become" and host.target.become_user is not None:
            return Explanation(key, None, value=True, place=None, remark="implied by become_user")
        elif key == "become_user" and host.target.become_user is None:
            default = None
        remark = _WITHOUT.get(key, "")
        return Explanation(key, None, default, None, remark, replaced=self._replaced(key))

    def _replaced(self, key: str) -> tuple[SettingSource, ...]:
        return tuple(_place_of(item) for item in self.host.replaced if item.key == key)

    def _variable(
        self, key: str, variable: str, setting: Setting | None, recipe: Recipe
    ) -> Iterator[Explanation]:
        in_recipes = list(self._recipe_values(recipe, key))
        farther = [item for item in self.host.ignored if item.key == key]
        ignored = [place for item in farther for place in (item, *item.agreeing, *item.overrode)]
        agreeing: tuple[Setting, ...] = ()
        counting: list[Setting] = []
        if setting is not None:
            place, template, agreeing = _place_of(setting), setting.value, setting.agreeing
            ignored = [item for item in setting.overrode if not self._counts(key, item)]
            counting = [item for item in setting.overrode if item not in ignored]
        elif in_recipes:
            place, template = in_recipes.pop(0)
        else:
            return
        overrode = _places(counting, but=(place,))
        yield Explanation(
            key=key,
            variable=variable,
            value=place.value,
            place=place,
            remark=_REMOVES if place.value is None else "",
            agreeing=_places(agreeing, but=(place,)),
            overrode=(*overrode, *(beaten for beaten, _ in in_recipes)),
            ignored=_places(ignored, but=(place, *overrode)),
            replaced=self._replaced(key),
            environment=self._environment(key, template),
        )

    def _counts(self, key: str, setting: Setting) -> bool:
        if key.startswith(ENV_PREFIX) or self.host.provider is None:
            return True
        return counts_beside(setting, self.host.provider, Ancestry(self.inventory.groups))

    def _recipe_values(
        self, recipe: Recipe, key: str
    ) -> Iterator[tuple[SettingSource, str | None]]:
        """Yield what ``recipe`` says for ``key``, and those that it extends, itself first.

        Beside each place stands its template, ``None`` where it removes the variable.
        """
        for name in recipe.lineage:
            entry = self.inventory.providers.get(name)
            if entry is not None and key.startswith(ENV_PREFIX):
                for item in env_entries(entry.body)[0]:
                    if ENV_PREFIX + item.name == key:
                        shown = None if item.value is None else shown_template(key, item.value)
                        yield SettingSource(shown, name, "recipe", item.span), item.value
                continue
            values = (
                builtin_recipes()[name].values
                if entry is None
                else template_values(entry.body, builtin=False)
            )
            value = values.get(key)
            if value is not None:
                shown = shown_template(key, value.template)
                source = SettingSource(shown, name, "recipe", value.span, value.builtin)
                yield source, value.template

    def _environment(self, key: str, written: Value | None) -> tuple[EnvironmentUse, ...]:
        if written is None or (key not in _TEMPLATES and not key.startswith(ENV_PREFIX)):
            return ()
        template = str(written)
        hidden = is_secret_setting(key, template)
        return tuple(
            EnvironmentUse(
                name=reference.name,
                is_set=reference.name in self.is_set,
                has_default=reference.default is not None,
                default=(
                    None if hidden and reference.default not in HARMLESS_TOKENS
                    else reference.default
                ),
            )
            for reference in dict.fromkeys(references(template))
        )  # fmt: skip


def _unused(key: str, settings: Mapping[str, Setting]) -> str:
    if key == "service" and "restart_command" in settings:
        return "not used: restart_command goes before it"
    become = settings.get("become")
    if key == "become_user" and become is not None and become.value is False:
        return "not used: become is false"
    return ""


def _place_of(setting: Setting) -> SettingSource:
    value = setting.value
    if value is None:
        return SettingSource(None, setting.holder, setting.holder_kind, setting.span)
    if setting.key in _TEMPLATES or setting.key.startswith(ENV_PREFIX):
        value = shown_template(setting.key, str(value))
    else:
        value = shown_setting(value)
    return SettingSource(value, setting.holder, setting.holder_kind, setting.span)


def _places(
    settings: Iterable[Setting], *, but: Collection[SettingSource]
) -> tuple[SettingSource, ...]:
    """Return each place once: through an alias one line may set several values."""
    seen = {(place.holder, place.span) for place in but}
    found: list[SettingSource] = []
    for setting in settings:
        place = _place_of(setting)
        if (place.holder, place.span) not in seen:
            seen.add((place.holder, place.span))
            found.append(place)
    return tuple(found)


def shown_template(key: str, template: str) -> str:
    """Return the ``template`` of ``key`` less what could be a secret: text, and defaults.

    Where the rule for secrets was kept there is nothing to hide; where no name says that a value
    is one (``env: {HEADERS: 'Bearer ${GATEWAY_TOKEN:-...}'}``) the names alone are told.
    """
    hidden = is_secret_setting(key, template) and not is_safe_reference(template)
    if hidden or (
        looks_secret(template) and not is_named_hash(key.removeprefix(ENV_PREFIX), template)
    ):
        return outline(template, harmless=HARMLESS_TOKENS)
    return template


def shown_setting(value: Value) -> Value:
    """Return the ``value`` of a setting, or what stands for it where it looks like a secret.

    No inventory with such a value is valid: this is for the day on which one is.
    """
    if isinstance(value, tuple):
        return tuple("..." if looks_secret(item) else item for item in value)
    return "..." if isinstance(value, str) and looks_secret(value) else value
