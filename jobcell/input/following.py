"""The options ``--otel`` and ``--trace`` of the commands."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engine import Engine, Trace
from jobcell.input.errors import BadInputError

if TYPE_CHECKING:
    from jobcell.telemetry import Store, Worker

PARENT: Final = "TRACEPARENT"
STATE: Final = "TRACESTATE"
"""The variables in which a caller hands its trace over. Source: the specification of OpenTelemetry,
"Environment Variables as Context Propagation Carriers"."""


def read_trace(given: str | None, environment: Mapping[str, str] = os.environ) -> Trace | None:
    """Return the trace of an option, or of the environment, where a wrong one only gives a warning.

    Raises:
        BadInputError: The option is not a ``traceparent``.

    """
    if given is not None:
        try:
            return Trace(given)
        except ValueError as error:
            raise BadInputError([f"--trace: {error}"]) from None
    found = environment.get(PARENT)
    if not found:
        return None
    try:
        return Trace(found, environment.get(STATE, ""))
    except ValueError as error:
        print(f"warning: {PARENT} is ignored: {error}", file=sys.stderr)
        return None


@contextmanager
def followed(
    engine: Engine | None = None,
    *,
    worker: Worker | None = None,
    store: Store | None = None,
    wanted: bool,
) -> Iterator[None]:
    """Follow the runs of an engine, a worker or a store, as the variables ``OTEL_*`` say, if that is wanted.

    Raises:
        BadInputError: A variable is wrong, or packages are missing.

    """
    if not wanted:
        yield
        return
    from jobcell.telemetry import TelemetryError, from_environment  # late: it takes 0.3 s

    try:
        telemetry = from_environment(engine, worker=worker, store=store)
    except TelemetryError as error:
        raise BadInputError([f"--otel: {error}"]) from None
    # Without a handler, each of its warnings would be a line on standard error.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    with telemetry:
        yield
