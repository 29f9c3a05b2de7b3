"""Room `network`: the engine's side of the network of runs.

It belongs here if it starts the relay or talks to it.
"""
