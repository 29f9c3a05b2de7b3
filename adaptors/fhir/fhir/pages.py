"""The pages of a search, as a server answers it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from .errors import ArgumentError
from .laziness import State


def matches(bundle: Any) -> list[Any]:
    """Return the resources of a page.

    Raises:
        ArgumentError: The page is not a Bundle with entries.

    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise ArgumentError(
            "the server did not answer the search with a Bundle; is api_path right?"
        )
    entries = _dicts(bundle, "entry")
    return [entry["resource"] for entry in entries if entry.get("resource") is not None]


def next_page(result: State) -> str | None:
    """Return the URL of the page after that of *result*; None if it is the last.

    Raises:
        ArgumentError: The page is of another server, or the links are not a list of dicts.

    """
    links = (one for one in _dicts(result["data"], "link") if one.get("relation") == "next")
    given = next((one.get("url") for one in links), None)
    if not isinstance(given, str) or not given:
        return None
    here = result["response"]["url"]
    url: str = urljoin(here, given)
    if urlsplit(url)[:2] != urlsplit(here)[:2]:
        raise ArgumentError(
            f"the next page {url!r:.300} is of another server than {here!r:.300}, for which the"
            " credentials are not; pages=1 fetches the first page only"
        )
    return url


def _dicts(bundle: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = bundle.get(key) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ArgumentError(f"the server answered with a Bundle whose {key} is not a list of dicts")
    return found
