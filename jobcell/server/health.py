"""Whether the server is alive and ready, and its figures for Prometheus."""

from __future__ import annotations

from typing import Final

from litestar import MediaType, Response, get
from litestar.datastructures import State as AppState
from litestar.openapi.datastructures import ResponseSpec

from jobcell.server.backend import Away, Backend
from jobcell.telemetry import page


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
    """Return the figures of the runs in the format of Prometheus."""
    body, kind = page(state.backend.families)
    return Response(body, headers={"Content-Type": kind}, media_type=None)


HANDLERS: Final = (livez, readyz, metrics)
