"""A shared encoder with its tasks, and what files keep of it."""
