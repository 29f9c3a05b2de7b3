"""Hooks of the documentation site: the list of decisions, and links that lead out of `docs/`."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ADR = Path(__file__).parent / "adr"
LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]*)([)#])")
"""A link that goes up; whether it leaves `docs/` depends on the page."""


def on_config(config: Any) -> Any:
    """Put a page for each decision into the navigation, under its title."""
    pages = [{_title(path): f"adr/{path.name}"} for path in sorted(ADR.glob("*.md"))]
    for section in config.nav:
        for title, entries in section.items():
            if title == "Explanation":
                next(entry for entry in entries if "Decisions" in entry)["Decisions"] = pages
    return config


def _title(path: Path) -> str:
    """Return the number of a decision and its title; some headings have the number, too."""
    heading = path.read_text(encoding="utf-8").partition("\n")[0]
    title = re.sub(r"^#\s*(\d{4}:)?\s*", "", heading)
    return f"{path.name[:4]} {title}"


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Lead links to files outside of `docs/` to the repository, because the site lacks them."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def outside(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        if target.startswith("docs/"):
            return found[0]
        return f"{found[1]}{config.repo_url}/blob/main/{target}{found[3]}"

    return LINK.sub(outside, markdown)
