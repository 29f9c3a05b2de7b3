"""Room `journal`: the records of a run, with which it can go on after a crash.

A module belongs here if it reads or writes records of steps.  The room imports `api` only.
"""

from __future__ import annotations

from engine.journal.codec import decode as decode_record
from engine.journal.codec import encode as encode_record
from engine.journal.file import FileJournal
from engine.journal.layout import MAGIC
from engine.journal.plan_hash import fingerprint, is_replayable
from engine.journal.repeat import leads_to, records_before
from engine.journal.resume import Resumption, describe_run, read_journal

__all__ = [
    "MAGIC",
    "FileJournal",
    "Resumption",
    "decode_record",
    "describe_run",
    "encode_record",
    "fingerprint",
    "is_replayable",
    "leads_to",
    "read_journal",
    "records_before",
]
