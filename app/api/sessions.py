"""The way from a request to the database."""

from typing import Annotated

from fastapi import Depends, Request

from app.postgres.statements import Statements


async def get_statements(request: Request) -> Statements:
    """Single statements, each a transaction of its own; `begin()` for what needs more.

    What a handler does ends before the response is sent, so that a failing commit is no success.
    """
    statements: Statements = request.app.state.statements
    return statements


StatementsDep = Annotated[Statements, Depends(get_statements)]
