"""The application: pages, JSON interface, health, and the checks before them."""

from __future__ import annotations

import os

from litestar import Litestar, Response
from litestar.datastructures import State
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Reference, SecurityScheme

from engine import __version__
from jobcell.server import health, pages
from jobcell.server.api import Api, openapi
from jobcell.server.backend import Backend
from jobcell.server.errors import HANDLERS
from jobcell.server.live import LiveReports
from jobcell.server.security import HEADERS, Guard

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
        }
    )
    schemes: dict[str, SecurityScheme | Reference] = {
        "token": SecurityScheme(type="http", scheme="bearer")
    }
    return Litestar(
        [Api, openapi, *health.HANDLERS, *pages.HANDLERS],
        guards=[guard],
        state=state,
        exception_handlers=HANDLERS,
        after_request=_add_headers,
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


async def _add_headers(response: Response[object]) -> Response[object]:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
