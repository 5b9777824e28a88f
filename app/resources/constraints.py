"""Converts a violated constraint to a problem by its name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from app.errors import Problem


@contextmanager
def conflicts(problems: Mapping[str, Callable[[], Problem]]) -> Iterator[None]:
    """Raise the problem of the constraint that the statement inside violates.

    Only the constraint itself holds under concurrency, and no query is needed beforehand.
    """
    try:
        yield
    except IntegrityError as error:
        problem = problems.get(violated(error))
        if problem is None:
            raise
        raise problem() from error


def violated(error: IntegrityError) -> str:
    """The name of the violated constraint; empty if it has none, as NOT NULL."""
    return getattr(error.driver_exception, "constraint_name", None) or ""
