"""All engines of SQLAlchemy in a process of tests share a cache of compiled statements.

Every engine of SQLAlchemy compiles its statements anew, and a test has two or three engines: for a worker, this is half of
the time of a processor that it takes from its start to its end.  Engines with equal dialects compile equal statements.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.util import LRUCache

MOST = 5_000
"""Largest number of statements."""

FACTS = (
    "server_version_info",
    "default_schema_name",
    "paramstyle",
    "_backslash_escapes",
    "_json_serializer",
    "_json_deserializer",
    "use_insertmanyvalues",
    "insert_executemany_returning",
    "supports_native_boolean",
)
"""Attributes of a dialect on which the text of a statement may depend: settings, and facts about the server."""

_statements: LRUCache[Any, Any] = LRUCache(MOST)


class SharedCache:
    """The cache of an engine, in which a dialect counts by its facts.

    Args:
        dialect: The dialect of the engine.

    """

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect

    def _shared(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        found = [getattr(self._dialect, name, None) for name in FACTS]
        # The first part of a key is the dialect.
        return (type(self._dialect), *found, *key[1:])

    def get(self, key: tuple[Any, ...]) -> Any:
        """Return a compiled statement, or None."""
        return _statements.get(self._shared(key))

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        _statements[self._shared(key)] = compiled


def share() -> None:
    """Give this cache to each engine that is made from now on in this process and its forks."""
    create = sqlalchemy.create_engine

    def create_sharing(*arguments: Any, **options: Any) -> sqlalchemy.Engine:
        engine = create(*arguments, **options)
        engine._compiled_cache = SharedCache(engine.dialect)  # type: ignore[assignment]
        return engine

    sqlalchemy.create_engine = create_sharing
