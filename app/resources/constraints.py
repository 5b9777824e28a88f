"""From the name of a violated constraint to the problem that the client is told."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError

from app.errors import Problem


@contextmanager
def conflicts(problems: Mapping[str, Callable[[], Problem]]) -> Iterator[None]:
    """Raise the problem that belongs to the constraint which the statement inside violates.

    Letting the constraint speak is the only check that holds under concurrency, and it saves the
    query that would ask first.
    """
    try:
        yield
    except IntegrityError as error:
        name = getattr(error.driver_exception, "constraint_name", None)
        problem = problems.get(name) if name else None
        if problem is None:
            raise
        raise problem() from error
