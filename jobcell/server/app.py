"""The application: pages, JSON interface, health, and the checks before them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders, State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.types import Message, Scope

from engine import __version__
from jobcell.server import health, pages
from jobcell.server.api import Api, openapi
from jobcell.server.backend import Backend
from jobcell.server.errors import HANDLERS
from jobcell.server.live import LiveReports
from jobcell.server.security import HEADERS, Guard
from jobcell.server.streams import READERS

_MOST_BODY_BYTES = 100_000_000


def make_app(
    backend: Backend,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
    secure: bool = False,
    repo_dir: str | os.PathLike[str] | None = None,
) -> Litestar:
    """Return the application, for any server that speaks ASGI.

    Args:
        backend: Where the runs are; it is closed with the application.
        token: The token that clients have to send; None: each client that reaches the server may
            do everything.
        hosts: Host names that clients may ask for; None: all.
        secure: Whether clients come by HTTPS, so that the cookie is for HTTPS only.
        repo_dir: The directory of installed adaptors, for checks of plans.

    """
    guard = Guard(token, hosts)
    state = State(
        {
            "backend": backend,
            "reports": LiveReports(backend),
            "guard": guard,
            "secure": secure,
            "repo_dir": repo_dir,
            "closing": asyncio.Event(),
            "reading": asyncio.Semaphore(READERS),
        }
    )
    schemes: dict[str, SecurityScheme | Reference] = {
        "token": SecurityScheme(type="http", scheme="bearer")
    }
    return _App(
        [Api, openapi, *health.HANDLERS, *pages.HANDLERS],
        guards=[guard],
        state=state,
        exception_handlers=HANDLERS,
        before_send=[_add_headers],
        on_shutdown=[backend.close],
        request_max_body_size=_MOST_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            title="jobcell",
            version=__version__,
            description="Run workflows of Python jobs, and follow them.",
            path="/openapi",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
            components=Components(security_schemes=schemes),
            security=[{"token": []}] if token is not None else None,
        ),
        logging_config=None,
        pdb_on_exception=False,
    )


def end_streams(app: Litestar) -> None:
    """Answer all clients that wait for events, because the server is about to end.

    It is called in the thread of the event loop. A stream ends without `end`, so its client asks again.
    """
    closing: asyncio.Event = app.state.closing
    closing.set()


class _App(Litestar):
    """Answers HEAD as it answers GET, without a body."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await super().__call__(scope, receive, send)
            return
        begun = asyncio.Event()

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                begun.set()

        async def receive_until_begun() -> Any:
            # A stream ends when its client is gone, and this client has all it wants.
            message = await receive()
            if message["type"] == "http.request" and not begun.is_set():
                return message
            return {"type": "http.disconnect"}

        scope["method"] = "GET"
        await super().__call__(scope, receive_until_begun, send_head)


async def _add_headers(message: Message, _: Scope) -> None:
    """Give each answer its policy, also an error and an answer of the framework itself."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
