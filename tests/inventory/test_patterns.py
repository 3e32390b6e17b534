"""Host patterns mean what they mean to Ansible."""

from __future__ import annotations

import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.patterns import PatternError, match_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = """
all:
  vars: {provider: glm}
  children:
    web: {hosts: {'w[0:5]': }}
    db: {hosts: {d1: , w3: }}
    v6: {hosts: {'::1': , 'fe80::1%eth0': {provider: ollama}}}
    both: {children: {web: , db: }}
    empty:
"""
INVENTORY, FOUND = load_inventory([InputFile("inventory", "", "i.yml", TEXT.encode(), 0)])
assert INVENTORY is not None
HOSTS = tuple(INVENTORY.hosts)


def chosen(pattern: str, files: Mapping[str, str] = MappingProxyType({})) -> str:
    assert INVENTORY is not None
    return " ".join(match_hosts(pattern, INVENTORY, files.__getitem__))


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("db", "w3 d1"), ("web:&db", "w3"), ("web:!db", "w0 w1 w2 w4 w5"), ("db,w0", "w0 w3 d1"),
        ("!web", "d1 ::1 fe80::1%eth0"), ("&db", "w3 d1"), ("both", "w0 w1 w2 w3 w4 w5 d1"),
        ("web[0:2]", "w0 w1 w2"), ("web[0]", "w0"), ("web[0:0]", "w0"), ("web[-1]", "w5"),
        ("web[-2:]", "w4 w5"), ("web[0-1]", "w0 w1"), ("web[4-]", "w4 w5"), ("w[0-1]", "w0 w1"),
        ("w[23]", "w2 w3"), ("w0 d1", "w0 d1"), ("web &db", "w3"),
        ("web[:1]", "w0 w1"), ("web[4:]", "w4 w5"), ("web[4:99]", "w4 w5"), ("web[1:-4]", "w1 w2"),
        ("all[0]", "w0"), ("w[0-1]*", "w0 w1"), ("w?:!w[2-5]*", "w0 w1"), ("~w[01]$", "w0 w1"),
        ("~(w0|d)", "w0 w3 d1"), ("provider=ollama", "fe80::1%eth0"), ("::1", "::1"),
        ("all,!::1,!web,!db", "fe80::1%eth0"), ("empty", ""), ("web:&empty", ""),
        ("provider=glm[0:1]", "w0 w1"), ("provider=ollama[-1]", "fe80::1%eth0"),
        ("db[0]:web[1:2]:!w1", "w2 d1"), (" w0 , w1 ", "w0 w1"),
    ],
)  # fmt: skip
def test_patterns(pattern: str, hosts: str) -> None:
    assert chosen(pattern) == hosts


def test_a_slice_counts_the_hosts_of_a_group_as_they_stand_there() -> None:
    """As in Ansible, also where some of them stand in another group before that."""
    text = (
        "all: {vars: {provider: glm}, children: {a: {hosts: {x1: , x2: }}, "
        "b: {hosts: {y1: , x2: }, children: {c: {hosts: {z1: , x1: }}}}}}"
    )
    inventory, found = load_inventory([InputFile("inventory", "", "i.yml", text.encode(), 0)])
    assert inventory is not None, found
    for pattern, host in (("b[0]", "y1"), ("b[1]", "x2"), ("b[-1]", "x1"), ("all[-1]", "z1")):
        assert match_hosts(pattern, inventory, str) == (host,)


def test_a_star_is_everyone_in_inventory_order() -> None:
    assert tuple(chosen("*").split()) == tuple(chosen("all").split()) == HOSTS


@pytest.mark.parametrize(
    "pattern",
    ["", " ", ",", "&", "!", "web:&", "nope", "web:nope", "web:!nope", "web:&nope", "web[6]",
     "web[9:]", "web[3:1]", "empty[0]", "nope[0]", "x*", "~^x", "~(", "~", "&~", "!~",
     "provider=nope", "provider=glm[9]", "provider=nope[0]", "web["],
)  # fmt: skip
def test_a_term_that_matches_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(PatternError):
        chosen(pattern)


@pytest.mark.parametrize(("pattern", "meant"), [("boht", "both"), ("provider=olama", "ollama")])
def test_an_unknown_name_gets_a_hint(pattern: str, meant: str) -> None:
    with pytest.raises(PatternError, match=f'did you mean "{meant}"'):
        chosen(pattern)


TERMS = ["web", "db", "&both", "!w3", "!db", "w?", "~d"]


@given(st.lists(st.sampled_from(TERMS), min_size=1, max_size=5))
def test_the_order_of_terms_does_not_matter(terms: list[str]) -> None:
    orders = itertools.islice(itertools.permutations(terms), 24)
    assert len({chosen(",".join(order)) for order in orders}) == 1


@given(st.lists(st.sampled_from(TERMS), min_size=1, max_size=5))
def test_a_comma_and_a_colon_are_the_same(terms: list[str]) -> None:
    plain = [term for term in terms if "~" not in term] or ["web"]
    assert chosen(":".join(plain)) == chosen(",".join(plain))


def test_names_out_of_a_file() -> None:
    files = {"f": "w1  # one\n\n# none\nweb:!w2\n"}
    assert chosen("d1,@f", files) == "w0 w1 w3 w4 w5 d1"
    assert chosen("d1:@f", files) == "w0 w1 w3 w4 w5 d1"


def test_a_file_without_names_is_an_error() -> None:
    with pytest.raises(PatternError, match="names no hosts"):
        chosen("@f", {"f": "# nothing\n"})
