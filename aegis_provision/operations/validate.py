"""``validate``: everything that can be checked without SSH and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import error, has_errors
from aegis_provision.errors import InputError, InvalidInputError
from aegis_provision.inputs.playbook_and_policy_files import read_playbook
from aegis_provision.inventory.pins import pin_diagnostics
from aegis_provision.operations.load import (
    Fleet,
    absent_inventories,
    load_fleet,
    read_pattern_file,
)
from aegis_provision.operations.policy import load_policies
from aegis_provision.playbook.schedule import make_schedule
from aegis_provision.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.operations.load import Environment
    from aegis_provision.playbook.plays import Schedule


@dataclass(frozen=True, slots=True)
class Validation:
    """What was checked, and all that is wrong or noteworthy with it.

    ``schedules`` has the name of each playbook with the schedule that it makes. There is no fleet,
    and so no schedule, where the inventory is wrong.
    """

    fleet: Fleet | None
    schedules: tuple[tuple[str, Schedule], ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def valid(self) -> bool:
        """Tell whether there is no error."""
        return self.fleet is not None and not has_errors(self.diagnostics)


def validate(
    inventory: Sequence[Path],
    playbooks: Sequence[Path],
    environment: Environment,
    named_policies: Sequence[Path] = (),
) -> Validation:
    """Check an inventory, and playbooks over it, against its policies, or those named.

    That there is no inventory is a diagnostic, too: programs read those alone.
    """
    read = [read_playbook(path) for path in playbooks]
    diagnostics = tuple(item for _, _, found in read for item in found)
    try:
        fleet = load_fleet(inventory, environment.environ)
    except InvalidInputError as problem:
        if absent_inventories(problem.diagnostics):
            diagnostics = ()
        return Validation(None, (), (*problem.diagnostics, *diagnostics))
    except InputError as problem:
        nowhere = error("no-inventory", problem.message, hint=problem.hint)
        return Validation(None, (), (nowhere, *diagnostics))
    schedules: list[tuple[str, Schedule]] = []
    for playbook in (book for book, _, _ in read if book is not None):
        schedule, found = make_schedule(
            playbook, fleet.inventory, chosen=None, read_file=read_pattern_file
        )
        schedules.append((playbook.name, schedule))
        diagnostics += found
    pins = pin_diagnostics(fleet.hosts.values(), environment.today)
    policies, found = load_policies(fleet, named_policies)
    found += policies.check(fleet, environment.today) + policies.check_defaults(fleet)
    diagnostics = (*fleet.diagnostics, *fleet.unset, *pins, *found, *diagnostics)
    return Validation(fleet, tuple(schedules), diagnostics)
