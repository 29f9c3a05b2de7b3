"""Room `report`: a page that shows what happened in a run.

It belongs here if it makes or shows that page.  The files in ``static`` are the page itself.
"""

from __future__ import annotations

from jobcell.report.model import Report, ReportMaker, make_report
from jobcell.report.page import VIEW, make_page
from jobcell.report.records import make_report_of_records
from jobcell.report.sources import read_events

__all__ = [
    "VIEW",
    "Report",
    "ReportMaker",
    "make_page",
    "make_report",
    "make_report_of_records",
    "read_events",
]
