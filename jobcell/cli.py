"""The command `jobcell`: its entry point, and its messages when it cannot go on.

This module imports only what it needs to report an error: the extra ``cli`` may be missing, and an
interrupt may come at any time.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from jobcell import interrupts
from jobcell.input.errors import BadInputError, ReaderGoneError
from jobcell.output.exit_codes import BAD_INPUT, BROKEN_PIPE, EXCEPTION, INTERRUPTED
from jobcell.output.streams import forget_output, lost_output, occupy
from jobcell.output.wording import MAX_LINE, printable


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave the process with an exit code of `jobcell.output.exit_codes`.

    Args:
        arguments: The words after the name of the command; by default those of this process.

    """
    occupy()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        code = INTERRUPTED
    except (BrokenPipeError, ReaderGoneError):
        forget_output()
        code = BROKEN_PIPE
    except OSError as error:
        reason = lost_output(error)
        if reason is None:
            raise
        _say(f"error: {reason}")
        forget_output()
        code = EXCEPTION
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        from jobcell.commands.app import app_for

        interrupts.release()
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        _say("error: the command line needs more packages: pip install 'jobcell[cli]'")
        return BAD_INPUT
    try:
        app_for(arguments)(args=arguments, prog_name="jobcell")
    except BadInputError as error:
        for line in error.lines:
            _say(f"error: {line}")
        return BAD_INPUT
    except SystemExit as exit_:
        if isinstance(exit_.__context__, BrokenPipeError):
            raise ReaderGoneError from None  # the library makes the exit code 1 of it
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except (BrokenPipeError, ReaderGoneError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and lost_output(error) is not None:
            raise
        if os.environ.get("JOBCELL_TRACEBACK"):
            raise
        if type(error).__module__ == "engine.api.errors":  # importing it costs time
            _say(f"error: {str(error)[:500]}")
            return EXCEPTION
        _say(f"error: {type(error).__name__}: {str(error)[:500]!r}; this is a bug in jobcell")
        _say("JOBCELL_TRACEBACK=1 in the environment shows where it happened")
        return EXCEPTION
    return 0


def _say(line: str) -> None:
    shown = printable(line, limit=3 * MAX_LINE)
    with suppress(OSError):  # standard error may be closed too
        print(shown, file=sys.stderr, flush=True)
