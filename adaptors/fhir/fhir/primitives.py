"""The primitive types of FHIR R4: what a value must look like.  Source: hl7.org/fhir/R4/datatypes.html."""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

_YEAR: Final = r"(?!0000)[0-9]{4}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE: Final = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_ID: Final = r"[A-Za-z0-9.-]{1,64}"

_TEXTS: Final = {
    "base64Binary": (r"(?s:.*)", "base64"),
    "canonical": (r"\S+", "a URL without spaces"),
    "code": (r"\S+(?: \S+)*", "a code without spaces around it"),
    "date": (rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?", "2024, 2024-05 or 2024-05-06"),
    "dateTime": (
        rf"{_YEAR}(?:-{_MONTH}(?:-{_DAY}(?:T{_TIME}{_ZONE})?)?)?",
        "2024-05-06 or 2024-05-06T07:08:09+03:00, with a zone",
    ),
    "id": (_ID, "up to 64 letters, digits, '-' and '.'"),
    "instant": (rf"{_YEAR}-{_MONTH}-{_DAY}T{_TIME}{_ZONE}", "2024-05-06T07:08:09Z, with a zone"),
    "markdown": (r"(?s:.*\S.*)", "a text that is not empty"),
    "oid": (r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+", "urn:oid:1.2.3"),
    "string": (r"(?s:.*\S.*)", "a text that is not empty"),
    "time": (_TIME, "07:08:09"),
    "uri": (r"\S+", "a URI without spaces"),
    "url": (r"\S+", "a URL without spaces"),
    "uuid": (r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "urn:uuid:..."),
    "xhtml": (r"(?s:\s*<div.*</div>\s*)", "<div>...</div>"),
}
"""For each type with a text: its form, and the form in words."""

_INTEGERS: Final = {
    "integer": (-(2**31), 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
}


def problem_with(kind: str, value: Any) -> str | None:
    """Return what is wrong with *value* as a value of the primitive type *kind*; None if it is right."""
    if kind == "boolean":
        return None if isinstance(value, bool) else f"must be true or false, not {_shown(value)}"
    if kind in _INTEGERS:
        least, most = _INTEGERS[kind]
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"must be a whole number from {least} to {most}, not {_shown(value)}"
    if kind == "decimal":
        number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if number and math.isfinite(value):
            return None
        return f"must be a number, not {_shown(value)}"
    form, words = _TEXTS[kind]
    if isinstance(value, str) and re.fullmatch(form, value) and _exists(kind, value):
        return None
    return f"must be {words}, not {_shown(value)}"


def _exists(kind: str, value: str) -> bool:
    """Whether a day is in the calendar, and base64 can be read."""
    if kind in ("date", "dateTime", "instant") and len(value) >= 10:
        try:
            date.fromisoformat(value[:10])
        except ValueError:
            return False
    if kind == "base64Binary":
        try:
            base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            return False
    return True


def is_reference(text: str) -> bool:
    """Whether a text has one of the forms of a reference to a resource."""
    return bool(
        re.fullmatch(
            rf"[A-Z][A-Za-z]+/{_ID}(?:/_history/{_ID})?|#{_ID}|#|[a-z][a-z0-9+.-]*:\S+"
            r"|[A-Z][A-Za-z]+\?\S+",
            text,
        )
    )


def _shown(value: Any) -> str:
    return f"{value!r:.60}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
