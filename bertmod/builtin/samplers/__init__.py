"""Built-in samplers: which task an optimizer step trains."""
