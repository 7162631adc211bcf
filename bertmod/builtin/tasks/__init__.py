"""GLUE's tasks."""
