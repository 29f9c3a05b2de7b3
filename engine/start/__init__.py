"""Where children come from.  Whatever the way, a child serves one run and is gone."""
