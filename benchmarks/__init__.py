"""What the project costs, measured: start-up, states, load, language, confinement, redaction."""
