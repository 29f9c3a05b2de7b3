"""Fuzz targets: one for each border that hostile or careless bytes cross.

Run one for long with ``python -m fuzzing TARGET`` (see docs/fuzzing.md); ``tests/fuzz`` runs each
for a short time with the same inputs every time.
"""
