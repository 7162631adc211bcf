"""Features, collation, readers and caches."""
