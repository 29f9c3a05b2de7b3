"""The pages for people: the list of runs, a run as it goes on, and the login."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

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
_RUN_PAGE: Final = re.compile(r"/runs/[A-Za-z0-9._~%@:+-]+", re.ASCII)
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
    after: Annotated[str, QueryParameter(name="next", description="The page to go on to.")] = "/",
) -> str:
    """Return the page that asks for the token."""
    message = _REFUSED if wrong else "This server needs its token."
    text = (_STATIC / "login.html").read_text(encoding="utf-8")
    return text.format(message=message, next=html.escape(_own_page(after)))


@post("/login", include_in_schema=False, status_code=303)
async def login(
    data: Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)],
    state: AppState,
) -> Redirect:
    """Keep the token in a cookie that scripts cannot read and other sites do not send."""
    guard: Guard = state.guard
    token, after = data.get("token", ""), _own_page(data.get("next", "/"))
    if not guard.accepts(token):
        more = "" if after == "/" else f"&next={quote(after, safe='')}"
        return Redirect(f"/login?wrong=1{more}", status_code=303)
    kept = Cookie(
        key=COOKIE, value=token, httponly=True, samesite="strict", secure=state.secure, path="/"
    )
    return Redirect(after, status_code=303, cookies=[kept])


def _own_page(path: str) -> str:
    """Return *path* if it is a page of a run; otherwise the list. A login never leads to another site."""
    return path if _RUN_PAGE.fullmatch(path) else "/"


@get("/logout", include_in_schema=False)
async def logout() -> Redirect:
    """Forget the token."""
    return Redirect("/login", cookies=[Cookie(key=COOKIE, value="", max_age=0, path="/")])


HANDLERS: Final = (list_page, run_page, static_file, login_page, login, logout)
