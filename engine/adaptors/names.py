"""The names of adaptors: their parts, their spellings, and the import names that follow from them."""

from __future__ import annotations

import re
from typing import Final

from protocol.suggestion import shorten

LATEST: Final = "latest"
"""The tag in place of a version that means the newest version, as a name alone does."""

NEXT: Final = "next"
"""The tag that means the newest version, even if it is a pre-release."""


class RepoError(ValueError):
    """An adaptor cannot be used; the message names it and the reason, in one line."""


def canonical_name(name: str) -> str:
    """Return the form that all spellings of a name share: `Foo_Bar` and `foo.bar` are `foo-bar`.

    Source: PEP 503.  The scope of a name stays (`@openfn/language-http`).
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def split_spec(spec: str) -> tuple[str, str | None]:
    """Split ``name@version``; the name may begin with ``@`` (``@openfn/language-http@6.0.0``).

    Raises:
        RepoError: The name or the version is empty.

    """
    at = spec.rfind("@")
    name, version = (spec, None) if at <= 0 else (spec[:at], spec[at + 1 :])
    if not name.strip("@") or version == "":
        raise RepoError(f"{shorten(spec)} is not an adaptor: write name or name@version")
    return name, version


def module_name(name: str) -> str:
    """Return the import name that an adaptor has by default.

    ``@openfn/language-http`` is ``language_http``.
    """
    return name.rpartition("/")[2].lstrip("@").replace("-", "_").replace(".", "_")
