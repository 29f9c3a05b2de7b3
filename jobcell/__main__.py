"""Runs the command: ``python -m jobcell`` works where the script `jobcell` is not on the path."""

from __future__ import annotations

from jobcell.cli import main

if __name__ == "__main__":
    main()
