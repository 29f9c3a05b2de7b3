"""Runs one workflow in a confined interpreter.  Hostile once a job ran."""
