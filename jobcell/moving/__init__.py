"""Room `moving`: turns the projects and workflows of OpenFn into plans of ours.

It belongs here if it knows the files of OpenFn.  The room reads and writes files, and runs nothing.
"""
