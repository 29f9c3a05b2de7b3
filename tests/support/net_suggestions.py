"""The rules that the error about a wrong network rule suggests."""

from __future__ import annotations

import ast
import re

_QUOTED = r"""(?:'[^']*'|"[^"]*")"""
_ONE = re.compile(rf"; write ({_QUOTED}(?: or {_QUOTED})*)$")
_EACH = re.compile(r"; write each by itself: (\[.*\])$")


def suggested(message: str, text: str) -> list[str]:
    """Return the suggested rules, in order; examples come after "as in" and are left out."""
    message = message.replace(repr(text), "", 1)
    each = _EACH.search(message)
    if each is not None:
        return list(ast.literal_eval(each[1]))
    one = _ONE.search(message)
    return [] if one is None else [ast.literal_eval(part) for part in one[1].split(" or ")]
