# noqa: INP001 - no module of the package: the build runs it
"""The README as a package index shows it: what it links to beside itself is not there.

Links to files of the repository lead to what ``project.urls`` names as ``Source``, at the version's
tag. Without it they become plain text, which is no dead end either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#|mailto:)([^)]+)\)")


class IndexReadme(MetadataHookInterface):
    """Gives the package the README with links that work anywhere."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` in ``metadata``."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_links_to(text, source, metadata["version"]),
        }


def with_links_to(text: str, source: str, version: str) -> str:
    """Return ``text`` with its relative links led to ``source`` at ``version``, or taken out."""
    if not source:
        return _LINK.sub(r"\1", text)
    return _LINK.sub(rf"[\1]({source.rstrip('/')}/blob/v{version}/\2)", text)
