"""A value behaves as the standard library's dataclass of the same text does."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from aegis_provision import values
from aegis_provision.values import dataclass


@dataclass(frozen=True, slots=True)
class Ours:
    """A value with every kind of field."""

    name: str
    changes: tuple[str, ...] = ()
    note: str = dataclasses.field(default="-", compare=False)
    token: str = dataclasses.field(default="s3cret", repr=False)
    seen: list[str] = dataclasses.field(default_factory=list, hash=False)
    kind: str = dataclasses.field(default="value", init=False)
    places: dict[str, int] = dataclasses.field(default_factory=dict, init=False, hash=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """A value with every kind of field."""

    name: str
    changes: tuple[str, ...] = ()
    note: str = dataclasses.field(default="-", compare=False)
    token: str = dataclasses.field(default="s3cret", repr=False)
    seen: list[str] = dataclasses.field(default_factory=list, hash=False)
    kind: str = dataclasses.field(default="value", init=False)
    places: dict[str, int] = dataclasses.field(default_factory=dict, init=False, hash=False)


@dataclass(slots=True)
class Counter:
    """One that changes."""

    count: int = 0

    def __post_init__(self) -> None:
        self.count += 1


@dataclass(frozen=True)
class Shouted:
    """One without slots."""

    name: str

    @cached_property
    def louder(self) -> str:
        return self.name.upper()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One that is equal to itself alone, and shows itself."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True, slots=True)
class Base:
    """One to derive from."""

    name: str


@dataclass(frozen=True, slots=True)
class Derived(Base):
    """One with a further field."""

    port: int = 22


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes


Deed = Callable[[Any], object]


def _told(deed: Callable[[], object]) -> str:
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        deed()
    return f"{type(caught.value)}: {caught.value}".replace("Theirs", "Ours")


def _shape(kind: Any) -> list[tuple[str, object, bool]]:
    parameters = inspect.signature(kind).parameters.values()
    return [(item.name, item.annotation, item.default is item.empty) for item in parameters]


DEEDS: dict[str, Deed] = {
    "made of nothing": _told,
    "made of what it has not": lambda kind: _told(lambda: kind("a", size=1)),
    "made of what it sets itself": lambda kind: _told(lambda: kind("a", kind="b")),
    "made of too much": lambda kind: _told(lambda: kind("a", (), "", "", [], 6)),
    "made by name": lambda kind: dataclasses.astuple(kind(name="a", changes=("b",), seen=["x"])),
    "made by place": lambda kind: dataclasses.astuple(kind("a", ("b",), "c", "d", ["x"])),
    "with lists of their own": lambda kind: kind("a").seen is kind("a").seen,
    "shown": lambda kind: repr(kind("a", ("b",), token="t")).replace("Theirs", "Ours"),
    "equal": lambda kind: (kind("a", note="1") == kind("a", note="2"), kind("a") != kind("a")),
    "different": lambda kind: (kind("a") == kind("b"), kind("a") == kind("a", seen=["x"])),
    "compared with something else": lambda kind: (kind("a") == 1, kind("a") == ("a",)),
    "hashed": lambda kind: hash(kind("a", ("b",))),
    "in a set": lambda kind: len({kind("a"), kind("a", note="2"), kind("b")}),
    "set": lambda kind: _told(lambda: setattr(kind("a"), "name", "b")),
    "deleted": lambda kind: _told(lambda: delattr(kind("a"), "name")),
    "replaced": lambda kind: dataclasses.astuple(dataclasses.replace(kind("a"), name="b")),
    "replaced in what it sets itself": lambda kind: _told(
        lambda: dataclasses.replace(kind("a"), kind="b")
    ),
    "a dictionary": lambda kind: dataclasses.asdict(kind("a", seen=["x"])),
    "copied": lambda kind: copy.copy(kind("a", ("b",))) == kind("a", ("b",)),
    "copied deeply": lambda kind: copy.deepcopy(kind("a", seen=["x"])) == kind("a", seen=["x"]),
    "pickled": lambda kind: _pickled(kind("a", ("b",))) == kind("a", ("b",)),
    "matched": lambda kind: kind.__match_args__,
    "with slots": lambda kind: (kind.__slots__, hasattr(kind("a"), "__dict__")),
    "looked at": _shape,
    "asked for its types": lambda kind: get_type_hints(kind.__init__),
    "asked for its fields": lambda kind: [
        (item.name, item.type, item.default, item.repr, item.compare)
        for item in dataclasses.fields(kind)
    ],
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_it_is_as_one_of_the_standard_library(deed: Deed) -> None:
    assert deed(Ours) == deed(Theirs)
    assert deed(Ours) == deed(Theirs), "once more: by then its methods are made"


def test_one_that_changes_has_no_hash_and_may_go_on_when_it_is_made() -> None:
    counter = Counter(1)
    counter.count += 1
    assert counter == Counter(2) != Counter(1)
    assert repr(counter) == "Counter(count=3)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)


def test_one_without_slots_keeps_what_is_computed_once() -> None:
    assert Shouted("a").louder == "A"
    assert vars(Shouted("a")) == {"name": "a"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        Shouted("a").name = "b"  # type: ignore[misc]
    assert _pickled(Shouted("a")) == Shouted("a")


def test_methods_of_its_own_stay() -> None:
    node = Node("a")
    assert repr(node) == "<a>"
    assert node == node
    assert node != Node("a")
    assert len({node, Node("a")}) == 2


def test_one_derived_of_another_has_its_fields_too() -> None:
    assert Derived("a", 2222) == Derived(port=2222, name="a") != Derived("a")
    assert Derived("a") != Base("a")
    assert repr(Derived("a")) == "Derived(name='a', port=22)"
    assert repr(Base("a")) == "Base(name='a')"
    assert len({Derived("a"), Base("a"), Derived("a", 22)}) == 2


def test_every_value_of_the_program_is_declared_with_it() -> None:
    package = Path(values.__file__).parent
    imported = r"^from dataclasses import [^()\n]*\bdataclass\b"
    theirs = re.compile(rf"{imported}|dataclasses\.dataclass\(", re.MULTILINE)
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if theirs.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"values.py"}
