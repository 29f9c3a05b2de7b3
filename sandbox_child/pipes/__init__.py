"""Room `pipes`: the descriptors between the child and the engine: messages and standard streams.

It belongs here if it reads or writes a descriptor.  The room imports `confine.kernel` and `protocol`.  Other
rooms import `channel` and `streams`.
"""
