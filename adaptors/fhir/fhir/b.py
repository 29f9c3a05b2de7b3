"""The builders under the short name that jobs use: `b.patient(...)`."""

from __future__ import annotations

from . import builders
from .builders import *  # noqa: F403 - exactly the same names

__all__ = builders.__all__
