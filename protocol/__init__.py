"""The wire between the engine and its children.  Imports nothing else of this project."""
