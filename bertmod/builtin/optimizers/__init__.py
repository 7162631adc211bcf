"""Built-in optimizers over named parameter groups."""
