"""A test runs every example in the documents, or the page says why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN_WHOLE = {"plan.md": "process/test_plan_page.py", "state.md": "process/test_state_page.py"}
"""Pages whose test goes through all their examples, marked or not."""
EXAMPLE = re.compile(r"^(?P<before>.*)\n```(?:python|console|json)(?P<title>.*)\n", re.MULTILINE)


def examples(page: Path) -> list[tuple[str, str]]:
    """Return for each example the line before it, and the text after its language."""
    text = re.sub(r"^```text.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [(found["before"], found["title"]) for found in EXAMPLE.finditer(text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_is_run_or_says_why_not(page: Path):
    """The mark is a name (`test: name`), a file (`file: name`, `title="name"`), or the whole page."""
    whole = RUN_WHOLE.get(page.name)
    if whole is not None:
        assert page.name in (ROOT / "tests" / whole).read_text()
        return
    tests = "".join(
        path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)
    )
    for before, title in examples(page):
        if re.fullmatch(r"<!-- not run: .+ -->", before):
            continue
        named = re.fullmatch(r"<!-- (test|file): (\S+) -->", before)
        assert named or title.startswith(' title="'), f"after {before!r}: neither run nor marked"
        if named and named[1] == "test":
            assert f'"{named[2]}"' in tests, f"no test runs the example {named[2]!r}"
        else:
            assert page.name in tests, f"no test takes the files out of {page.name}"
