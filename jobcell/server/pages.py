"""The pages for people: the list of runs, a run as it goes on, and the login."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from litestar import MediaType, Response, get, post
from litestar.datastructures import Cookie
from litestar.datastructures import State as AppState
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotFoundException
from litestar.params import Body, PathParameter, QueryParameter
from litestar.response import Redirect

import jobcell.report
from jobcell.report import VIEW
from jobcell.server.security import COOKIE, Guard

_STATIC: Final = Path(__file__).with_name("static")
_OF_REPORT: Final = Path(jobcell.report.__file__).with_name("static")
_FILES: Final = {
    "page.css": _OF_REPORT / "page.css",
    "dagre.min.js": _OF_REPORT / "dagre.min.js",
    **{name: _OF_REPORT / name for name in VIEW},
    "serve.css": _STATIC / "serve.css",
    "list.js": _STATIC / "list.js",
    "run.js": _STATIC / "run.js",
}
_REFUSED: Final = "This is not the token of the server. It is the value of JOBCELL_TOKEN there."
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


@get("/", include_in_schema=False, media_type=MediaType.HTML)
async def list_page() -> str:
    """Return the page with the list of runs."""
    return (_STATIC / "list.html").read_text(encoding="utf-8")


@get("/runs/{_run_id:str}", include_in_schema=False, media_type=MediaType.HTML)
async def run_page(_run_id: Annotated[str, PathParameter()]) -> str:
    """Return the page of a run."""
    return (_STATIC / "run.html").read_text(encoding="utf-8")


@get("/static/{name:str}", include_in_schema=False)
async def static_file(name: Annotated[str, PathParameter()]) -> Response[bytes]:
    """Return a file of the pages."""
    path = _FILES.get(name)
    if path is None:
        raise NotFoundException(f"there is no file {name!r}")
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])


@get("/login", include_in_schema=False, media_type=MediaType.HTML)
async def login_page(
    wrong: Annotated[bool, QueryParameter(description="The last token was wrong.")] = False,
) -> str:
    """Return the page that asks for the token."""
    message = _REFUSED if wrong else "This server needs its token."
    return (_STATIC / "login.html").read_text(encoding="utf-8").format(message=message)


@post("/login", include_in_schema=False, status_code=303)
async def login(
    data: Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)],
    state: AppState,
) -> Redirect:
    """Keep the token in a cookie that scripts cannot read and other sites do not send."""
    guard: Guard = state.guard
    token = data.get("token", "")
    if not guard.accepts(token):
        return Redirect("/login?wrong=1", status_code=303)
    kept = Cookie(
        key=COOKIE, value=token, httponly=True, samesite="strict", secure=state.secure, path="/"
    )
    return Redirect("/", status_code=303, cookies=[kept])


@get("/logout", include_in_schema=False)
async def logout() -> Redirect:
    """Forget the token."""
    return Redirect("/login", cookies=[Cookie(key=COOKIE, value="", max_age=0, path="/")])


HANDLERS: Final = (list_page, run_page, static_file, login_page, login, logout)
