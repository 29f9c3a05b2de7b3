"""Room `debugger`: one step in a debugger on the terminal of its author, for `jobcell run --debug`.

It belongs here if only a debugged child needs it.  Such a child has a command line of its own, so that no
other child can come here, whatever it is sent.
"""
