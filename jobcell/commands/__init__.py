"""Room `commands`: the sub-commands of `jobcell` with their options and help texts.

It belongs here if a shell can type it.  What a command does is in other rooms, which it imports when it runs.
"""
