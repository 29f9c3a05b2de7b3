"""The server for commands with `--otel`, which the tests of this directory share."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import start

HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the server of commands with telemetry before forks that run the tests share it."""
    if session.config.pluginmanager.has_plugin("parallel") and any(
        HERE in item.path.parents for item in session.items
    ):
        start("telemetry")


@pytest.fixture(scope="package", autouse=True)
def warm_telemetry() -> None:
    """Start it before a test compares the descriptors that it found and left."""
    start("telemetry")
