"""The entry point of a child: descriptors in, exit code out.

``python -I -S`` starts it as a script, with the packages that it may import as ``name=directory``.
"""

from __future__ import annotations

import gc
import os
import sys


def main(arguments: list[str]) -> None:
    """Make our packages importable, serve one run or be a zygote, and end."""
    # Imported modules stay, and searching them for garbage takes 3 ms.  The run enables the
    # collector.
    gc.disable()
    # Isolated mode leaves out the directory of the script; only this import needs it.
    sys.path.insert(0, os.path.dirname(__file__))
    import finder  # type: ignore[import-not-found]  # it lies beside this file

    del sys.path[0]
    as_zygote = arguments[-1:] == ["--zygote"]
    finder.install(arguments[: len(arguments) - as_zygote])
    # Not sys.exit: it would run code that a job has left behind (threads, atexit functions,
    # finalisers).
    if as_zygote:
        from sandbox_child.zygote import serve_zygote

        os._exit(serve_zygote())
    from sandbox_child.bootstrap import make_channel, serve_spawned

    os._exit(serve_spawned(make_channel()))


if __name__ == "__main__":
    main(sys.argv[1:])
