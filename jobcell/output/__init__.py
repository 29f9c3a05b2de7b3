"""Room `output`: what a person, or a program behind a pipe, reads from the command.

It belongs here if it is printed.  The room imports `engine` and `protocol` only.
"""
