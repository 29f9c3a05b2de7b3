"""Room `reporting`: everything that leaves a run: events, logs and the result, without secrets.

Other rooms import `eventlog`, `reporter`, `run`, `result` and `redaction`; the rest is private.
"""
