"""Room `api`: what a caller hands in and what the engine raises.

Any room may import it; it imports only `protocol`.
"""
