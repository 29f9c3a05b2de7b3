"""The verbs that make one request.  Each returns an operation: a function from state to state.

The options are written out for each verb, so that an editor knows them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .calls import Call, next_state
from .credentials import read_settings
from .laziness import FilePart, State, resolve
from .sessions import session_of
from .urls import make_url

Operation: TypeAlias = Callable[[State], State]


def request(
    method: Any,
    path: Any,
    *,
    body: Any = None,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make an HTTP request.  Any argument may be a function of state.

    After the operation `state["data"]` is the body, the previous data is at the end of
    `state["references"]`, and `state["response"]` has method, URL, status, reason and headers.

    Args:
        method: The method, such as `"GET"`.
        path: A path below the `base_url` of the configuration, or a whole URL.
        body: A dict or list is sent as JSON, a text and bytes as they are.
        content_type: `"json"`, `"xml"`, `"string"`, `"form"` (multipart) or `"urlencoded"`.
        query: A dict of parameters; None is left out, and a list repeats the key.
        headers: A dict of headers; they replace those of the configuration.
        errors: False, so that no status is an error; or a dict from statuses to False, True or the
            message of the error.
        parse_as: `"json"`, `"text"`, `"bytes"`, `"base64"`, or `"auto"`, which means JSON if the
            server says so, and otherwise text.
        timeout: Milliseconds for each read and write; 300,000 if it is left out.
        timeout_s: The same in seconds.
        max_redirections: Most redirects that are followed; with 0 a redirect is the answer.
        retries: Most further attempts after an error that can pass, if a second request is safe: a
            method such as GET or PUT, or a request with an idempotency key.
        idempotency_key: True sends the header `Idempotency-Key` with a key that is the same in every
            attempt of the step.  A text is sent as the key.
        tls: A dict with `ca`, `cert`, `key`, `passphrase`, in place of that of the configuration.
        http2: True speaks HTTP/2 with a server that offers it.
        max_mb: Most megabytes of the body, after it was decompressed.

    Raises:
        RequestError: An argument is wrong.  The operation raises the errors, because the arguments
            are known only then.
        UnreachableError: The server did not answer, or the run may not reach it.
        ResponseError: The status is an error, or the body cannot be read as *parse_as*.
        RedirectError: There are too many redirects, or the target of one is refused.
        TooLargeError: The body is larger than *max_mb*.
        TokenError: The token server of the configuration did not give a token.

    Example:
        `request("POST", "patients", body=state.data, content_type="form")`

    """
    given = {
        "method": method,
        "path": path,
        "body": body,
        "content_type": content_type,
        "query": query,
        "headers": headers,
        "errors": errors,
        "parse_as": parse_as,
        "timeout": timeout,
        "timeout_s": timeout_s,
        "max_redirections": max_redirections,
        "retries": retries,
        "idempotency_key": idempotency_key,
        "tls": tls,
        "http2": http2,
        "max_mb": max_mb,
    }

    def run(state: State) -> State:
        data, response, _ = Call(state, given).perform()
        return next_state(state, data, response)

    return run


def get(
    path: Any,
    *,
    body: Any = None,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make a GET request with the options of `request`.

    Example:
        `get("patients", query={"since": state.data.cursor})`

    """
    return request(
        "GET",
        path,
        body=body,
        content_type=content_type,
        query=query,
        headers=headers,
        errors=errors,
        parse_as=parse_as,
        timeout=timeout,
        timeout_s=timeout_s,
        max_redirections=max_redirections,
        retries=retries,
        idempotency_key=idempotency_key,
        tls=tls,
        http2=http2,
        max_mb=max_mb,
    )


def post(
    path: Any,
    data: Any = None,
    *,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make a POST request with the body *data* and the options of `request`.

    Example:
        `post("patients", state.data)`

    """
    return request(
        "POST",
        path,
        body=data,
        content_type=content_type,
        query=query,
        headers=headers,
        errors=errors,
        parse_as=parse_as,
        timeout=timeout,
        timeout_s=timeout_s,
        max_redirections=max_redirections,
        retries=retries,
        idempotency_key=idempotency_key,
        tls=tls,
        http2=http2,
        max_mb=max_mb,
    )


def put(
    path: Any,
    data: Any = None,
    *,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make a PUT request with the body *data* and the options of `request`.

    Example:
        `put("patients/7", state.data)`

    """
    return request(
        "PUT",
        path,
        body=data,
        content_type=content_type,
        query=query,
        headers=headers,
        errors=errors,
        parse_as=parse_as,
        timeout=timeout,
        timeout_s=timeout_s,
        max_redirections=max_redirections,
        retries=retries,
        idempotency_key=idempotency_key,
        tls=tls,
        http2=http2,
        max_mb=max_mb,
    )


def patch(
    path: Any,
    data: Any = None,
    *,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make a PATCH request with the body *data* and the options of `request`.

    Example:
        `patch("patients/7", {"name": state.data.name})`

    """
    return request(
        "PATCH",
        path,
        body=data,
        content_type=content_type,
        query=query,
        headers=headers,
        errors=errors,
        parse_as=parse_as,
        timeout=timeout,
        timeout_s=timeout_s,
        max_redirections=max_redirections,
        retries=retries,
        idempotency_key=idempotency_key,
        tls=tls,
        http2=http2,
        max_mb=max_mb,
    )


def delete(
    path: Any,
    *,
    body: Any = None,
    content_type: Any = None,
    query: Any = None,
    headers: Any = None,
    errors: Any = None,
    parse_as: Any = "auto",
    timeout: Any = None,
    timeout_s: Any = None,
    max_redirections: Any = 5,
    retries: Any = 2,
    idempotency_key: Any = None,
    tls: Any = None,
    http2: Any = None,
    max_mb: Any = 50,
) -> Operation:
    """Make a DELETE request with the options of `request`.

    Example:
        `delete("patients/7")`

    """
    return request(
        "DELETE",
        path,
        body=body,
        content_type=content_type,
        query=query,
        headers=headers,
        errors=errors,
        parse_as=parse_as,
        timeout=timeout,
        timeout_s=timeout_s,
        max_redirections=max_redirections,
        retries=retries,
        idempotency_key=idempotency_key,
        tls=tls,
        http2=http2,
        max_mb=max_mb,
    )


def file_part(content: Any, filename: Any = None, content_type: Any = None) -> FilePart:
    """Return a file for a field of a multipart form.

    Args:
        content: Bytes or a text.
        filename: Its name, or None for the name of the field.
        content_type: Its type, or None for `application/octet-stream`.

    Example:
        `post("files", {"report": file_part(state.data, "report.pdf", "application/pdf")},
        content_type="form")`

    """
    return FilePart(content, filename, content_type)


def cookie(name: Any, path: Any = "") -> Callable[[State], str | None]:
    """Return a reference to the value of a cookie that the server has set in this run, or to None.

    Args:
        name: The name of the cookie.
        path: A path or URL; the cookie must be one that a request to it carries.

    Example:
        `post("login", state.data, headers={"X-CSRFToken": cookie("csrftoken")})`

    """

    def reference(state: State) -> str | None:
        wanted, place = resolve(state, name), resolve(state, path)
        settings = read_settings(state.get("configuration"), None)
        url = make_url(settings.base_url, place, None)
        return session_of(settings).cookie(wanted, url)

    return reference
