"""Errors for things that a running job may not do; those of the compiler are in ``violations``."""

from __future__ import annotations

__all__ = ["JobImportError", "JobSecurityError"]


class JobSecurityError(AttributeError):
    """A job has asked for a private or internal attribute.

    This is an ``AttributeError``, so that ``getattr(x, name, default)`` and ``hasattr`` in careful
    code keep their meaning. The report calls it SecurityError.
    """


class JobImportError(ImportError):
    """A job may not import this module, or the module does not exist.

    The message lists the allowed modules; *name* is the module that the job asked for.
    """
