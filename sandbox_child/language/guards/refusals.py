"""What a job is refused while it runs; the compiler's refusals are in ``violations``."""

from __future__ import annotations

__all__ = ["JobImportError", "JobSecurityError"]


class JobSecurityError(AttributeError):
    """A private or internal attribute was asked for.

    An ``AttributeError``, so that ``getattr(x, name, default)`` and ``hasattr`` of careful code
    keep their meaning; the report calls it SecurityError.
    """


class JobImportError(ImportError):
    """A module that a job may not import, or one that is not there.

    The message lists what may be imported; *name* is what was asked for.
    """
