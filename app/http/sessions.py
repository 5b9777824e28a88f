"""The two ways from a request to the database: a transaction, or single statements."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.database.statements import Statements


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """One transaction for the request: committed on return, rolled back on raise."""
    async with request.app.state.statements.begin() as session:
        yield session


async def get_statements(request: Request) -> Statements:
    """Single statements, each a transaction of its own: for reads, and for writes of one."""
    statements: Statements = request.app.state.statements
    return statements


# scope="function": the dependency ends, and so the transaction commits, before the response is
# sent. With the framework's default a failing commit reaches the client as a success.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
StatementsDep = Annotated[Statements, Depends(get_statements)]
