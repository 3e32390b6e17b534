"""Prints what a user may have at the lowest versions that pyproject.toml allows, for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_BOUNDED = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)(,<[0-9.]+)?")


def lowest(project: Path) -> list[str]:
    """Return ``name==version`` for each dependency of ``project``, its pyproject.toml.

    Those of the extras ``dask`` and ``demo`` are among them: a user may install them. Raises
    :class:`ValueError` for a dependency without a lowest version.
    """
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    found = []
    extras = table["optional-dependencies"]
    for requirement in [*table["dependencies"], *extras["dask"], *extras["demo"]]:
        bounded = _BOUNDED.fullmatch(requirement)
        if bounded is None:
            raise ValueError(f"{requirement}: no lowest version")
        found.append(f"{bounded[1]}=={bounded[2]}")
    return found


if __name__ == "__main__":
    print(" ".join(lowest(Path("pyproject.toml"))))  # noqa: T201
