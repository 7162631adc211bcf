"""Built-in trackers: where a run writes its numbers."""
