"""Tasks: sentences, spans, tags and choices."""
