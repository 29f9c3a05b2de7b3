"""The links and lists in the documents are correct."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    """A link to a file of ours leads to a file that exists."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)

    broken = [
        target
        for target in targets
        if "://" not in target
        and not target.startswith("mailto:")
        and not (document.parent / target).exists()
    ]

    assert broken == []


def test_the_glossary_is_in_order():
    """A word is at its place in the alphabet."""
    text = (ROOT / "docs" / "GLOSSARY.md").read_text()
    words = re.findall(r"^\*\*([^*.]+)", text, flags=re.MULTILINE)

    assert words == sorted(words)


def test_every_target_of_the_makefile_is_listed():
    """`make` alone shows all targets."""
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"\.PHONY:((?:.|\\\n)*?)\n\n", text)
    assert phony is not None
    targets = set(phony[1].replace("\\\n", " ").split()) - {"help"}

    assert targets == set(re.findall(r"^([a-z-]+):.*## \S", text, flags=re.MULTILINE))
