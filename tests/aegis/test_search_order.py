"""Which files come before ours."""

from __future__ import annotations

import pytest

from aegis_provision.aegis.search_order import findable, shadowing


@pytest.mark.parametrize("base", ["", "/opt/aegis/", "sub/dir/"])
def test_what_shadows(base: str) -> None:
    yaml = [f"{base}.aegis/config.yaml", f"{base}.aegis/config.yml"]
    assert shadowing(yaml[0], "search") == ()
    assert list(shadowing(yaml[1], "search")) == yaml[:1]
    assert list(shadowing(f"{base}aegis.config.json", "search")) == yaml
    assert list(shadowing(f"{base}.aegis/config.json", "search")) == yaml
    assert list(shadowing(f"{base}manus.config.json", "search"))[:3] == [
        *yaml,
        f"{base}aegis.config.json",
    ]
    assert set(shadowing(f"{base}.manus/config.json", "search")) >= {
        *yaml,
        f"{base}.aegis/config.json",
    }


@pytest.mark.parametrize(
    "path",
    ["aegis.config.json", "/x/.aegis/config.json", "/x/.aegis/config.yml", "/x/manus.config.json"],
)
def test_nothing_shadows_an_explicit_path(path: str) -> None:
    assert findable(path)
    assert shadowing(path, "explicit") == ()


@pytest.mark.parametrize(
    "path",
    ["config.json", "/x/my-aegis.config.json", "/x/aegis/config.json", "x.aegis/config.json"],
)
def test_other_names_are_not_looked_for(path: str) -> None:
    assert not findable(path)
    assert shadowing(path, "search") == ()
