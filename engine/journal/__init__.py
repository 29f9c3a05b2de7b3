"""Room `journal`: keeps the records of one run in a file.

Other rooms import `file`; the rest is private.  `engine.api.journal` says what a journal is.
"""
