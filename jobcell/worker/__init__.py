"""Room `worker`: takes runs from a store and carries them out.

A module belongs here if only a worker needs it.  The store does not know it.
"""

from __future__ import annotations

from jobcell.worker.worker import Worker

__all__ = ["Worker"]
