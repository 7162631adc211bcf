"""Checkpoint loaders that come with bertmod."""
