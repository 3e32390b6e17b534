"""Documents held against their published schemas, which must describe all that is in them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from aegis_provision.packaged_files import load_schema


def check_document(kind: str, content: object) -> None:
    """Raise where ``content`` is not what the schema of ``kind`` says, or says more than that."""
    _validator(kind).validate(json.loads(json.dumps(content)))


@cache
def _validator(kind: str) -> Draft202012Validator:
    schema = load_schema(kind)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(closed(schema, "required"))


def closed(schema: Any, where: str) -> Any:
    """Return ``schema`` so that it refuses what it does not describe, where it has ``where``."""
    if isinstance(schema, list):
        return [closed(item, where) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value, where) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if where in schema else inner
