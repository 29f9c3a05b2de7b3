"""The ways in which HTML and XML may spell a secret."""

from __future__ import annotations

from html.entities import codepoint2name
from typing import Final

_MAX_NUMERIC_CHARACTERS: Final = 256
"""Longer texts are not searched for with a reference in place of every character."""

_NUMERIC: Final = ("&#%d;", "&#x%x;", "&#x%X;")

_TEXT: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SLASHES: Final = {"/": "&#x2F;", "`": "&#x60;", "=": "&#x3D;"}


def _style(double: str, single: str) -> dict[str, str]:
    return _TEXT | {'"': double, "'": single}


_USUAL: Final = (
    _style("&quot;", "&#x27;"),  # html.escape, Django
    _TEXT,  # html.escape(quote=False), xml.sax.saxutils.escape, a text of ElementTree
    _style("&quot;", "'"),  # an attribute of ElementTree and of minidom
    _style("&#34;", "&#39;"),  # markupsafe, Go
    _style("&quot;", "&#39;"),  # lodash, Rails
)
_RARE: Final = (
    {},  # only characters beyond ASCII: str.encode("ascii", "xmlcharrefreplace")
    _style("&quot;", "&#039;"),  # PHP
    _style("&quot;", "&apos;"),  # XML
    _style('"', "&apos;"),
    _style('"', "&#39;"),
    _style("&quot;", "&#39;") | _SLASHES,  # mustache
    _style("&quot;", "&#x27;") | {"/": "&#x2F;"},  # OWASP, underscore
    _style("&quot;", "&#x27;") | {"`": "&#x60;"},
    {"&": "&amp;", "<": "&lt;"},
    {"&": "&amp;", "<": "&lt;", '"': "&quot;"},  # an attribute as the HTML standard serialises it
    *(_style("&quot;", "'") | {"\n": "&#10;", "\r": "&#13;", "\t": tab} for tab in ("&#09;", "&#9;")),
    _style("&quot;", "'") | {"\n": "&#xA;", "\r": "&#xD;", "\t": "&#x9;"},
    *({char: kind % ord(char) for char in "&<>\"'"} for kind in _NUMERIC),
)  # fmt: skip


def markup_spellings(text: str) -> set[str]:
    """Return *text* with references for special characters, in the styles of many libraries.

    In the usual styles they are also escaped twice, as for a page within a feed.
    """
    usual = usual_markup(text)
    forms = usual | {form.replace("&", "&amp;") for form in usual}
    for style in _RARE:
        forms |= _beyond_ascii(text.translate(_table(style)))
    return forms


def usual_markup(text: str) -> set[str]:
    """Return *text* with references for special characters, as the most used libraries write it."""
    forms: set[str] = set()
    for style in _USUAL:
        forms |= _beyond_ascii(text.translate(_table(style)))
    return forms


def numeric_spellings(text: str) -> set[str]:
    """Return *text* with a reference for every character; an empty set for a long text."""
    if len(text) > _MAX_NUMERIC_CHARACTERS:
        return set()
    return {"".join(kind % ord(char) for char in text) for kind in _NUMERIC}


def _table(style: dict[str, str]) -> dict[int, str]:
    return {ord(char): form for char, form in style.items()}


def _beyond_ascii(text: str) -> set[str]:
    """Return *text* with characters beyond ASCII as they are, and as references of each kind."""
    if text.isascii():
        return {text}
    forms = {text}
    for kind in _NUMERIC:
        forms.add("".join(char if char < "\x80" else kind % ord(char) for char in text))
    names = {ord(char): _named(char) for char in text if char >= "\x80"}
    forms.add(text.translate(names))
    return forms


def _named(char: str) -> str:
    name = codepoint2name.get(ord(char))
    return f"&{name};" if name else f"&#{ord(char)};"
