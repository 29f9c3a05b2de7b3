"""Room `journal`: what is kept of a run so that it can go on after a death.

It belongs here if it reads or writes records of steps.  The room imports `api` only.
"""

from __future__ import annotations

from engine.journal.file import FileJournal
from engine.journal.fingerprint import fingerprint
from engine.journal.resume import Resumption, describe_run, read_journal

__all__ = ["FileJournal", "Resumption", "describe_run", "fingerprint", "read_journal"]
