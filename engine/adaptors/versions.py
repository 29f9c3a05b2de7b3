"""The order of versions: PEP 440, without the package that implements it.

The engine only has to compare a few versions for each run.
"""

from __future__ import annotations

import re
from typing import Final

Key = tuple[object, ...]
"""A key that sorts like its version.  It can only be compared with other keys."""

_VERSION: Final = re.compile(
    r"""
    v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?
    (?P<post>-(?P<post_n1>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_n2>[0-9]+)?)?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_n>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

_STAGES: Final = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}

# These take the place of a missing part: they are below and above every other value.
_BELOW: Final = (-1,)
_ABOVE: Final = (1,)


def sort_key(version: str) -> Key:
    """Return a key by which versions sort in the order of PEP 440; equal versions have equal keys.

    Texts that are not versions (such as ``local``) sort by their characters, below all versions.
    """
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return (0, version)
    part = match.groupdict()
    release = [int(number) for number in part["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    dev = _ABOVE if part["dev"] is None else (0, int(part["dev_n"] or 0))
    if part["pre"] is not None:
        stage = part["pre"].lower()
        pre: tuple[object, ...] = (0, _STAGES.get(stage, stage), int(part["pre_n"] or 0))
    else:
        # 1.0.dev1 comes before 1.0a1, but 1.0.post1.dev1 after 1.0.
        pre = _BELOW if part["dev"] is not None and part["post"] is None else _ABOVE
    post = -1 if part["post"] is None else int(part["post_n1"] or part["post_n2"] or 0)
    return (1, int(part["epoch"] or 0), tuple(release), pre, post, dev, _local(part["local"]))


def is_prerelease(version: str) -> bool:
    """Whether *version* is a pre-release, which a name alone means only if all others are too."""
    match = _VERSION.fullmatch(version.strip())
    return match is not None and (match["pre"] is not None or match["dev"] is not None)


def _local(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if text is None:
        return ()
    return tuple(
        (1, int(piece), "") if piece.isdigit() else (0, 0, piece)
        for piece in re.split(r"[-_.]", text.lower())
    )
