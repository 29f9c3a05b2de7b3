"""Room `start`: where children come from, and the pipes to them.

A child serves one run, however it was started.  Other rooms import `child`, `connection`, `exit`, the
starters (`exec`, `zygote`, `spares`) and `checker`; `shelf` is private.
"""
