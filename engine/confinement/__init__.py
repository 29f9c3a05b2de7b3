"""Room `confinement`: which walls a child gets, and the interpreter and files it needs behind them.

Other rooms import `policy`, `interpreter` and `probe`; the rest is private.
"""
