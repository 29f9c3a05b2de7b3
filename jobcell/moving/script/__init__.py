"""Room `moving.script`: JavaScript, and what is certain of it in Python.

It belongs here if it reads the text of a job or of a condition in JavaScript.  Nothing here runs
JavaScript, and nothing knows of plans and files.
"""
