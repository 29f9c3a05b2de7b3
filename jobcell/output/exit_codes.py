"""How the command's exit code says how a run has ended."""

from __future__ import annotations

from typing import Final

SUCCESS: Final = 0
FAIL: Final = 1
"""The workflow was walked to its end, but the job of a leaf failed."""
BAD_INPUT: Final = 2
"""Nothing was started: the plan, the state, an option or a file is wrong."""
CRASH: Final = 3
"""The workflow could not go on: a job does not compile, a module is refused, the child died."""
KILL: Final = 4
"""The engine ended the run at a limit, or for a forbidden action."""
EXCEPTION: Final = 5
"""Neither the job nor its author is at fault."""
NOT_OVER: Final = 6
"""`jobcell result`: the run of a store is not over yet."""
INTERRUPTED: Final = 130
"""Ctrl-C (128 + SIGINT): the run was cancelled.  SIGTERM gives 143."""
BROKEN_PIPE: Final = 141
"""The reader of our output has gone (128 + SIGPIPE)."""

OF_REASON: Final = {
    "success": SUCCESS,
    "fail": FAIL,
    "crash": CRASH,
    "kill": KILL,
    "cancelled": KILL,
    "exception": EXCEPTION,
}
"""`RunResult.reason` to exit code."""
