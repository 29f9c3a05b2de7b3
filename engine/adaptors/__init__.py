"""Room `adaptors`: the repo on disk, its versions and its checksums.

Other rooms import `repo`; the rest is private.
"""
