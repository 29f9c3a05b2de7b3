"""``python -m manager`` is `jobcell` where its script is not on the path."""

from __future__ import annotations

from manager.cli import main

if __name__ == "__main__":
    main()
