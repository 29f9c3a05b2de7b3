"""A worker that is stopped in the middle of a transaction does not keep its locks."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from jobcell import Store, StoreUnavailableError
from jobcell.store.schema import workers
from jobcell.worker.pulse import Pulses, session_name

DEAD = "some-host-4711-0badcafe"


@pytest.mark.parametrize("pipeline", [True, False])
def test_the_sessions_of_a_dead_worker_end_with_it(postgres_url: str, pipeline: bool) -> None:
    """Otherwise nobody could take its runs over: PostgreSQL does not watch pauses after a pipeline."""
    with Store.open(postgres_url) as store:
        alive = Pulses(store.database, "alive", 1)
        stopped = store.database.another(pool_size=1, application_name=session_name(DEAD))
        Pulses(stopped, DEAD, 1).register()
        with pytest.raises(StoreUnavailableError), stopped.write() as connection:  # noqa: PT012 - at its end
            mine = workers.update().where(workers.c.id == sa.bindparam("b_id")).values(beats=1)
            rows = [{"b_id": DEAD}, {"b_id": "other"}] if pipeline else {"b_id": DEAD}
            connection.execute(mine, rows)
            alive.reap(DEAD, 1)  # waits for the lock of the row, unless the session ends
        with store.database.read() as connection:
            assert connection.execute(sa.select(workers.c.id)).all() == []
        stopped.close()


def test_the_sessions_of_a_worker_that_beats_again_stay(postgres_url: str) -> None:
    """It has beaten since it was found dead, so it is alive."""
    with Store.open(postgres_url) as store:
        late = store.database.another(pool_size=1, application_name=session_name(DEAD))
        pulses = Pulses(late, DEAD, 1)
        pulses.register()
        pulses.beat(draining=False)
        assert Pulses(store.database, "alive", 1).reap(DEAD, 1) == 0
        assert pulses.beat(draining=False).is_known
        late.close()


def test_a_transaction_that_pauses_is_ended(postgres_url: str) -> None:
    """A client that is stopped holds no lock for ever, either."""
    with Store.open(postgres_url) as store:
        paused = store.database.another(
            pool_size=1, idle_in_transaction_session_timeout="50ms", application_name="client"
        )
        with pytest.raises(StoreUnavailableError), paused.write() as connection:  # noqa: PT012 - at its end
            connection.execute(sa.text("lock table jobcell_workers"))
            with store.database.write() as other:  # gets the lock when the session has ended
                other.execute(sa.text("lock table jobcell_workers"))
            connection.execute(sa.select(workers.c.id))
        paused.close()
