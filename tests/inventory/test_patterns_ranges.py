"""The text of an inventory's range means its hosts in a pattern too."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_provision.inventory.files import InputFile
from aegis_provision.inventory.load import load_inventory
from aegis_provision.inventory.patterns import PatternError, match_hosts
from aegis_provision.inventory.ranges import expand_range

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = """
all:
  vars: {provider: glm}
  hosts:
    gpu-[1:9].example.com:
    n[01:08]:
    r[a:c]-[1:2].x:
    e[0:8:2]:
    far[5:6]:
  children:
    web: {hosts: {'web[1:9]': }}
    same: {hosts: {'same[0:3]': }}
    far: {hosts: {n01: }}
    some: {hosts: {some0: , n02: , n03: }}
    void:
"""
INVENTORY, _ = load_inventory([InputFile("inventory", "", "i.yml", TEXT.encode(), 0)])
assert INVENTORY is not None


def chosen(pattern: str, files: Mapping[str, str] = MappingProxyType({})) -> str:
    assert INVENTORY is not None
    return " ".join(match_hosts(pattern, INVENTORY, files.__getitem__))


def problem(pattern: str) -> str:
    with pytest.raises(PatternError) as caught:
        chosen(pattern)
    return str(caught.value)


def gpus(numbers: str) -> str:
    return " ".join(f"gpu-{number}.example.com" for number in numbers)


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("gpu-[1:9].example.com", gpus("123456789")),
        ("gpu-[1:3].example.com", gpus("123")),
        ("gpu-[3:3].example.com", gpus("3")),
        ("gpu-[1:9:4].example.com", gpus("159")),
        ("gpu-*:!gpu-[1:3].example.com", gpus("456789")),
        ("gpu-[1:5].example.com:&gpu-[4:9].example.com", gpus("45")),
        ("gpu-[1:2].example.com,!gpu-[2:3].example.com,n[01:02]", gpus("1") + " n01 n02"),
        ("n[01:08]", "n01 n02 n03 n04 n05 n06 n07 n08"),
        ("n[03:04]:!n[04:05]", "n03"),
        ("r[a:c]-[1:2].x", "ra-1.x ra-2.x rb-1.x rb-2.x rc-1.x rc-2.x"),
        ("r[b:b]-[1:2].x", "rb-1.x rb-2.x"),
        ("e[0:8:2]", "e0 e2 e4 e6 e8"),
        ("e[4:8:2]", "e4 e6 e8"),
    ],
)
def test_a_range_means_its_hosts(pattern: str, hosts: str) -> None:
    assert chosen(pattern) == hosts


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("gpu-[13].example.com", gpus("13")),
        ("gpu-[!1].example.com", gpus("23456789")),
        ("gpu-[2-4].example.com", gpus("234")),
        ("r[a-b]-1.x", "ra-1.x rb-1.x"),
    ],
)
def test_a_set_stays_a_glob(pattern: str, hosts: str) -> None:
    assert chosen(pattern) == hosts


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("gpu-[1:9].example.com[0:1]", gpus("12")),
        ("gpu-[1:9].example.com[-1]", gpus("9")),
        ("web[0:1]", "web1 web2"),  # there is no web0, so that it is the slice alone
        ("web[6:99]", "web7 web8 web9"),
        ("web[-8:-6]", "web2 web3 web4"),
        ("web[1:3:1]", "web1 web2 web3"),
        ("same[0:1]", "same0 same1"),  # the slice and the range are the same
        ("some[0:1]", "n02 some0"),  # of the range only some0 is there
        ("far[5:6]", "far5 far6"),  # the group has no sixth host, so that it is the range
    ],
)
def test_beside_slices(pattern: str, hosts: str) -> None:
    assert chosen(pattern) == hosts


@pytest.mark.parametrize(
    ("pattern", "part", "hosts"),
    [
        ("web[1:3]", "web[-8:-6]", "web[1:3:1]"),
        ("web[1:9]", "web[-8:-1]", "web[1:9:1]"),
        ("web[8:9]", "web[-1:-1]", "web[8:9:1]"),
    ],
)
def test_a_range_that_is_a_slice_of_other_hosts_is_refused(
    pattern: str, part: str, hosts: str
) -> None:
    assert problem(pattern) == (
        f'"{pattern}" is a part of "web", and a range of other hosts too; '
        f'write "{part}" for the part, "{hosts}" for the range'
    )
    first, last = (int(number) for number in pattern[4:-1].split(":"))
    web = [f"web{number}" for number in range(1, 10)]
    assert chosen(part).split() == web[first : last + 1]
    assert chosen(hosts).split() == [f"web{number}" for number in range(first, last + 1)]


@pytest.mark.parametrize("operator", ["", "!", "&"])
def test_hosts_that_are_not_in_the_inventory_are_an_error(operator: str) -> None:
    names = [f'"gpu-{number}.example.com"' for number in range(10, 15)]
    assert problem(f"all:{operator}gpu-[1:14].example.com") == (
        f'"gpu-[1:14].example.com": of its 14 hosts {", ".join(names)} are not in the inventory'
    )
    assert problem(f"{operator}gpu-[1:15].example.com") == (
        f'"gpu-[1:15].example.com": of its 15 hosts {", ".join(names)} and 1 more '
        "are not in the inventory"
    )
    assert problem(f"{operator}n[00:02]") == (
        '"n[00:02]": of its 3 hosts "n00" is not in the inventory'
    )


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("gpu-[1:3].exmaple.com",
         '"gpu-[1:3].exmaple.com" matches no host and no group; did you mean "gpu-1.example.com"?'),
        ("wbe[0:2]", '"wbe[0:2]" matches no host and no group; did you mean "web"?'),
        ("x-[0:2]", '"x-[0:2]" matches no host and no group'),
        ("x-[0:2:1]", '"x-[0:2:1]" matches no host and no group'),
        ("x*[0:2]", '"x*" matches no host and no group'),
        ("x?[0:2]", '"x?" matches no host and no group'),
        ("nope[0]", '"nope" matches no host and no group'),
        ("void[0:1]", '"void[0:1]": there are only 0 hosts, counted from 0'),
        ("provider=nope[0:1]", 'no host uses the provider "nope"'),
        ("web[a:b]", '"web[a:b]" matches no host and no group; did you mean "web"?'),
        ("web[9:12]", '"web[9:12]": there are only 9 hosts, counted from 0'),
        ("gpu-[9:1].example.com",
         '"gpu-[9:1].example.com": [9:1] runs backwards; write the lower end first'),
        ("gpu-[9:1]", '"gpu-[9:1]": [9:1] runs backwards; write the lower end first'),
        ("gpu-[1:b].example.com", ('"gpu-[1:b].example.com": what stands in brackets is no range; '
                                  "write [01:08], [1:9:2] or [a:f]")),
        ("gpu-[1:9:0].example.com", ('"gpu-[1:9:0].example.com": [1:9:0]: a step of 0 never gets '
                                    "there; leave the step out, or name one")),
        ("gpu-[1:3].*", ('"gpu-[1:3].*": a range can\'t stand beside wildcards in one term; '
                        "write a range alone, or a set such as [1-3]")),
        ("gpu-[1:3].ex[am]mple.com", ('"gpu-[1:3].ex[am]mple.com": a range can\'t stand beside '
                                     "wildcards in one term; "
                                     "write a range alone, or a set such as [1-3]")),
    ],
)  # fmt: skip
def test_a_wrong_range_is_an_error(pattern: str, words: str) -> None:
    assert problem(pattern) == words


def test_a_range_in_a_file_of_names() -> None:
    files = {"f": "gpu-[1:2].example.com\nn[01:02]:!n02  # one\n"}
    assert chosen("@f", files) == gpus("12") + " n01"


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_every_part_of_a_range_is_what_the_inventory_makes_of_it(
    first: int, last: int, step: int
) -> None:
    text = f"gpu-[{min(first, last)}:{max(first, last)}:{step}].example.com"
    assert chosen(text).split() == expand_range(text)
