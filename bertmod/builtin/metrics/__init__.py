"""The metrics of GLUE."""
