"""Stands before pip on the path of a test: `python -m pip` is then a client of the server of `warm.py`.

To import pip takes longer than all that it does for a wheel in a directory.
"""
