"""Tasks that choose one of several texts."""
