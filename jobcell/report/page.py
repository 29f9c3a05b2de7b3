"""The page of a run: one HTML file that needs no network and no server."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from pathlib import Path
from typing import Final

import msgspec

from jobcell.output.wording import printable
from jobcell.report.model import Report

_STATIC: Final = Path(__file__).with_name("static")
VIEW: Final = ("parts.js", "tree.js", "graph.js", "view.js")
"""The files that show a run, in their order."""
_SCRIPTS: Final = (("dagre.min.js",), VIEW, ("start.js",))

_TITLE: Final = 200
"""Most characters of the title of a page."""


def make_page(report: Report) -> str:
    """Return the page of a run as HTML.

    The page carries its data, its style and its scripts, and a policy by which a browser loads
    nothing else.  Text of jobs is data: nothing of it is HTML or script.
    """
    packed = gzip.compress(msgspec.json.encode(report), compresslevel=6, mtime=0)
    scripts = ["\n".join(map(_read, names)) for names in _SCRIPTS]
    style = _read("page.css")
    # A browser runs only scripts with these digests (Content Security Policy, level 2).
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(map(_digest, scripts)),
            f"style-src {_digest(style)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    title = html.escape(printable(f"{report.name or 'Run'} {report.run}", limit=_TITLE))
    return _read("page.html").format(
        policy=html.escape(policy),
        title=title,
        style=style,
        data=base64.b64encode(packed).decode(),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _read(name: str) -> str:
    return (_STATIC / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
