"""A small server that says how a worker is: ``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations


class Health:
    url = None
    def __init__(self, *a): pass
    def close(self): pass

def read_address(text): return text
