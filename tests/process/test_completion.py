"""Completion in real shells, as a person at a terminal gets it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from warm import command_file, run_warm

STEPS = [
    {"id": "load", "name": "Load visits", "expression": "x = 1"},
    {"id": "loose", "name": "Don't stop", "expression": "x = 1"},
    {"id": "end", "expression": "x = 1"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A plan, a store with a run, and the command on the search path."""
    directory = tmp_path_factory.mktemp("shell")
    (directory / "plan.json").write_text(json.dumps({"workflow": {"steps": STEPS}}))
    (directory / "plan.yaml").write_text("workflow: {steps: [{id: yam, expression: x = 1}]}\n")
    (directory / "broken.json").write_text("{")
    store = ("--store", "sqlite:///s.db")
    done = run_warm(None, "enqueue", "plan.json", "--id", "run-17", *store, cwd=directory)
    assert done.returncode == 0, done.stderr
    (directory / "bin").mkdir()
    with command_file(directory / "bin" / "jobcell"):
        yield directory


def in_shell(folder, *words):
    return subprocess.run(
        words,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def in_bash(folder, *lines):
    """Return the candidates of bash for lines whose last word is at the cursor."""
    script = ["source <(jobcell completion bash)"]
    for line in lines:
        script.append(
            f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _jobcell;"
            ' printf "%s\\n" "${COMPREPLY[@]}"; echo ---'
        )
    out = in_shell(folder, "bash", "--norc", "-c", "\n".join(script))
    return [part.split("\n")[:-1] for part in out.split("---\n")[:-1]]


def test_bash_completes_each_kind_of_word(folder):
    """Commands, sub-commands, options, values, steps by id and by name, and runs."""
    found = in_bash(
        folder,
        "jobcell ru",
        "jobcell repo ad",
        "jobcell run plan.json --state-no",
        "jobcell run --step",
        "jobcell run --start-mode ''",
        "jobcell run plan.json --only lo",
        "jobcell run plan.json --from 'Load\\ v'",
        "jobcell run plan.json --end '\"Load'",
        "jobcell run plan.yaml --start ''",
        "jobcell run broken.json --start ''",
        "jobcell result --store sqlite:///s.db run",
        "jobcell run ''",
        "jobcell nonsense ''",
    )
    assert found[0] == ["run", "runs"]
    assert found[1] == ["add"]
    assert found[2] == [""]
    assert found[3] == ["--step-timeout"]
    assert found[4] == ["exec", "zygote"]
    assert found[5] == ["load", "loose"]
    assert found[6] == ["Load\\ visits"]
    assert found[7] == ['"Load visits"']
    assert found[8] == ["yam"]
    assert found[9] == [""]
    assert found[10] == ["run-17"]
    assert found[11] == [""]  # bash then offers files
    assert found[12] == [""]


def test_the_hidden_command_is_not_offered(folder):
    """It is for shells."""
    (commands,) = in_bash(folder, "jobcell com")
    assert commands == ["completion"]
    assert "complete " not in run_warm(None, "--help").stdout


def test_a_candidate_is_a_word_for_bash(folder):
    """Bash reads each candidate back as the name of the step."""
    (found,) = in_bash(folder, "jobcell run plan.json --only ''")
    script = "\n".join(f"printf '%s\\n' {word}" for word in found)
    names = {*(step["id"] for step in STEPS), "Load visits", "Don't stop"}
    assert set(in_shell(folder, "bash", "-c", script).splitlines()) == names


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(folder):
    """The shell itself asks for the candidates of a line."""
    source = "jobcell completion fish | source; "
    assert "run" in in_shell(folder, "fish", "-c", f"{source} complete -C 'jobcell ru'").split()
    found = in_shell(
        folder, "fish", "-c", f"{source} complete -C 'jobcell run plan.json --only Lo'"
    )
    assert "Load visits" in found


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(folder):
    """The function gives its candidates to the shell's own `compadd`."""
    script = (
        "autoload -Uz compinit && compinit -u -d .zdump; source <(jobcell completion zsh);"
        " compadd() { shift; print -l -- $@ }; _files() { print files };"
        " words=(jobcell run plan.json --only Load); CURRENT=5; _jobcell;"
        " words=(jobcell run pl); CURRENT=3; _jobcell"
    )
    assert in_shell(folder, "zsh", "-f", "-c", script).splitlines() == ["Load visits", "files"]


@pytest.mark.parametrize("words", [[], ["bash"], ["bash", "--", "-x"], ["bash", "run", "\udc80"]])
def test_strange_words_give_nothing_and_no_error(folder, words):
    """A press of the key must not print an error into the line of a person."""
    from jobcell.commands.app import app
    from jobcell.commands.completing import complete

    assert isinstance(complete(app, "bash", words[1:]), list)
