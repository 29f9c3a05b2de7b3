"""Room `network.relay`: a process that carries the traffic of runs, and enforces their rules.

It belongs here if it runs in that process.  The engine starts it, and never imports it.  The room
imports `protocol`, and the layers of the child's kernel wall, with which it confines itself.
"""
