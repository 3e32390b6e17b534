"""``dataclass`` for this program's values: as the standard library's, but cheap to declare.

To declare one with :mod:`dataclasses` takes Python 0.3 to 0.5 ms: it writes and compiles the text
of six methods. A command declares 80 to 300 of them, and hardly ever compares, hashes or prints
one. Here ``__init__`` alone is compiled at once; the standard library makes the others, of the same
fields, when they are first called.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import MISSING, FrozenInstanceError, fields, make_dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["dataclass"]


def _dataclass(
    *, frozen: bool = False, slots: bool = False, eq: bool = True
) -> Callable[[type[T]], type[T]]:
    """Return what makes a dataclass of a class, by the same rules as :func:`dataclasses.dataclass`.

    A method that the class has itself stays. ``fields``, ``replace``, ``copy`` and ``pickle`` work
    as ever. Not for this: ``InitVar``, fields for keywords alone, and to derive from a dataclass of
    the standard library, or the other way round.
    """

    def declare(cls: type[T]) -> type[T]:
        # For one without a docstring the library would ask for a signature, and parse it.
        cls.__doc__ = cls.__doc__ or cls.__name__
        made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
        methods: dict[str, object] = {"__init__": _init(made, frozen=frozen)}
        methods["__repr__"] = _late(made, "__repr__")
        if eq:
            methods["__eq__"] = _late(made, "__eq__")
            methods["__hash__"] = _late(made, "__hash__") if frozen else None
        if frozen:
            methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
            if slots:
                methods |= {"__getstate__": _state, "__setstate__": _set_state}
        own = cls.__dict__
        for name, method in methods.items():
            if name not in own:
                setattr(made, name, method)
        return made

    return declare


def _init(cls: type[Any], *, frozen: bool) -> Callable[..., None]:
    """Return ``__init__`` of ``cls``, whose fields are known; it sees its module's names."""
    # What the text needs, by names that no field has.
    given: dict[str, object] = {"_set": object.__setattr__, "_absent": object()}
    parameters, body = ["self"], []
    for field in fields(cls):
        name = value = field.name
        default = ""
        if field.default is not MISSING:
            default = f"_default_{name}"
            given[default] = field.default
        elif field.default_factory is not MISSING:
            default = "_absent"
            given[f"_make_{name}"] = field.default_factory
            value = f"_make_{name}() if {name} is _absent else {name}"
        if field.init:
            parameters.append(f"{name}={default}" if default else name)
        elif default:
            body.append(f"{name} = {default}")
        else:
            continue
        body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    lines = "\n  ".join(body or ["pass"])
    text = (
        f"def make({', '.join(given)}):\n"
        f" def __init__({', '.join(parameters)}):\n  {lines}\n return __init__"
    )
    found: dict[str, Any] = {}
    exec(text, sys.modules[cls.__module__].__dict__, found)  # noqa: S102 - names of fields alone
    method: Callable[..., None] = found["make"](**given)
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    method.__annotations__ = {field.name: field.type for field in fields(cls) if field.init}
    method.__annotations__["return"] = None
    return method


def _late(cls: type[Any], name: str) -> Callable[..., Any]:
    """Return what makes the method of ``cls`` called ``name`` when it is called first."""

    def method(self: object, *rest: object) -> Any:
        same = make_dataclass(
            cls.__name__,
            [(field.name, field.type, field) for field in fields(cls)],
            init=False,
            repr=name == "__repr__",
            eq=name == "__eq__",
            unsafe_hash=name == "__hash__",
        )
        made = vars(same)[name]
        setattr(cls, name, made)
        return made(self, *rest)

    return method


def _refuse_to_set(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[object]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: list[object]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


if not TYPE_CHECKING:
    dataclass = _dataclass
