"""A store with a key: workers and clients use it as any other, and its dump has nothing of a user in it."""

from __future__ import annotations

import base64
import re
import signal
import sqlite3
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from postgres import find_programs
from workers import (
    FIRST_HANGS,
    PATIENCE_S,
    WorkerProcess,
    row_of,
    serving,
    story,
    wait_event,
    warm_engine,
)

from engine import Engine, Resolvers
from jobcell import Store
from jobcell.store import StoreKeyError

KEY = bytes(range(100, 132))
OTHER = bytes(range(32))
MARK = "a-word-of-a-patient"
TOKEN = "t0ken-of-the-crm"
ROWS = [f"{MARK} {number}" for number in range(3_000)]
"""About 80 kB, so each state with it is a content of its own."""

PLAN = {
    "workflow": {
        "name": "visits",
        "steps": [
            {
                "id": "load",
                "configuration": "crm",
                "expression": "def main(state):\n"
                f"    print('{MARK}')\n"
                "    rows = [{'name': row, 'token': state.configuration.token} for row in state.rows]\n"
                "    return {'data': rows, 'kept': state.configuration.token}",
                "next": {"work": True},
            },
            {"id": "work", "expression": FIRST_HANGS, "next": {"fail": True}},
            {
                "id": "fail",
                "expression": f"def main(state):\n    raise ValueError('{MARK} ' + str(len(state.data)))",
            },
        ],
    }
}


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    """An engine for the workers in this process."""
    with warm_engine(max_runs=4) as made:
        yield made


def dump(store: Store) -> bytes:
    """Return a backup of the store, made by the tool of its database."""
    url = store.database.url
    if store.database.is_sqlite:
        with closing(sqlite3.connect(url.database or "")) as connection:
            return "\n".join(connection.iterdump()).encode()
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(
        [find_programs() / "pg_dump", "--dbname", plain], capture_output=True, check=True
    )
    # Two of its lines have a random word.
    return b"\n".join(line for line in done.stdout.splitlines() if b"restrict " not in line[:12])


def holds(backup: bytes, word: str) -> bool:
    """Return whether a word is in a dump: as text, in hexadecimal or base64 digits, or compressed."""
    plain = word.encode()
    # The three places at which the word may begin in base64.
    coded = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    forms = [plain, plain.hex().encode(), plain.hex().upper().encode(), *coded]
    if any(form in backup for form in forms):
        return True
    for digits in re.findall(rb"[0-9a-fA-F]{40,}", backup):
        content = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
        if plain in content:
            return True
        try:
            if plain in zlib.decompress(content):
                return True
        except zlib.error:
            pass
    return False


@contextmanager
def crm() -> Iterator[Resolvers]:
    """Give resolvers that know the credential of the plan."""
    yield Resolvers(credential=lambda _name: {"token": TOKEN, "url": "https://crm.example.org"})


def carry_out(store: Store, engine: Engine) -> None:
    """Have workers carry out a run that is taken over, one that is repeated, one that is cancelled and a tick."""
    run = store.enqueue(PLAN, {"rows": ROWS}, id="visible-id", tenant="visible-tenant")
    with crm() as resolvers:
        # On a busy machine a worker must not take itself for dead; it gives the run back at its end.
        with serving(store, engine, resolvers=resolvers, dead_s=PATIENCE_S):
            wait_event(run, "log", step_id="work")
        with serving(store, engine, resolvers=resolvers, dead_s=PATIENCE_S):
            result = run.result(timeout_s=PATIENCE_S)
    assert result.reason == "fail"
    assert MARK in str(result.error)
    lines = story(run)
    # The hidden secret does not keep the first step from having a record.
    assert lines.count("workflow-start 1") == store.is_encrypted
    assert ("job-start load 2" in lines) != store.is_encrypted
    assert any(MARK in str(event) for event in run.poll(after=0))


def test_nothing_of_a_user_is_in_the_dump_of_an_encrypted_store(
    store_url: str, shared_engine: Engine
) -> None:
    """Plans, states, records, log lines, errors and schedules; the ids of runs and tenants are readable."""
    with Store.open(store_url, key=KEY) as store:
        carry_out(store, shared_engine)
        store.schedules.add("nightly", PLAN, cron="0 3 * * *", state={"rows": [MARK]})
        backup = dump(store)
    assert not holds(backup, MARK)
    assert not holds(backup, TOKEN)
    assert not holds(backup, KEY.hex())
    for readable in ("visible-id", "visible-tenant", "nightly", "0 3 * * *"):
        assert readable.encode() in backup


def test_a_dump_without_a_key_has_the_words_that_the_search_looks_for(
    store_url: str, shared_engine: Engine
) -> None:
    """The twin.  The token of the credential is in neither."""
    with Store.open(store_url) as store:
        carry_out(store, shared_engine)
        backup = dump(store)
    assert holds(backup, MARK)
    assert not holds(backup, TOKEN)


def test_the_run_of_a_killed_worker_goes_on_from_its_encrypted_records(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key comes from the environment, as for a worker in a container."""
    plan = {
        "workflow": {
            "steps": [
                {
                    "id": "a",
                    "expression": "def main(state):\n    return {**state, 'rows': state.rows[::-1]}",
                    "next": {"b": True},
                },
                {"id": "b", "expression": FIRST_HANGS},
            ]
        }
    }
    monkeypatch.setenv("JOBCELL_STORE_KEY", KEY.hex())
    with Store.open(store_url) as store:
        run = store.enqueue(plan, {"rows": ROWS})
        with WorkerProcess(store_url) as first:
            wait_event(run, "log")
            first.send(signal.SIGKILL)
            first.wait()
        with WorkerProcess(store_url):
            result = run.result(timeout_s=PATIENCE_S)
        assert result.state == {"rows": ROWS[::-1], "data": {}, "b": 2}
        assert row_of(store, run).takeovers == 1
        again = store.retry(run.id, "b")
        with WorkerProcess(store_url):
            wait_event(again, "log")
        assert story(again)[0] == "workflow-start 1"


def test_a_wrong_key_and_no_key_open_nothing(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written.  The words say what can be done, and do not show a key."""
    with Store.open(store_url, key=KEY) as store:
        run = store.enqueue("def main(state):\n    return state\n", {"x": MARK})
        before = dump(store)
        monkeypatch.setenv("JOBCELL_STORE_KEY", OTHER.hex())
        with pytest.raises(StoreKeyError) as wrong:
            Store.open(store_url)
        monkeypatch.delenv("JOBCELL_STORE_KEY")
        with pytest.raises(StoreKeyError, match="is encrypted; give its key in JOBCELL_STORE_KEY"):
            Store.open(store_url)
        assert dump(store) == before
        assert not run.done
    words = str(wrong.value)
    assert "is not that of the store" in words
    assert "the key of a store cannot be changed" in words
    assert OTHER.hex() not in words
    assert KEY.hex() not in words
