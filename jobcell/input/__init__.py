"""Room `input`: plans, states and options as they come from files and the command line.

It belongs here if it reads what a user has written.  The room imports `engine` and `protocol` only.
"""
