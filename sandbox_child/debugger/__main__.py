"""The entry point of a child that runs a step in a debugger; see `sandbox_child.__main__`.

Its standard streams are the terminal of the author, not pipes.
"""

from __future__ import annotations

import os
import signal
import sys


def main(arguments: list[str]) -> None:
    """Make our packages importable, serve one run, and end."""
    # Ctrl-C reaches every process of the terminal; only a running job is interrupted by it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    directories = dict(pair.split("=", 1) for pair in arguments)
    sys.path.insert(0, directories["sandbox_child"])
    import finder  # type: ignore[import-not-found,unused-ignore]  # as in sandbox_child.__main__

    del sys.path[0]
    finder.install(arguments)
    from sandbox_child.bootstrap import make_channel, serve_spawned
    from sandbox_child.debugger.execution import load_debugged

    os._exit(serve_spawned(make_channel(), load_debugged))


if __name__ == "__main__":
    main(sys.argv[1:])
