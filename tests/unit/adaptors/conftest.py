"""The adaptors are packages of their own: tests import them from their own directories."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from web import Web

ADAPTORS = Path(__file__).parents[3] / "adaptors"
for project in sorted(ADAPTORS.glob("*/pyproject.toml")):
    if str(project.parent) not in sys.path:
        sys.path.insert(0, str(project.parent))


@pytest.fixture
def web():
    """A web server of this test."""
    with Web() as running:
        yield running


@pytest.fixture
def other():
    """A second server, which is another origin: its port is another one."""
    with Web() as running:
        yield running


@pytest.fixture
def forget_sessions():
    """Close the connections of the adaptor http after the test, as the end of a run does."""
    from http_.sessions import forget

    forget()
    yield
    forget()
