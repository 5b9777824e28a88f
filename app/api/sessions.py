"""The session of a request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.postgres.sessions import request_session


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """The session of this request.

    What it begins is committed when the route has returned and before the response is sent, so
    that a commit that fails is no success; and rolled back when the route raises.
    """
    async with request_session(request.app.state.statements) as session:
        yield session


# FastAPI's default scope would commit after the response.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
