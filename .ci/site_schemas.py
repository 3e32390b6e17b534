# noqa: INP001 - no module of the package: the site's generator runs it
"""The schemas as a part of the site: documents link to them where they lie in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_BESIDE = "](../schemas/"
_INSIDE = "](schemas/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the schemas to what is published."""
    schemas = Path(config.docs_dir).parent / "schemas"
    for path in sorted(schemas.glob("*.json")):
        files.append(File.generated(config, f"schemas/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links to where the schemas lie in the site."""
    return markdown.replace(_BESIDE, _INSIDE)
