"""FHIR R4 resources: builders with validation in `b`, and verbs for a FHIR server.

`read`, `create`, `update`, `delete` and `search` return operations: functions from state to state.
`b.patient(...)` and its like return resources, as plain dicts.
"""

from __future__ import annotations

from . import b, builders
from .bundles import add_to_bundle, create_bundle, upload_bundle
from .errors import ArgumentError, FhirError, OutcomeError, ResourceError
from .verbs import create, delete, read, search, update

# The names of OpenFn, for authors who know them.
addToBundle = add_to_bundle  # noqa: N816
createBundle = create_bundle  # noqa: N816
uploadBundle = upload_bundle  # noqa: N816

__version__ = "1.0.0"

__all__ = [
    "ArgumentError",
    "FhirError",
    "OutcomeError",
    "ResourceError",
    "addToBundle",
    "add_to_bundle",
    "b",
    "builders",
    "create",
    "createBundle",
    "create_bundle",
    "delete",
    "read",
    "search",
    "update",
    "uploadBundle",
    "upload_bundle",
]
