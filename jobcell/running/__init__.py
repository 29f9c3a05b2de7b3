"""Room `running`: `jobcell run` and `jobcell resume`, from their options to the exit code.

It belongs here if it carries out a run in this process.  Runs of a store are in room `stored`.
"""
