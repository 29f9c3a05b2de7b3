"""Tests of the server share one server for each module."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_leak():
    """Do not compare threads and children: those of the shared server and its engine come with the requests."""
