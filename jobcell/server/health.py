"""Whether the server is alive and ready, and its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from litestar import MediaType, Response, get
from litestar.datastructures import State as AppState
from litestar.openapi.datastructures import ResponseSpec

from jobcell.server.backend import Away, Backend

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@get("/livez", media_type=MediaType.TEXT, summary="Is the server alive?")
async def livez() -> str:
    """Answer, because the server is alive."""
    return "alive\n"


@get(
    "/readyz",
    media_type=MediaType.TEXT,
    sync_to_thread=True,
    summary="Are the runs in reach?",
    responses={503: ResponseSpec(str, description="They are not.", media_type=MediaType.TEXT)},
)
def readyz(state: AppState) -> Response[str]:
    """Answer 200 if the runs are in reach, and 503 if not."""
    backend: Backend = state.backend
    try:
        backend.counts()
    except Away as error:
        return Response(f"not ready: {error}\n", status_code=503, media_type=MediaType.TEXT)
    return Response("ready\n", media_type=MediaType.TEXT)


@get("/metrics", sync_to_thread=True, summary="Figures for Prometheus")
def metrics(state: AppState) -> Response[bytes]:
    """Return the numbers of runs in the format of Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Collector(state.backend))
    return Response(
        generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}, media_type=None
    )


class _Collector:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        gauge = GaugeMetricFamily("jobcell_runs_now", "Numbers of runs.", labels=["state"])
        counts = self._backend.counts()
        for name in counts.__struct_fields__:
            gauge.add_metric([name], getattr(counts, name))
        yield gauge

    def describe(self) -> list[Any]:
        return []  # the store is asked only when the figures are


HANDLERS: Final = (livez, readyz, metrics)
