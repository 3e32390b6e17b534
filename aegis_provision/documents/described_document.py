"""Documents that a JSON Schema describes and that a reader of their own understands.

The reader tells more of a wrong value than the schema can, so the schema is heard on the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aegis_provision.documents.diagnostic import Severity, drop_followups, error
from aegis_provision.documents.literal_secrets import literal_secrets
from aegis_provision.documents.schema import check
from aegis_provision.documents.yaml_reader import read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aegis_provision.documents.diagnostic import Diagnostic
    from aegis_provision.documents.nodes import Node


def read_described(
    name: str, data: bytes, how_to_begin: str
) -> tuple[Node | None, tuple[Diagnostic, ...]]:
    """Return the YAML in the file called ``name``, and what is wrong with its form.

    An empty file is an error whose hint is ``how_to_begin``.
    """
    node, found = read_yaml(name, data)
    if node is None and not found:
        found = (error("empty-file", f"{name} is empty", hint=how_to_begin),)
    return node, tuple(found)


def check_described(
    node: Node, found: Sequence[Diagnostic], *, schema: str, noun: str
) -> tuple[Diagnostic, ...]:
    """Return everything that is wrong with a document.

    ``found`` is what was told of its form and by its reader. ``schema`` is the name of its JSON
    Schema, and ``noun`` what messages call it: ``a policy``.
    """
    refused = {item.span for item in found if item.severity is Severity.ERROR}
    by_schema = (item for item in check(node, schema) if item.span not in refused)
    return drop_followups((*literal_secrets(node, noun), *found, *by_schema))
