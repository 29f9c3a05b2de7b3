"""Measurements of the project: start-up, states, load, language, confinement, redaction."""
