"""Sends a request to a FHIR server, through the adaptor http."""

from __future__ import annotations

import json
from typing import Any, Final

import http_

from .errors import ArgumentError, OutcomeError
from .laziness import State

_TYPE: Final = "application/fhir+json"


def exchange(
    state: State,
    method: str,
    path: str,
    *,
    body: Any = None,
    query: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> State:
    """Send a request to the server of the configuration, and return the state after it.

    Args:
        state: The state, whose configuration has `base_url`, and perhaps `api_path` and credentials.
        method: The method.
        path: A path below the API, or the whole URL of a page.
        body: A resource.
        query: The parameters.
        headers: More headers.

    Raises:
        ArgumentError: *body* cannot be written as JSON.
        OutcomeError: The server answered with an OperationOutcome.
        http_.HttpError: The request has failed in any other way.

    """
    sent = None
    more = {"Accept": _TYPE, **(headers or {})}
    if body is not None:
        more["Content-Type"] = _TYPE
        try:
            sent = json.dumps(body, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"the resource cannot be sent: {error}") from None
    place = path if "://" in path else f"{_api_path(state)}{path}"
    request = http_.request(method, place, body=sent, query=query, headers=more)
    try:
        return request(state)
    except http_.ResponseError as error:
        raise _outcome(error) or error from None


def _api_path(state: State) -> str:
    configuration = state.get("configuration") or {}
    given = configuration.get("api_path", configuration.get("apiPath", "fhir"))
    path = str(given or "").strip("/")
    return f"{path}/" if path else ""


def _outcome(error: http_.ResponseError) -> OutcomeError | None:
    """Return the error for an OperationOutcome in the body; None for any other body."""
    details = error.details
    try:
        outcome = json.loads(details.get("body") or "")
    except ValueError:
        return None
    if not isinstance(outcome, dict) or outcome.get("resourceType") != "OperationOutcome":
        return None
    issues = issues_of(outcome)
    told = next((one for one in issues if one["severity"] in ("fatal", "error")), None)
    told = told or next(iter(issues), {"text": "no issue", "path": ""})
    more = f" (and {len(issues) - 1} more issues)" if len(issues) > 1 else ""
    where = f" at {told['path']}" if told["path"] else ""
    facts = {
        name: details[name]
        for name in ("method", "url", "status", "reason", "retryable", "retry_after_s")
        if name in details
    }
    message = f"{details.get('method')} {details.get('url')} gave {details.get('status')}"
    return OutcomeError(f"{message}: {told['text']}{where}{more}", issues=issues, **facts)


def issues_of(outcome: dict[str, Any]) -> list[dict[str, str]]:
    """Return the issues of an OperationOutcome."""
    found = outcome.get("issue")
    return (
        [_issue(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    )


def _issue(issue: dict[str, Any]) -> dict[str, str]:
    given = issue.get("details")
    details: dict[str, Any] = given if isinstance(given, dict) else {}
    codings = details.get("coding")
    displays = (
        one.get("display") or one.get("code")
        for one in (codings if isinstance(codings, list) else ())
        if isinstance(one, dict)
    )
    text = issue.get("diagnostics") or details.get("text") or next(displays, None)
    places = issue.get("expression") or issue.get("location") or ()
    return {
        "severity": str(issue.get("severity", "")),
        "code": str(issue.get("code", "")),
        "text": str(text or issue.get("code") or ""),
        "path": ", ".join(map(str, places if isinstance(places, list) else ())),
    }
