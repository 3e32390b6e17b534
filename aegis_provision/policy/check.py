"""Checks an inventory against a policy: every rule that does not hold is an error with its place.

What a rule demands of a value that the operator's environment decides (a base URL or a timeout with
a reference in it) can be told only once that is filled in: by ``plan``, not by ``validate``.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

from aegis_provision.documents.diagnostic import Related, Severity, error, warning
from aegis_provision.documents.did_you_mean import did_you_mean
from aegis_provision.documents.quoting import quote
from aegis_provision.humanize import counted, group_by, group_pairs, listed
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.inventory.pins import pin_of
from aegis_provision.inventory.settings import ENV_PREFIX
from aegis_provision.policy.base_urls import may_travel
from aegis_provision.policy.rules import ANY_PROVIDER
from aegis_provision.providers.recipes import VARIABLE_OF
from aegis_provision.providers.secret import Secret
from aegis_provision.providers.templates import expand, references
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import date

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Span
    from aegis_provision.inventory.host import Host, Inventory, Setting
    from aegis_provision.inventory.pins import Pin
    from aegis_provision.policy.rules import PinLimits, Policy, Rule
    from aegis_provision.providers.session_variables import Session, SessionSpec, Variable

_MOST_PLACES = 5
_BASE_URL, _TIMEOUT = VARIABLE_OF["base_url"], VARIABLE_OF["timeout_ms"]

HostsOf: TypeAlias = "Mapping[int, tuple[str, ...]]"
"""For each rule, by its index, the hosts that it is about."""


def rule_hosts(
    policy: Policy, inventory: Inventory, read_file: Callable[[str], str]
) -> tuple[HostsOf, tuple[Diagnostic, ...]]:
    """Return the hosts of each rule, and an error for each pattern that selects none."""
    found: dict[int, tuple[str, ...]] = {}
    diagnostics: list[Diagnostic] = []
    for index, rule in enumerate(policy.rules):
        try:
            found[index] = match_hosts(rule.hosts, inventory, read_file)
        except PatternError as problem:
            diagnostics.append(error("bad-pattern", f'"hosts": {problem}', rule.hosts_span))
    return found, tuple(diagnostics)


def check_policy(
    policy: Policy,
    hosts_of: HostsOf,
    inventory: Inventory,
    specs: Mapping[str, SessionSpec],
    known_providers: Collection[str],
    today: date,
    *,
    only: Collection[str] | None = None,
) -> tuple[Diagnostic, ...]:
    """Return what of ``inventory`` breaks ``policy``, as far as no environment decides it.

    ``known_providers`` are the recipes that there are. ``only`` names the hosts that a run is
    about, ``None`` for all: what is demanded of single hosts is demanded of those alone, while a
    share is one of all hosts of its rule. ``today`` is the day in UTC from which pins' days count.
    """
    found: list[Diagnostic] = list(_unknown_names(policy, known_providers, specs))
    for index, rule in enumerate(policy.rules):
        names = hosts_of.get(index, ())
        every = [inventory.hosts[name] for name in names]
        hosts = [host for host in every if only is None or host.name in only]
        found.extend(_shares(rule, every))
        found.extend(_providers(rule, hosts))
        found.extend(_pins(rule, hosts, today))
        found.extend(_forbidden(rule, hosts, specs))
        templates = {name: _Templates(spec) for name, spec in _chosen(specs, hosts).items()}
        found.extend(_tokens(rule, templates))
        found.extend(_timeouts(rule, templates))
    return tuple(found)


def check_resolved(
    policy: Policy, hosts_of: HostsOf, sessions: Mapping[str, Session]
) -> tuple[Diagnostic, ...]:
    """Return what breaks ``policy`` in the values that the environment decides.

    ``sessions`` maps the hosts of a run to what they get.
    """
    found: list[Diagnostic] = []
    for index, rule in enumerate(policy.rules):
        names = [name for name in hosts_of.get(index, ()) if name in sessions]
        resolved = {name: _Resolved(sessions[name]) for name in names}
        found.extend(_tokens(rule, resolved))
        found.extend(_timeouts(rule, resolved))
    return tuple(found)


def check_defaults(
    policy: Policy, hosts_of: HostsOf, specs: Mapping[str, SessionSpec]
) -> tuple[Diagnostic, ...]:
    """Return a warning of what breaks ``policy`` in an environment that sets no such variable.

    The built-in recipes let the environment decide each base URL and timeout, so that without this
    nothing would be told of them before ``plan``.
    """
    found: list[Diagnostic] = []
    for index, rule in enumerate(policy.rules):
        names = [name for name in hosts_of.get(index, ()) if name in specs]
        defaults = {name: _Defaults(specs[name]) for name in names}
        found.extend((*_tokens(rule, defaults), *_timeouts(rule, defaults)))
    unless = "unless your environment says otherwise"
    return tuple(
        replace(item, severity=Severity.WARNING, message=f"{item.message}, {unless}")
        for item in found
    )


@dataclass(frozen=True)
class _Templates:
    """What a host gets as far as it is the same in every environment."""

    spec: SessionSpec

    def value(self, name: str) -> str | None:
        """Return the text of a variable, ``None`` where the environment decides it."""
        variable = _variable(self.spec, name)
        if variable is None or references(variable.template):
            return None
        return variable.template


@dataclass(frozen=True)
class _Defaults:
    """What a host gets where the environment could decide and does not."""

    spec: SessionSpec

    def value(self, name: str) -> str | None:
        """Return the text of a variable, ``None`` where it has no default or takes none."""
        variable = _variable(self.spec, name)
        if variable is None or not references(variable.template):
            return None
        filled = expand(variable.template, {})
        return None if filled.missing else filled.text


@dataclass(frozen=True)
class _Resolved:
    """What a host gets as far as the environment decides it."""

    session: Session

    @property
    def spec(self) -> SessionSpec:
        return self.session.spec

    def value(self, name: str) -> str | None:
        """Return the text of a variable, ``None`` where it is the same in every environment."""
        variable, value = _variable(self.spec, name), self.session.values.get(name)
        if variable is None or not references(variable.template) or isinstance(value, Secret):
            return None
        return value


_Values: TypeAlias = "Mapping[str, _Templates] | Mapping[str, _Defaults] | Mapping[str, _Resolved]"


def _variable(spec: SessionSpec, name: str) -> Variable | None:
    return next((item for item in spec.variables if item.name == name), None)


def _chosen(specs: Mapping[str, SessionSpec], hosts: Sequence[Host]) -> dict[str, SessionSpec]:
    return {host.name: specs[host.name] for host in hosts if host.name in specs}


def _name_of(rule: Rule) -> str:
    """Return how a message names the rule."""
    return f"the policy ({rule.name})" if rule.name else "the policy"


def _unknown_names(
    policy: Policy, providers: Collection[str], specs: Mapping[str, SessionSpec]
) -> Iterator[Diagnostic]:
    """Yield what is said of a provider that there is not, or of a token that nothing uses."""
    used = {
        reference.name
        for spec in {id(item): item for item in specs.values()}.values()
        for variable in spec.variables
        for reference in references(variable.template)
    }
    for rule in policy.rules:
        limited = [(name, limit.span) for name, limit in rule.shares.items()]
        yield from _unknown_providers(error, limited, providers)
        # Another inventory may have that recipe, and here the rule allows no more for its name.
        if rule.providers_span is not None:
            allowed = [(name, rule.providers_span) for name in rule.providers or ()]
            yield from _unknown_providers(warning, allowed, providers)
        for binding in rule.tokens:
            if binding.variable not in used:
                words = f"no host's variables refer to {quote(binding.variable)}"
                hint = did_you_mean(binding.variable, used)
                yield warning("unused-policy", words, binding.span, hint=hint)


def _unknown_providers(
    tell: Callable[..., Diagnostic],
    named: Sequence[tuple[str, Span]],
    providers: Collection[str],
) -> Iterator[Diagnostic]:
    for name, span in named:
        if name not in providers and name != ANY_PROVIDER:
            words = f"no provider is called {quote(name)}"
            hint = did_you_mean(name, providers) or f"known: {listed(providers)}"
            yield tell("unknown-provider", words, span, hint=hint)


def _shares(rule: Rule, hosts: Sequence[Host]) -> Iterator[Diagnostic]:
    if not rule.shares:
        return
    by_provider = group_by((host for host in hosts if host.provider is not None), _provider)
    for provider, users in by_provider.items():
        limit = rule.shares.get(provider) or rule.shares.get(ANY_PROVIDER)
        most = limit.most.of(len(hosts)) if limit is not None else len(hosts)
        if limit is None or len(users) <= most:
            continue
        allowed = f"{limit.most} ({counted(most, 'host')})" if limit.most.percent else limit.most
        share = (
            f"{len(users)} of {counted(len(hosts), 'host')} ({100 * len(users) // len(hosts)} %)"
        )
        verb = "is" if len(users) == 1 else "are"
        which = "" if rule.hosts == "all" else f" of {quote(rule.hosts)}"
        places = dict.fromkeys(host.provider for host in users if host.provider is not None)
        yield error(
            "policy-max-share",
            f"{share}{which} {verb} on {provider}, and {_name_of(rule)} allows {allowed}",
            limit.span,
            hint="move some of them to another provider",
            related=tuple(Related(item.span, "chosen here") for item in [*places][:_MOST_PLACES]),
        )


def _provider(host: Host) -> str:
    return str(host.provider.value) if host.provider is not None else ""


def _providers(rule: Rule, hosts: Sequence[Host]) -> Iterator[Diagnostic]:
    if rule.providers is None or rule.providers_span is None:
        return
    wrong = group_pairs(
        (host.provider, host.name)
        for host in hosts
        if host.provider is not None and _provider(host) not in rule.providers
    )
    for setting, names in wrong.items():
        yield error(
            "policy-providers",
            f"{_name_of(rule)} does not allow {quote(str(setting.value))} here",
            setting.span,
            hint=f"allowed: {listed(rule.providers)}" if rule.providers else "none is allowed",
            related=(Related(rule.providers_span, "the rule"),),
            hosts=tuple(names),
        )


def _pins(rule: Rule, hosts: Sequence[Host], today: date) -> Iterator[Diagnostic]:
    limits = rule.pins
    if limits is None:
        return
    for pin in filter(None, map(pin_of, hosts)):
        host = f"{pin.host} {pin.provider.value}"
        for demand, fault, span, remedy in _pin_faults(pin, limits, today):
            yield error(
                "policy-pins",
                f"{_name_of(rule)} wants {demand}, and this one {fault}",
                span,
                hint=f"{remedy[0]}: 'aegis-provision pin {host} {remedy[1]}'",
                related=(Related(limits.span, "the rule"),),
                hosts=(pin.host,),
            )


def _pin_faults(
    pin: Pin, limits: PinLimits, today: date
) -> Iterator[tuple[str, str, Span, tuple[str, str]]]:
    """Yield what is demanded of a pin, what is wrong with it, where, and the remedy."""
    if limits.needs_reason and not pin.reason.strip():
        remedy = ("say it", "--reason WHY")
        yield "a reason for each pin", "has none", pin.provider.span, remedy
    if limits.max_days is None:
        return
    days = counted(limits.max_days, "day")
    demand = f"each pin to end within {days}" if limits.max_days else "each pin to end today"
    if pin.last_day is None or pin.until is None:
        yield demand, "has no end", pin.provider.span, ("give it an end", "--until DATE")
    elif (left := (pin.last_day - today).days) > limits.max_days:
        remedy = ("give it an earlier end", "--until DATE")
        yield demand, f"ends in {left}", pin.until.span, remedy


def _forbidden(
    rule: Rule, hosts: Sequence[Host], specs: Mapping[str, SessionSpec]
) -> Iterator[Diagnostic]:
    if not rule.forbidden or rule.forbidden_span is None:
        return
    found: dict[tuple[str, Span], dict[str, None]] = {}
    for host in hosts:
        for key, span in _own_settings(host, specs.get(host.name)):
            if any(fnmatchcase(key, pattern) for pattern in rule.forbidden):
                found.setdefault((key, span), {})[host.name] = None
    for (key, span), names in found.items():
        yield error(
            "policy-forbidden",
            f"{_name_of(rule)} forbids {quote(key)}",
            span,
            hint="remove it: what the provider itself says then counts",
            related=(Related(rule.forbidden_span, "the rule"),),
            hosts=tuple(names),
        )


def _own_settings(host: Host, spec: SessionSpec | None) -> Iterator[tuple[str, Span]]:
    """Yield what the inventory says over a recipe's head: override keys, further variables."""
    overrides: Sequence[Setting] = tuple(host.overrides.values())
    yield from ((item.key, item.span) for item in overrides)
    for variable in spec.variables if spec is not None else ():
        if variable.setting.startswith(ENV_PREFIX) and not variable.from_recipe:
            yield variable.name, variable.span


def _tokens(rule: Rule, hosts: _Values) -> Iterator[Diagnostic]:
    for binding in rule.tokens:
        wrong = group_pairs(
            ((span, base_url), name)
            for name, values in hosts.items()
            if (span := _refers_to(values.spec, binding.variable)) is not None
            and (base_url := values.value(_BASE_URL)) is not None
            and not may_travel(base_url, binding.base_urls)
        )
        for (span, base_url), names in wrong.items():
            allowed = f"go to: {listed(binding.base_urls)}" if binding.base_urls else "go nowhere"
            yield error(
                "policy-tokens",
                f"{_name_of(rule)} does not let {binding.variable} travel to {quote(base_url)}",
                span,
                hint=f"use a token of that provider's own; this one may {allowed}",
                related=(Related(binding.span, "the rule"),),
                hosts=tuple(names),
            )


def _refers_to(spec: SessionSpec, name: str) -> Span | None:
    """Return where a variable of ``spec`` refers to ``name`` of the environment."""
    for variable in spec.variables:
        if any(reference.name == name for reference in references(variable.template)):
            return variable.span
    return None


def _timeouts(rule: Rule, hosts: _Values) -> Iterator[Diagnostic]:
    limits = rule.timeout_ms
    if limits is None:
        return
    wrong = group_pairs(
        ((variable.span, text), name)
        for name, values in hosts.items()
        if (variable := _variable(values.spec, _TIMEOUT)) is not None
        and (text := values.value(_TIMEOUT)) is not None
        and _is_outside(text, limits.shortest, limits.longest)
    )
    parts = [f"at least {limits.shortest}" if limits.shortest is not None else "",
             f"at most {limits.longest}" if limits.longest is not None else ""]  # fmt: skip
    for (span, text), names in wrong.items():
        yield error(
            "policy-timeout",
            f"{_name_of(rule)} wants a timeout of {' and '.join(filter(None, parts))} ms, and this "
            f"is {quote(text)}",
            span,
            hint="set timeout_ms",
            related=(Related(limits.span, "the rule"),),
            hosts=tuple(names),
        )


def _is_outside(text: str, shortest: int | None, longest: int | None) -> bool:
    if not (text.isascii() and text.isdecimal()):
        return False  # which has an error of its own
    number = int(text)
    return (shortest is not None and number < shortest) or (
        longest is not None and number > longest
    )
