"""Runs one workflow in a confined interpreter.  The process is hostile once a job has run."""
