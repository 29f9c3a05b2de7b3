"""Credentials of `jobcell run` from `.env` and the keyring reach the step, and nothing else."""

from __future__ import annotations

import json
import os

import pytest
from warm import run_warm

from engine import FileJournal

SECRET = "hunter2-hunter2"
PLAN = {
    "workflow": {
        "globals": "help.py",
        "steps": [
            {
                "id": "use",
                "configuration": "crm",
                "state": "state.json",
                "expression": (
                    "def main(state):\n"
                    "    print(state.configuration['password'])\n"
                    "    length = size(state.configuration['password'])\n"
                    "    return {'data': state.data + [length, state.configuration['password']]}"
                ),
            }
        ],
    }
}
BACKEND = f"""
from keyring.backend import KeyringBackend
class Desk(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return '{{"password": "{SECRET}"}}' if (service, username) == ("jobs", "crm") else None
    def set_password(self, service, username, password):
        raise NotImplementedError
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    (tmp_path / "help.py").write_text("def size(text): return len(text)\n")
    (tmp_path / "state.json").write_text('{"data": ["from the file"]}')
    (tmp_path / "desk_keyring.py").write_text(BACKEND)
    env_file = tmp_path / ".env"
    env_file.write_text(f"CRM__PASSWORD={SECRET}\n")
    env_file.chmod(0o600)
    return tmp_path


def check_used(done, warnings=0):
    """Check that the job had the secret, and that no output has it."""
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"data": ["from the file", len(SECRET), "[redacted]"]}
    assert SECRET not in done.stderr
    assert done.stderr.count("warning:") == warnings


def test_an_env_file_is_read_when_it_is_named(folder):
    """A file that lies there is not enough; its mode is looked at."""
    without = run_warm(None, "run", "plan.json", cwd=folder)
    assert without.returncode == 3
    assert "crm" in without.stderr
    check_used(run_warm(None, "run", "plan.json", "--env-file", ".env", cwd=folder))
    (folder / ".env").chmod(0o644)
    done = run_warm(None, "run", "plan.json", "--env-file", ".env", cwd=folder)
    check_used(done, warnings=1)
    assert "warning: .env: has credentials, and other users may use it (mode 0644)" in done.stderr


def test_a_resumed_run_reads_the_same_file(folder):
    """The journal keeps the path of the file, and no value of it."""
    words = ("run", "plan.json", "--env-file", ".env", "--journal", "j")
    check_used(run_warm(None, *words, cwd=folder))
    with FileJournal(folder / "j", read_only=True) as journal:
        assert SECRET not in str(journal.about)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    done = run_warm(None, "resume", "../j", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert f"--env-file '{folder / '.env'}'" in done.stderr


def run_with_keyring(folder, backend):
    environment = {"PYTHONPATH": str(folder), "PYTHON_KEYRING_BACKEND": backend}
    words = ("run", "plan.json", "--keyring", "jobs")
    return run_warm(None, *words, cwd=folder, env={**os.environ, **environment})


def test_the_keyring_is_asked_when_it_is_named(folder):
    """The process has a keyring of its own, as a desktop offers one."""
    check_used(run_with_keyring(folder, "desk_keyring.Desk"))
    broken = run_with_keyring(folder, "desk_keyring.KeyringBackend")
    assert (broken.returncode, broken.stderr) == (
        2,
        "error: --keyring: the keyring of this machine cannot be opened: NotImplementedError\n",
    )
