"""HTTP requests for workflow jobs, on httpx.

`get`, `post`, `put`, `patch`, `delete`, `request` and `paginate` return operations: functions from
state to state.  Any of their arguments may be a function of state.  The adaptor is called `http`; its
module is called `http_`, because `http` is a module of the standard library.
"""

from __future__ import annotations

from .errors import (
    HttpError,
    RedirectError,
    RequestError,
    ResponseError,
    TokenError,
    TooLargeError,
    UnreachableError,
)
from .pages import paginate
from .verbs import cookie, delete, file_part, get, patch, post, put, request

__version__ = "1.0.0"

__all__ = [
    "HttpError",
    "RedirectError",
    "RequestError",
    "ResponseError",
    "TokenError",
    "TooLargeError",
    "UnreachableError",
    "cookie",
    "delete",
    "file_part",
    "get",
    "paginate",
    "patch",
    "post",
    "put",
    "request",
]
