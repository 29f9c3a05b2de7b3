"""Tests of pages. They are a package, so that a fixture of pytest can last for all of them."""
