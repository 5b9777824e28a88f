"""What is wrong with an answer."""

from collections.abc import Iterator
from contextlib import contextmanager


class WrongAnswerError(Exception):
    """The message says which request was answered how."""


def expect(what: str, *, found: object, wanted: object) -> None:
    if found != wanted:
        raise WrongAnswerError(f"{what} is {found!r:.300}, not {wanted!r}")


@contextmanager
def answer_faults() -> Iterator[None]:
    """An answer that lacks what is looked for is wrong, too."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        raise WrongAnswerError(f"{type(error).__name__}: {error}") from error
