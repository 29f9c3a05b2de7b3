"""The runs of a store have the network that their worker gives them, and their events are kept."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from network_jobs import CONNECT, echo, engine_with, options

pytest.importorskip("sqlalchemy")

from workers import PATIENCE_S, job, serving

from jobcell import Store


def test_a_worker_enforces_its_rules_and_keeps_the_events_of_connections(tmp_path: Path):
    """A client reads the same events and totals as that of an engine."""
    with (
        echo() as server,
        echo("127.0.0.2", server.port) as other,
        closing(Store.open(f"sqlite:///{tmp_path}/runs.db")) as store,
        engine_with("zygote", options(f"127.0.0.1:{server.port}")) as eng,
        serving(store, eng),
    ):
        places = [("127.0.0.1", server.port), ("127.0.0.2", server.port)]
        run = store.enqueue(job(CONNECT), {"data": places})
        result = run.result(timeout_s=PATIENCE_S)
        events = run.poll(after=0)

    assert result.state == {"data": ["ping", "ConnectionResetError"]}
    found = [(e.host, e.port, e.outcome) for e in events if e.type == "net-connect"]
    assert sorted(found) == [
        ("127.0.0.1", server.port, "open"),
        ("127.0.0.2", server.port, "refused"),
    ]
    assert events[-1].type == "workflow-complete"
    assert (result.usage.connections, result.usage.net_sent_bytes) == (1, 4)
    assert result.confinement.net == "by name"
    assert other.connections == 0
