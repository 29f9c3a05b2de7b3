"""`jobcell new` makes a project in which every command of its README works."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from warm import run_warm


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A new project."""
    folder = tmp_path_factory.mktemp("projects")
    done = run_warm(None, "new", "people", cwd=folder, timeout_s=120)
    assert done.returncode == 0, done.stderr
    return folder / "people"


def test_each_command_of_its_readme_works(project):
    """A newcomer can copy the commands in their order."""
    commands = re.findall(r"^\$ jobcell (.*)$", (project / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        done = run_warm(None, *shlex.split(command), cwd=project, timeout_s=300)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        if command.startswith("test"):
            assert "4 passed" in done.stdout
        if command.startswith("run plan.json --state state.json --events"):
            assert json.loads(done.stdout)["report"] == "Ada"
    assert "people" in (project / "run.html").read_text()


def test_the_tests_of_two_projects_run_together(project):
    """Pytest refuses two test files with one name, so the name of the project is in it."""
    folder = project.parent
    assert run_warm(None, "new", "more-1.x", cwd=folder, timeout_s=120).returncode == 0
    done = run_warm(None, "test", "people", "more-1.x", cwd=folder, timeout_s=300)
    assert (done.returncode, "8 passed" in done.stdout) == (0, True), done.stdout


def test_its_stubs_and_settings_belong_together(project):
    """The settings of pyright and VS Code name directories that exist."""
    settings = json.loads((project / "pyrightconfig.json").read_text())
    editor = json.loads((project / ".vscode" / "settings.json").read_text())
    for place in (
        settings["stubPath"],
        settings["typeshedPath"],
        *editor["python.analysis.extraPaths"],
    ):
        assert (project / place).is_dir(), place


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("full", "is there already; give a new or an empty directory"),
        ("file", "is there already"),
        ("a b", "is not a name for a project"),
        ("-x", "No such option"),
        ("file/x", "cannot be made"),
    ],
)
def test_a_directory_that_cannot_be_taken_is_one_clear_error(tmp_path, name, part):
    """Nothing is written over."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    done = run_warm(None, "new", name, cwd=tmp_path)
    assert (done.returncode, part in done.stderr) == (2, True), done.stderr
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"
