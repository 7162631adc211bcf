"""Tasks that tag the words of a text."""
