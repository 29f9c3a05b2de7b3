"""Room `running`: one run in the child: the walk through the workflow, its steps, operations and log.

It belongs here if it needs the plan of the run.  The room imports `pipes`, `language`, `linker` and `protocol`.
"""

from __future__ import annotations

from sandbox_child.running.graph import Walk
from sandbox_child.running.log_sender import LogSender
from sandbox_child.running.runtime import Runtime

__all__ = ["LogSender", "Runtime", "Walk"]
