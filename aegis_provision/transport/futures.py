"""Results that are waited for later, so that several requests go to a host at once.

A ``submit_`` function sends a request; ``get()`` waits for its result. Requests that are sent
together cost one round trip, and far fewer packets than one request after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, ParamSpec, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class Future(Protocol[T_co]):
    """The result of a request under way."""

    def get(self) -> T_co:
        """Return the result once it is there. Raises what the request ended with, each time."""
        ...


class Completed(Generic[T]):
    """The result of work that is done at once, without waiting for a host."""

    def __init__(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do ``work``, and keep what it returns or the ``OSError`` that it raises."""
        self._error: OSError | None = None
        self._value: T | None = None
        try:
            self._value = work(*args, **kwargs)
        except OSError as problem:
            self._error = problem

    def get(self) -> T:
        """Return what the work returned, or raise its error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class Failed(Generic[T]):
    """A result that is an error."""

    def __init__(self, error: OSError) -> None:
        """Keep the error."""
        self._error = error

    def get(self) -> T:
        """Raise the error."""
        raise self._error


def then(future: Future[T], submit: Callable[[T], Future[R]]) -> Future[R]:
    """Wait for one result, submit what follows from it, and return the future of that.

    An ``OSError`` that the first one ends with is what the second ends with.
    """
    try:
        return submit(future.get())
    except OSError as problem:
        return Failed(problem)
