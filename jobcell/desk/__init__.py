"""Room `desk`: the small commands of a person who writes jobs, a file for each.

It belongs here if a command helps to write, check or look at a workflow, and needs no room of its own.
"""
