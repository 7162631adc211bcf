"""The trainer: it takes objects, never recipes."""
