"""Collections for workflow jobs: values under keys, which workflows share.

`collections.get`, `collections.set`, `collections.each` and `collections.remove` return operations:
functions from state to state.  The values are kept by the program that runs the job, and the job's run
needs the permission for each collection.  The adaptor is called `collections`; its module is called
`collections_`, because `collections` is a module of the standard library.
"""

from __future__ import annotations

from . import collections
from .errors import ArgumentError, CollectionError
from .verbs import Items

__version__ = "1.0.0"

__all__ = ["ArgumentError", "CollectionError", "Items", "collections"]
