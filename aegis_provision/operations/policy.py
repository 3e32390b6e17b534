"""The policies that an inventory is held to: found, read, and checked for ``validate`` and runs.

What reads and checks them is loaded where there is one: most inventories have none, and ``plan``
starts sooner.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aegis_provision.inputs.inventory_names import ansible_source
from aegis_provision.inputs.playbook_and_policy_files import read_policy
from aegis_provision.inventory.files import POLICY_FILES
from aegis_provision.operations.load import read_pattern_file
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.operations.load import Fleet
    from aegis_provision.policy.check import HostsOf
    from aegis_provision.policy.rules import Policy
    from aegis_provision.providers.session_variables import Session


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies that count, with the hosts that each of their rules is about."""

    bound: tuple[tuple[Policy, HostsOf], ...] = ()

    def check(
        self, fleet: Fleet, today: date, *, only: Collection[str] | None = None
    ) -> tuple[Diagnostic, ...]:
        """Return what of ``fleet`` breaks them; ``only`` names the hosts that a run is about."""
        if not self.bound:
            return ()
        from aegis_provision.policy.check import check_policy

        return tuple(
            found
            for policy, hosts_of in self.bound
            for found in check_policy(
                policy, hosts_of, fleet.inventory, fleet.specs, fleet.recipes, today, only=only
            )
        )

    def check_defaults(self, fleet: Fleet) -> tuple[Diagnostic, ...]:
        """Return warnings of what breaks them in values that no environment was asked for."""
        if not self.bound:
            return ()
        from aegis_provision.policy.check import check_defaults

        return tuple(
            found
            for policy, hosts_of in self.bound
            for found in check_defaults(policy, hosts_of, fleet.specs)
        )

    def check_resolved(self, sessions: Mapping[str, Session]) -> tuple[Diagnostic, ...]:
        """Return what breaks them in values that the environment decides."""
        if not self.bound:
            return ()
        from aegis_provision.policy.check import check_resolved

        return tuple(
            found
            for policy, hosts_of in self.bound
            for found in check_resolved(policy, hosts_of, sessions)
        )


def load_policies(fleet: Fleet, named: Sequence[Path]) -> tuple[Policies, tuple[Diagnostic, ...]]:
    """Return the policies that ``fleet`` is held to, and what is wrong with their files.

    They are the ``named`` ones, or without any each ``policy.yml`` (or ``.yaml``) beside an
    inventory of the fleet, or in its directory. Names are as the operator wrote them.
    """
    bound: list[tuple[Policy, HostsOf]] = []
    diagnostics: list[Diagnostic] = []
    for path in named or tuple(_beside(fleet.named)):
        policy, found = read_policy(path)
        diagnostics.extend(found)
        if policy is not None:
            from aegis_provision.policy.check import rule_hosts

            hosts_of, found = rule_hosts(policy, fleet.inventory, read_pattern_file)
            diagnostics.extend(found)
            bound.append((policy, hosts_of))
    return Policies(tuple(bound)), tuple(diagnostics)


def _beside(inventory: Sequence[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in inventory:
        there = Path(ansible_source(path) or path)
        directory = there if there.is_dir() else there.parent
        for beside in (directory / name for name in POLICY_FILES):
            # A link that leads nowhere is a policy that can't be read, and no absent one.
            if (beside.is_symlink() or beside.exists()) and beside.absolute() not in seen:
                seen.add(beside.absolute())
                yield beside
