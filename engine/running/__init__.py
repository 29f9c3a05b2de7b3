"""Room `running`: carries runs from the queue to their end.

The engine imports `supervisor`, `lane`, `session`, `order` and `resolvers`; the rest is private.
"""
