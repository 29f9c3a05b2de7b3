"""Room `stored`: the commands that work with the runs of a store.

It belongs here if a command needs `--store`.  The store itself is in room `store`.
"""
