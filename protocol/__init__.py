"""The wire between the engine and its children.

It does not import any other package of this project.

The modules with messages, and with the data inside of them, evaluate their annotations at once. With
``from __future__ import annotations`` each annotation would be text, which msgspec compiles in every new
interpreter, in 3 ms of a child.
"""
