"""The project of docs/moving.md is imported as the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from modes import let_everybody_in
from warm import run_warm
from wheels import make_wheels

from jobcell.moving.script.verbs import ALL

PAGE = (Path(__file__).parents[3] / "docs" / "moving.md").read_text()


def test_the_commands_of_the_page_work(tmp_path):
    """The translated job is that of the page, to the letter."""
    let_everybody_in(tmp_path)
    wheels = make_wheels(tmp_path / "wheels", "httpx[http2]", "brotli")
    files = dict(re.findall(r'```\w+ title="(.+?)"\n(.*?)```', PAGE, re.DOTALL))
    assert set(files) == {"project.yaml", "fetch.py"}
    (tmp_path / "project.yaml").write_text(files["project.yaml"])
    found = re.search(r"<!-- test: moving -->\n```console\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    for line in found[1].splitlines():
        words = shlex.split(line.removeprefix("$ jobcell "))
        more = ["--find-links", str(wheels)] if words[:2] == ["repo", "add"] else []
        done = run_warm(None, *words, *more, cwd=tmp_path, timeout_s=120, env=env)
        assert done.returncode == (1 if words[0] == "import" else 0), (line, done.stderr)
    assert (tmp_path / "clinic" / "adults" / "fetch.py").read_text() == files["fetch.py"]
    assert "jobcell schedule add adults" in (tmp_path / "clinic" / "TODO.md").read_text()


@pytest.mark.parametrize("name", sorted(ALL - {"del", "get", "patch", "post", "put", "request"}))
def test_the_page_names_each_function_that_is_translated(name):
    """Those of the adaptor http are in the table of adaptors."""
    assert f"`{name}`" in PAGE
