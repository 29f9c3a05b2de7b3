"""Tests of the server share one server for each module."""

from __future__ import annotations

from pathlib import Path

import pytest
from warm import start

HERE = Path(__file__).parent


def pytest_collection_finish(session):
    """Start the server of the command before forks that run the tests share it."""
    if session.config.pluginmanager.has_plugin("parallel") and any(
        HERE in item.path.parents for item in session.items
    ):
        start("servers")


@pytest.fixture(autouse=True)
def no_leak():
    """Do not compare threads and children: those of the shared server and its engine come with the requests."""
