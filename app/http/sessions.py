"""The two ways from a request to the database: a transaction, or single statements."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """One transaction for the request: committed on return, rolled back on raise."""
    async with request.app.state.sessions.begin() as session:
        yield session


async def get_statement_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session on which each statement is a transaction of its own: for reads, and for writes
    of one statement.
    """
    async with request.app.state.statement_sessions() as session:
        yield session


async def get_list_session(request: Request) -> AsyncIterator[AsyncSession]:
    """For lists: single statements, but transactions where an exact count needs a time limit."""
    exact = request.query_params.get("count") == "exact"
    state = request.app.state
    async with state.sessions() if exact else state.statement_sessions() as session:
        yield session


# scope="function": the dependency ends, and so the transaction commits, before the response is
# sent. With the framework's default a failing commit reaches the client as a success.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
StatementSessionDep = Annotated[AsyncSession, Depends(get_statement_session, scope="function")]
ListSessionDep = Annotated[AsyncSession, Depends(get_list_session, scope="function")]
