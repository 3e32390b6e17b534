"""``providers``: recipes, their variables, and which of them are set."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from aegis_provision.cli import completion
from aegis_provision.cli.options import (
    env_file_option,
    inventory_option,
    output_options,
)
from aegis_provision.cli.output import echo
from aegis_provision.operations.exit_codes import ExitCode
from aegis_provision.operations.load import find_recipe, fleet_if_any
from aegis_provision.providers.recipes import builtin_recipes

if TYPE_CHECKING:
    from pathlib import Path

    from aegis_provision.cli.output import Output
    from aegis_provision.operations.load import Environment


@click.command("providers")
@click.argument("name", required=False, shell_complete=completion.providers)
@click.option("--list", "names", is_flag=True, help="Only their names, one a line.")
@inventory_option
@env_file_option
@output_options
def command(
    name: str | None,
    inventory: tuple[Path, ...],
    *,
    names: bool,
    environment: Environment,
    output: Output,
) -> int:
    """List the recipes with their variables and which of them are set; with NAME, one in full.

    Each of them can be given to 'run' and to 'render --provider'. Knows your own recipes too where
    there is an inventory. Only names are shown, never a value out of your environment.
    """
    from aegis_provision.report.providers_report import list_lines, providers_document, recipe_lines

    variables = environment.variables
    fleet = fleet_if_any(inventory, environment.environ)
    recipes = fleet.recipes if fleet is not None else builtin_recipes()
    uses = Counter(spec.provider for spec in fleet.specs.values()) if fleet is not None else None
    if name is not None:
        recipes = {name: find_recipe(recipes, name)}
    if names:
        for recipe in recipes:
            echo(recipe)
    elif output.format != "text":
        output.print_document(providers_document(recipes, variables, uses))
    elif name is not None:
        output.print_lines(recipe_lines(recipes[name], variables, uses))
    else:
        output.print_lines(list_lines(recipes, variables, uses))
    return ExitCode.DONE
