"""The package that users import."""

from __future__ import annotations

import engine
import jobcell


def test_jobcell_gives_every_name_of_the_engine() -> None:
    """`import jobcell` is enough for everything that `engine` offers."""
    assert set(jobcell.__all__) == set(engine.__all__)
    for name in engine.__all__:
        assert getattr(jobcell, name) is getattr(engine, name)
