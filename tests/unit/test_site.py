"""The documentation site has every page, every public name, every error and every command."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import engine
from protocol.report import SEVERITY_BY_NAME

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("reference/*.md")])


def load(name: str):
    """Import a script of `docs/`, which is not a package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation():
    """The hook adds the decisions; all other pages are listed."""
    listed = re.findall(r": (\S+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def test_every_public_name_is_in_the_reference():
    """Add `::: engine.NAME` to a page in docs/reference for a new name."""
    text = "".join(page.read_text() for page in DOCS.glob("reference/*.md"))
    described = re.findall(r"^::: engine\.(\w+)$", text, re.MULTILINE)

    assert sorted(described) == sorted(engine.__all__)


def test_every_error_is_in_the_reference_with_its_severity():
    """The table of the page is the table of the code."""
    text = (DOCS / "reference" / "errors.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE))

    assert table == SEVERITY_BY_NAME


@pytest.mark.slow
def test_the_page_of_the_commands_is_that_of_the_commands():
    """If this fails, run `python docs/generate_cli.py`."""
    generator = load("generate_cli")

    assert generator.PAGE.read_text() == generator.make_page()


def slug(heading: str) -> str:
    """Return the anchor of a heading, as the repository's host and the site make it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_anchor_leads_to_a_heading(page):
    """Also one in another page of `docs/`."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", text):
        other = (page.parent / target) if target else page
        headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
        if anchor not in {slug(heading) for heading in headings}:
            broken.append(f"{target}#{anchor}")

    assert broken == []


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "../README.md", "https://host/x/blob/main/README.md"),
        ("reference/api.md", "../../examples/a.py", "https://host/x/blob/main/examples/a.py"),
        ("reference/api.md", "../plan.md", "../plan.md"),
        ("adr/0001.md", "../plan.md", "../plan.md"),
        ("adr/0001.md", "../../CHANGELOG.md", "https://host/x/blob/main/CHANGELOG.md"),
    ],
)
def test_a_link_out_of_the_documents_leads_to_the_repository(page, link, expected):
    """The site has only the pages in `docs/`; other links stay as they are."""
    site = load("site")
    there = SimpleNamespace(file=SimpleNamespace(src_uri=page))

    text = site.on_page_markdown(
        f"[a]({link})", page=there, config=SimpleNamespace(repo_url="https://host/x")
    )

    assert text == f"[a]({expected})"


def test_the_table_of_decisions_has_every_decision():
    """ARCHITECTURE.md lists the files of `docs/adr` in their order, under their numbers."""
    text = (DOCS / "ARCHITECTURE.md").read_text()
    listed = re.findall(r"^\| \[(\d{4})\]\(adr/(\1-[^)]+)\) \|", text, re.MULTILINE)

    assert [name for _, name in listed] == sorted(path.name for path in DOCS.glob("adr/*.md"))


def test_the_decisions_are_listed_by_their_titles():
    """Each file in `docs/adr` has a page in the list."""
    config = SimpleNamespace(nav=[{"Home": "index.md"}, {"Explanation": [{"Decisions": []}]}])

    load("site").on_config(config)

    (decisions,) = config.nav[1]["Explanation"]
    assert len(decisions["Decisions"]) == len(list(DOCS.glob("adr/*.md")))
    assert {
        "0602 The names of bundled adaptors never come from an index": (
            "adr/0602-names-of-bundled-adaptors-never-come-from-an-index.md"
        )
    } in decisions["Decisions"]
