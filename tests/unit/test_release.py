"""The files for a release agree with each other."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

import engine
import jobcell

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FRAGMENTS = ROOT / "changelog.d"
TYPES = [entry["directory"] for entry in PROJECT["tool"]["towncrier"]["type"]]


@pytest.mark.slow
def test_the_version_is_stated_once():
    """The packages, the command, and the events of a run take it from the same line of source."""
    source = (ROOT / "engine" / "api" / "version.py").read_text()
    (stated,) = re.findall(r'^__version__: Final = "(.+)"$', source, flags=re.MULTILINE)
    command = [sys.executable, "-m", "jobcell", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "version" in PROJECT["project"]["dynamic"]
    assert engine.__version__ == jobcell.__version__ == stated
    assert printed == f"jobcell {stated}\n"


def test_the_metadata_says_who_made_it_and_where_it_lives():
    """An index, and a tool that looks for licences, find their fields."""
    found = metadata("jobcell")

    assert found["Author"] == "The jobcell authors"
    assert found["License-Expression"] == "MIT"
    assert "Typing :: Typed" in found.get_all("Classifier")
    assert {url.partition(",")[0] for url in found.get_all("Project-URL")} >= {
        "Changelog",
        "Documentation",
        "Repository",
        "Security",
    }


def test_a_hole_is_reported_where_the_repository_is():
    """SECURITY.md leads to the private report of the repository that pyproject.toml names."""
    urls = PROJECT["project"]["urls"]
    text = (ROOT / "SECURITY.md").read_text()

    assert f"({urls['Repository']}/security/advisories/new)" in text
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


def test_each_package_is_typed():
    """A type checker believes the annotations of all packages of the wheel."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}

    assert packages == {"engine", "jobcell", "protocol", "sandbox_child"}
    assert all((ROOT / package / "py.typed").is_file() for package in packages)


def wrong_fragments(directory: Path) -> list[str]:
    """Return the files that `towncrier` would leave out, or that contain no sentence."""
    name = re.compile(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(TYPES)})(\.\d+)?\.md")
    return [
        path.name
        for path in sorted(directory.iterdir())
        if path.name != "README.md"
        and not (
            name.fullmatch(path.name) and re.match(r"[^-#\s].*\.\s*\Z", path.read_text(), re.DOTALL)
        )
    ]


def test_fragments_of_the_changelog_are_named_right():
    """Towncrier takes each of them, and CONTRIBUTING lists the types."""
    text = (FRAGMENTS / "README.md").read_text()

    assert wrong_fragments(FRAGMENTS) == []
    assert all(f"`{kind}`" in text for kind in TYPES)


def test_a_fragment_with_a_wrong_name_or_without_a_sentence_is_found(tmp_path):
    """A misspelt type, another suffix and an empty text are the mistakes that people make."""
    for name in ("12.fixed.md", "+new-key.added.md", "12.fixed.1.md", "README.md"):
        (tmp_path / name).write_text("A sentence.\n")
    for name in ("12.fix.md", "12.fixed.txt", "new.added.md", "12.md"):
        (tmp_path / name).write_text("A sentence.\n")
    (tmp_path / "13.fixed.md").write_text("\n")
    (tmp_path / "14.fixed.md").write_text("- A line of a list.\n")

    assert wrong_fragments(tmp_path) == [
        *("12.fix.md", "12.fixed.txt", "12.md", "13.fixed.md", "14.fixed.md", "new.added.md")
    ]


def test_a_release_puts_its_section_above_those_before_it():
    """The line at which towncrier inserts is in the changelog, before the first section."""
    text = (ROOT / "CHANGELOG.md").read_text()
    line = PROJECT["tool"]["towncrier"]["start_string"]

    assert text.count(line) == 1
    assert text.index(line) < text.index("\n## ")
