"""The problems that routes declare, as FastAPI's `responses=`."""

from typing import Any, Final

from app.errors import Problem

# Carries problems' titles, by code, through FastAPI; the finished document does not have it.
TITLES: Final = "x-problems"


def problems(*classes: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may raise these problems, besides those that follow from
    what it takes.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for cls in classes:
        titles = responses.setdefault(cls.status, {TITLES: {}})[TITLES]
        titles[cls.code] = cls.title
    return responses
