"""The driver's connection, except that it never cancels what may be a commit.

A commit may wait for a synchronous standby. If that wait is cancelled, PostgreSQL reports success
although no standby has the transaction, and a failover would lose it. The driver cancels whatever
takes longer than its time limit, or than the task that waits for it. Here a commit is abandoned
instead: nobody waits for the answer, and the connection is of no use until it comes.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncpg
import structlog

log = structlog.get_logger("satchel.database")

# The function of PostgreSQL that waits. Its warning (01000) is translated, this name is not.
_WAITS_FOR_STANDBYS: Final = "SyncRepWaitForLSN"


class UnknownOutcome(ConnectionError):
    """A write was not confirmed. It may be committed."""


class Connection(asyncpg.Connection):
    """A connection of the driver.

    address: the host and the port as they were given.
    writes: whether the statement that runs outside of a transaction may write.
    is_unconfirmed: whether a commit has ended that no standby has confirmed.
    on_abandoned: called when a commit is abandoned.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.address: object = None
        self.writes = False
        self.is_unconfirmed = False
        self.on_abandoned: Callable[[Connection], object] = lambda _connection: None
        self._answer: asyncio.Future[None] | None = None
        self.add_log_listener(_note_warning)

    @property
    def is_abandoned(self) -> bool:
        """Whether the answer to a commit is still to come, and nobody waits for it."""
        return self._answer is not None and not self._answer.done()

    def when_answered(self, callback: Callable[[], object]) -> None:
        """Call back when an abandoned commit is answered, or the connection is lost."""
        assert self._answer is not None
        self._answer.add_done_callback(lambda _answer: callback())

    async def execute(self, query: str, *args: object, **options: Any) -> str:
        """Errors: UnknownOutcome, and those of the driver."""
        status = await super().execute(query, *args, **options)
        self.require_confirmed()
        return status

    def require_confirmed(self) -> None:
        """Errors: UnknownOutcome if the last commit is not confirmed."""
        if self.is_unconfirmed:
            self.is_unconfirmed = False
            raise UnknownOutcome("The write is committed, but not on a synchronous standby.")

    async def close(self, **options: Any) -> None:
        """Leaves it open if a commit is abandoned: it closes itself after the answer."""
        if not self.is_abandoned:
            await super().close(**options)

    def terminate(self) -> None:
        """Leaves it open if a commit is abandoned: it closes itself after the answer."""
        if not self.is_abandoned:
            super().terminate()

    def drop(self) -> None:
        """Close it at once. The server goes on with a commit that is abandoned."""
        super().terminate()

    def _cancel_current_command(
        self, sent: asyncio.Future[None], answered: asyncio.Future[None]
    ) -> None:
        """Called by the driver. It goes on when the first future has a result, and gives the second
        one a result when the server has answered.
        """
        driver: Any = super()
        if not self._may_be_committing():
            driver._cancel_current_command(sent, answered)
            return
        sent.set_result(None)
        self._answer = answered
        self.when_answered(self.terminate)
        self.on_abandoned(self)

    def _may_be_committing(self) -> bool:
        driver: Any = self
        if driver._top_xact is not None:  # the driver forgets a transaction before it sends COMMIT
            return False
        return self.writes or self.is_in_transaction()


def _note_warning(connection: Any, message: asyncpg.PostgresLogMessage) -> None:
    """Called before whoever waits for the statement goes on."""
    if message.server_source_function == _WAITS_FOR_STANDBYS:
        connection.is_unconfirmed = True
        log.error("commit not confirmed")
