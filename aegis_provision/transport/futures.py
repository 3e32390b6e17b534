"""Answers that are waited for later, so that several questions go to a host at one go.

Asking sends a question on its way; ``get()`` waits for its answer. What is asked together costs one
way there and back, and far fewer packets than one question after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


class Future(Protocol[T_co]):
    """The answer to a question that was asked."""

    def get(self) -> T_co:
        """Return it once it is there. Raises what the question ended with, each time."""
        ...


class Completed(Generic[T]):
    """The answer to a question that was settled when it was asked: no host had to be waited for."""

    def __init__(self, work: Callable[[], T]) -> None:
        """Do ``work``, and keep what it returns or the ``OSError`` that it raises."""
        self._error: OSError | None = None
        self._value: T | None = None
        try:
            self._value = work()
        except OSError as problem:
            self._error = problem

    def get(self) -> T:
        """Return what the work returned, or raise its error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


class Failed(Generic[T]):
    """An answer that was an error."""

    def __init__(self, error: OSError) -> None:
        """Keep the error for whoever waits for the answer."""
        self._error = error

    def get(self) -> T:
        """Raise the error."""
        raise self._error


def then(asked: Future[T], ask: Callable[[T], Future[R]]) -> Future[R]:
    """Wait for one answer, ask what follows from it, and return the answer to that.

    An ``OSError`` that the first one ends with is what the second ends with.
    """
    try:
        return ask(asked.get())
    except OSError as problem:
        return Failed(problem)
