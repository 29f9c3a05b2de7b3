"""The overrides in DBOS: it has the methods that are overridden, and a worker refuses another DBOS."""

from __future__ import annotations

from typing import Any

import pytest
from dbos._sys_db import SystemDatabase

from jobcell.store.errors import StoreError
from jobcell.worker.claims import check_overridden


class Bound:
    """The methods of DBOS's class, as an object has them."""

    def __init__(self, **others: Any) -> None:
        vars(self).update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(SystemDatabase, name).__get__(self)


def test_the_installed_dbos_has_the_methods_that_are_overridden() -> None:
    """A version that `pip` may choose and that has not would fail here first."""
    check_overridden(Bound())


@pytest.mark.parametrize(
    "changed",
    [{"get_queue": None}, {"start_queued_workflows": lambda queue, worker: None}],
    ids=["gone", "other parameters"],
)
def test_another_dbos_is_refused_by_name(changed: dict[str, Any]) -> None:
    """The error names the method, and says what to install."""
    (name,) = changed
    with pytest.raises(StoreError, match=rf"{name} has changed; install .*jobcell\[store\]"):
        check_overridden(Bound(**changed))
