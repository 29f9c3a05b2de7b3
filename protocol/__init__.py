"""The wire between the engine and its children.

It does not import any other package of this project.
"""
