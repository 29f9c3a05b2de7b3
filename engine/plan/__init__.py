"""Room `plan`: reads a plan as its author wrote it and reports every problem.

Other rooms import `validation`, and `source`, `objects` and `steps` to check texts; the rest is private.
"""
