"""Room `reuse`: what a command takes from earlier runs: their journals, and the cache of steps.

It belongs here if a new run uses a result of an old one.  The room starts no run.
"""
