"""Loggers that tests can listen to."""

import pytest
import structlog

from app.tokens import jwks, verifier


@pytest.fixture(autouse=True)
def fresh_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers keep the processors of their first line, which another test may have set."""
    for module in (jwks, verifier):
        monkeypatch.setattr(module, "log", structlog.get_logger("satchel.tokens"))
